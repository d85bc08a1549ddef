// Package output is all that fleetctl prints: tables, JSON, YAML and names, lines for people, colours, and the view that is
// redrawn in place. It owns the rule that text from a server or a machine never reaches a terminal unescaped. The verbs in
// package cli call it; it knows nothing of the API but protobuf reflection.
package output
