// Package killpoint lets a test kill fleetd or fleet-agent at a named point, as a loss of power would: at once, with nothing
// cleaned up. The composition roots of both programs put the points around what they give to the engine and the runner. All of
// it exists only in programs that are built with the tag killpoints, which only the end-to-end tests do; a program without the
// tag has neither the points nor a way to name one.
package killpoint
