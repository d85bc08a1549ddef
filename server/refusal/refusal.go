// Package refusal is the one form in which the server's domain packages say no: what kind of no, which field, why, and what
// to do next. They never see gRPC; server/api turns a refusal into a status with details, in one place.
package refusal

import (
	"fmt"
	"strings"
)

// Kind is the kind of a refusal.
type Kind int

// The kinds. Anything that is not an *Error is an internal error.
const (
	// Invalid: the request is malformed; the same request will never work.
	Invalid Kind = iota + 1
	// NotFound: the object does not exist, or the caller may not know that it does.
	NotFound
	// Exists: an object with this name exists.
	Exists
	// Denied: the caller has not the right.
	Denied
	// Unauthenticated: the caller has not shown who it is.
	Unauthenticated
	// Precondition: the object is not in the state that the request needs.
	Precondition
	// Conflict: somebody else was faster; read again and decide again.
	Conflict
	// Exhausted: a limit is reached.
	Exhausted
	// Unavailable: not now; the same request may work later.
	Unavailable
	// OutOfRange: the request asks for what lies beyond the end of the object.
	OutOfRange
	// Lost: what was stored is damaged or gone.
	Lost
)

// Error is a refusal.
type Error struct {
	Kind Kind
	// Reason is a stable UPPER_SNAKE word for programs, at most 63 characters ("TOKEN_EXPIRED").
	Reason string
	// Field is the path of the request's field at fault ("spec.params[stop_timeout]"); empty when it is none.
	Field string
	// Message names the object, then the cause: `terminal "T-0142": is decommissioned`.
	Message string
	// Next is what the caller does next, as a sentence without full stop; may be empty.
	Next string
	// Violations are all fields at fault when there may be several; Field is empty then.
	Violations []Violation
}

// Violation is what is wrong with one field.
type Violation struct {
	// Field is its path in the request.
	Field string
	// Text says what is wrong and what to give instead.
	Text string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

// New makes a refusal.
func New(kind Kind, reason, format string, args ...any) *Error {
	return &Error{Kind: kind, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// At names the field at fault.
func (e *Error) At(field string) *Error {
	e.Field = field
	return e
}

// Then says what to do next.
func (e *Error) Then(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// With names all fields at fault.
func (e *Error) With(violations ...Violation) *Error {
	e.Violations = append(e.Violations, violations...)
	return e
}

// maxShown is how much is repeated of what somebody sent, in bytes. It is no less than the longest name that can be right.
const maxShown = 100

// Shown bounds what a refusal repeats of what somebody sent, and cuts between characters.
func Shown(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
