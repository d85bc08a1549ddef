// Package selector is the language in which people say which terminals they mean: `site=lyon and not endpoint=running`. The
// CLI checks an expression with it before anything is sent, the server evaluates it, and whatever keeps a selection of
// terminals keeps it as such an expression, so that there is one grammar.
//
//	expression = term { "or" term }
//	term       = factor { ("and" | ",") factor }
//	factor     = "not" factor | "(" expression ")" | "!" key | key
//	           | key ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//	           | key ("in" | "notin") "(" value { "," value } ")"
//
// A value is a bare word or stands in double quotes, in which \" and \\ are a quote and a backslash. The words and, or, not,
// in and notin are the language's own in any case of letters; as values they are quoted.
//
// An expression is total: it holds or does not hold for any terminal, and cannot fail. A comparison with something that is
// not known of a terminal does not hold, and != and notin are its exact opposite.
package selector

import (
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// MaxBytes is the length of the longest expression.
	MaxBytes = 4096
	// maxDepth bounds parentheses and nots within each other, and with them every recursion over an expression.
	maxDepth = 32
)

// Subject is a terminal at a moment.
type Subject struct {
	Terminal *fleetv1.Terminal
	// Online is whether it has a session now; Terminal.Online is not read.
	Online bool
	// Now is what ages are counted to.
	Now time.Time
}

// Expression is a checked expression. Safe for concurrent use.
type Expression struct {
	root node
}

// Parse checks an expression. The error is an *Error, which points at the column.
func Parse(text string) (*Expression, error) {
	if len(text) > MaxBytes {
		return nil, &Error{Text: text[:MaxBytes], Column: 1, Problem: tooLong(len(text))}
	}
	tokens, err := scan(text)
	if err != nil {
		return nil, err
	}
	root, err := (&parser{text: text, tokens: tokens, known: keys()}).parse()
	if err != nil {
		return nil, err
	}
	e := &Expression{root: root}
	// What is written out must be readable again, and a comma is written as a word.
	if n := len(e.String()); n > MaxBytes {
		return nil, &Error{Text: text, Column: 1, Problem: tooLong(n)}
	}
	return e, nil
}

// Matches tells whether the expression holds for a terminal.
func (e *Expression) Matches(s Subject) bool { return e.root.holds(s) }

// String is the expression in canonical form, in one line: equal forms mean the same, and Parse reads it back.
func (e *Expression) String() string { return e.root.text(looseOr) }
