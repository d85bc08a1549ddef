package selector

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error is what is wrong with an expression, and where.
type Error struct {
	// Text is the expression.
	Text string
	// Column is where the fault begins, in characters from 1.
	Column int
	// Problem says what is wrong, as a clause, and what would be right.
	Problem string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Problem) }

// excerptWidth is how many characters of a long expression are shown on either side of the fault.
const excerptWidth = 36

// Excerpt returns the part of the expression around the fault in one line, and a second line whose caret stands under the
// fault. Every character that could not be printed is shown as a blank.
func (e *Error) Excerpt() (line, caret string) {
	runes := []rune(e.Text)
	at := min(e.Column-1, len(runes))
	from, to := max(at-excerptWidth, 0), min(at+excerptWidth, len(runes))
	before, after := "", ""
	if from > 0 {
		before = "…"
	}
	if to < len(runes) {
		after = "…"
	}
	line = before + strings.Map(shown, string(runes[from:to])) + after
	return line, strings.Repeat(" ", utf8.RuneCountInString(before)+at-from) + "^"
}

func shown(r rune) rune {
	if !unicode.IsPrint(r) {
		return ' '
	}
	return r
}

func tooLong(n int) string {
	return fmt.Sprintf("the expression is %d bytes long, at most %d are allowed; use labels", n, MaxBytes)
}

// failAt makes an error at a place in bytes.
func failAt(text string, offset int, format string, args ...any) *Error {
	return &Error{Text: text, Column: utf8.RuneCountInString(text[:offset]) + 1, Problem: fmt.Sprintf(format, args...)}
}
