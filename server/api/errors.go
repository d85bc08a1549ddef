package api

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/oklog/ulid/v2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/bandfleet/bandfleet/proto/params"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// errorDomain stands in the ErrorInfo of every refusal.
const errorDomain = "bandfleet"

// codeOf translates the kind of a refusal.
func codeOf(k refusal.Kind) codes.Code {
	switch k {
	case refusal.Invalid:
		return codes.InvalidArgument
	case refusal.NotFound:
		return codes.NotFound
	case refusal.Exists:
		return codes.AlreadyExists
	case refusal.Denied:
		return codes.PermissionDenied
	case refusal.Unauthenticated:
		return codes.Unauthenticated
	case refusal.Precondition:
		return codes.FailedPrecondition
	case refusal.Conflict:
		return codes.Aborted
	case refusal.Exhausted:
		return codes.ResourceExhausted
	case refusal.Unavailable:
		return codes.Unavailable
	case refusal.OutOfRange:
		return codes.OutOfRange
	case refusal.Lost:
		return codes.DataLoss
	default:
		return codes.Internal
	}
}

// Status translates what a domain package returned into what goes over the wire. A refusal travels with its reason, field and
// next step. Anything unforeseen is logged under an id, and only the id is told: its words may hold what the caller must not
// see.
func Status(log *slog.Logger, method string, err error) error {
	var refused *refusal.Error
	var bad *params.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refusalStatus(refused)
	case errors.As(err, &bad):
		return paramsStatus(bad)
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, "took too long")
	case errors.Is(err, store.ErrClosed):
		return status.Error(codes.Unavailable, "the server is stopping")
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	id := strings.ToLower(ulid.Make().String())
	log.Error("internal error", "id", id, "method", method, "error", err)
	if errors.Is(err, store.ErrUnwritable) {
		return withDetails(codes.Internal, "the server cannot write to its store; nothing was changed",
			&errdetails.ErrorInfo{Domain: errorDomain, Reason: "STORE_UNWRITABLE"},
			nextStep("make room on the server's disk, or look at its log for internal error "+id))
	}
	return withDetails(codes.Internal, "internal error "+id, &errdetails.ErrorInfo{Domain: errorDomain, Reason: "INTERNAL"},
		nextStep("give this id to whoever looks after the server: its log says more"))
}

func refusalStatus(r *refusal.Error) error {
	details := []protoadapt.MessageV1{&errdetails.ErrorInfo{Domain: errorDomain, Reason: r.Reason}}
	if r.Field != "" {
		details = append(details, &errdetails.BadRequest{
			FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: r.Field, Description: r.Message, Reason: r.Reason}},
		})
	}
	if len(r.Violations) > 0 {
		request := &errdetails.BadRequest{}
		for _, v := range r.Violations {
			request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: v.Field, Description: v.Text, Reason: r.Reason,
			})
		}
		details = append(details, request)
	}
	if r.Next != "" {
		details = append(details, nextStep(r.Next))
	}
	return withDetails(codeOf(r.Kind), r.Message, details...)
}

// paramsStatus names every parameter at fault.
func paramsStatus(e *params.Error) error {
	request := &errdetails.BadRequest{}
	for _, p := range e.Problems {
		request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: "spec.params[" + p.Param + "]", Description: p.Reason, Reason: "BAD_PARAMETER",
		})
	}
	return withDetails(codes.InvalidArgument, e.Error(), &errdetails.ErrorInfo{Domain: errorDomain, Reason: "BAD_PARAMETER"}, request,
		nextStep("see `fleetctl describe action "+e.Action+"`"))
}

func nextStep(text string) *errdetails.LocalizedMessage {
	return &errdetails.LocalizedMessage{Locale: "en", Message: text}
}

// withDetails leaves the details out when they cannot be encoded: the code matters most.
func withDetails(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	plain := status.New(code, message)
	detailed, err := plain.WithDetails(details...)
	if err != nil {
		return plain.Err()
	}
	return detailed.Err()
}
