// Package exit is how a run of fleetctl ends: the exit codes that scripts rely on, and the one error type that carries a
// code, what went wrong and what to do next. Every package of the CLI returns it; cli.Main alone prints it.
package exit

import (
	"errors"
	"fmt"
	"strings"
)

// Code is an exit code of fleetctl. The numbers are a promise to scripts.
type Code int

// The exit codes.
const (
	OK Code = iota
	Internal
	BadInput
	NotSuccessful
	NotFound
	Denied
	Unreachable
	StillRunning
)

// Meaning says in one line what the code tells a script.
func (c Code) Meaning() string {
	switch c {
	case OK:
		return "done: every target verified (also a complete dry run, and --no-wait once the job is accepted)"
	case Internal:
		return "internal error"
	case BadInput:
		return "bad input, declined, or no --yes without a terminal: nothing was created"
	case NotSuccessful:
		return "at least one target was not successful (failed, refused, expired, cancelled, unknown, or could not plan)"
	case NotFound:
		return "nothing matched, or the object was not found"
	case Denied:
		return "denied"
	case Unreachable:
		return "the server could not be reached"
	case StillRunning:
		return "still running, waiting, paused or not approved when the wait ended; the job goes on"
	default:
		return "unknown"
	}
}

// Table lists every code with its meaning, for help texts.
func Table() string {
	var b strings.Builder
	for c := OK; c <= StillRunning; c++ {
		fmt.Fprintf(&b, "  %d  %s\n", c, c.Meaning())
	}
	return b.String()
}

// Error ends a run with a code.
type Error struct {
	Code Code
	// Message names the object, then the cause.
	Message string
	// Details are further lines, one problem each.
	Details []string
	// Next is what the person does next; may be empty.
	Next string
	// Reason is the server's stable word for the error ("TARGETS_CHANGED"); empty when it gave none.
	Reason string
}

// Errorf makes an error with a code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Then says what to do next.
func (e *Error) Then(format string, args ...any) *Error {
	e.Next = fmt.Sprintf(format, args...)
	return e
}

// With adds details.
func (e *Error) With(details ...string) *Error {
	e.Details = append(e.Details, details...)
	return e
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// From returns err as an *Error. An error of another type is an internal one.
func From(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(Internal, "%v", err)
}

// Is tells whether err ends a run with the code.
func Is(err error, code Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Code == code
}
