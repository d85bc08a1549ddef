// Package structure holds the tests that keep the shape of this repository: every package says what it is, imports point one
// way, and third-party libraries stay behind their fences. It has no code of its own; `go test ./deploy/structure` is its
// only caller.
package structure
