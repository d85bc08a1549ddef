package client

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/cli/exit"
)

// failures turns what gRPC returns into errors for people. It knows whom it called, to say so.
type failures struct {
	server  string
	timeout time.Duration
}

// explain is the one place where an error of the API gets its exit code.
func (f failures) explain(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return exit.Errorf(exit.Internal, "server %s: %v", f.server, err)
	}
	if s.Code() == codes.Unavailable && len(s.Details()) == 0 {
		return f.unreachable(s.Message())
	}
	e := exit.Errorf(exitCode(s.Code()), "%s", f.message(s))
	addDetails(e, s)
	if e.Next == "" {
		e.Next = f.next(s.Code())
	}
	return e
}

// message replaces what gRPC itself says in terms of its own.
func (f failures) message(s *status.Status) string {
	switch s.Code() {
	case codes.Canceled:
		return "interrupted before the server answered"
	case codes.DeadlineExceeded:
		return "server " + f.server + ": no answer in time"
	default:
		return s.Message()
	}
}

func exitCode(c codes.Code) exit.Code {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition, codes.AlreadyExists, codes.Aborted,
		codes.ResourceExhausted:
		return exit.BadInput
	case codes.NotFound:
		return exit.NotFound
	case codes.PermissionDenied, codes.Unauthenticated:
		return exit.Denied
	// Of a call that was broken off nobody knows whether the server did it, as with one that got no answer.
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return exit.Unreachable
	default:
		return exit.Internal
	}
}

// next is what to do when the server did not say it.
func (f failures) next(c codes.Code) string {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return "correct it, and repeat the command"
	case codes.AlreadyExists:
		return "look at what is there with `fleetctl get`, or choose another name"
	case codes.PermissionDenied:
		return "see what you may do with `fleetctl whoami`, and ask an administrator for the role"
	case codes.Unauthenticated:
		return "the server does not accept this certificate (any more); ask an administrator for a new context file"
	case codes.DeadlineExceeded:
		return fmt.Sprintf("the server did not answer within %s; try again, or give it longer with --request-timeout", f.timeout)
	case codes.Aborted:
		return "somebody else was faster; look at the present state and try again"
	case codes.Unimplemented:
		return "the server is older or newer than this fleetctl; compare with `fleetctl version`"
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return "see the server's log"
	default:
		return ""
	}
}

// addDetails takes over what the server said beside the message: each field at fault, the reason, the next step.
func addDetails(e *exit.Error, s *status.Status) {
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			e.Reason = d.GetReason()
		case *errdetails.BadRequest:
			addViolations(e, d)
		case *errdetails.PreconditionFailure:
			for _, v := range d.GetViolations() {
				e.Details = append(e.Details, joinNonEmpty(v.GetSubject(), v.GetDescription()))
			}
		case *errdetails.LocalizedMessage:
			e.Next = d.GetMessage()
		case *errdetails.Help:
			for _, l := range d.GetLinks() {
				e.Next = joinNonEmpty(l.GetDescription(), l.GetUrl())
			}
		case *errdetails.RetryInfo:
			if e.Next == "" {
				e.Next = fmt.Sprintf("try again in %s", d.GetRetryDelay().AsDuration())
			}
		}
	}
}

// addViolations leaves out what the message says already.
func addViolations(e *exit.Error, d *errdetails.BadRequest) {
	for _, v := range d.GetFieldViolations() {
		if v.GetDescription() != "" && strings.Contains(e.Message, v.GetDescription()) {
			continue
		}
		e.Details = append(e.Details, joinNonEmpty(v.GetField(), v.GetDescription()))
	}
}

func joinNonEmpty(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}
