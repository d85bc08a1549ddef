package link

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Kind says what sort of failure an Error is.
type Kind int

// The kinds of failures.
const (
	// Failed: something else than the following; trying again may help.
	Failed Kind = iota
	// Unreachable: no connection, or it was cut.
	Unreachable
	// Denied: the server knows who asks, or does not want to, and says no.
	Denied
	// Rejected: what was sent or configured will not work as it is.
	Rejected
	// Replaced: another agent connected as this terminal.
	Replaced
)

// Error is why the server could not be used, in words for a person.
type Error struct {
	Kind    Kind
	Message string
	// Next is what a person does next; may be empty.
	Next string
	// hopeless is true when the server has answered and will answer the same until a person does something. A connection that
	// fails is never hopeless: clocks, names and certificates are put right without the agent's doing.
	hopeless bool
}

// Error implements error.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

const (
	nextReEnrol = "enrol this machine again: `fleet-agent enroll --force-re-enrol` with a token from `fleetctl token create`"
	nextReach   = "check that fleetd runs there and that no firewall is in between"
	nextClock   = "check the clocks of this machine and of the server"
)

// explain turns what gRPC reports into words. It never returns nil for an error.
func explain(server string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if errors.Is(err, errNoWelcome) || errors.Is(err, errSlow) {
		return &Error{Kind: Unreachable, Message: fmt.Sprintf("server %q: %v", server, err), Next: nextReach}
	}
	st, ok := status.FromError(err)
	if !ok {
		return err
	}
	e := explainStatus(st)
	if next := nextStep(st); next != "" {
		e.Next = next
	}
	e.Message = fmt.Sprintf("server %q: %s", server, e.Message)
	return e
}

// nextStep is what the server says a person does next; it sends it beside the message.
func nextStep(st *status.Status) string {
	for _, detail := range st.Details() {
		if m, ok := detail.(*errdetails.LocalizedMessage); ok {
			return m.GetMessage()
		}
	}
	return ""
}

func explainStatus(st *status.Status) *Error {
	switch st.Code() {
	case codes.Unavailable, codes.DeadlineExceeded:
		return explainConnection(connectionCause(st.Message()))
	case codes.Unauthenticated, codes.PermissionDenied:
		return &Error{Kind: Denied, Message: st.Message(), hopeless: true}
	case codes.InvalidArgument, codes.AlreadyExists, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented:
		return &Error{Kind: Rejected, Message: st.Message(), hopeless: true}
	case codes.Aborted:
		return &Error{
			Kind: Replaced, Message: st.Message(),
			Next: "if a copy of this machine runs with the same data directory, enrol the copy again with --force-re-enrol",
		}
	}
	return &Error{Kind: Failed, Message: fmt.Sprintf("%s (%s)", st.Message(), st.Code())}
}

// connectionFault recognises a failed connection by its text, in lower case, because gRPC hands on nothing else of its cause.
type connectionFault struct {
	text string
	kind Kind
	// says replaces the text when it is not empty.
	says string
	next string
}

func connectionFaults() []connectionFault {
	return []connectionFault{
		{"ca is not the token's", Rejected, "", ""},
		{"remote error: tls: expired certificate", Denied, "it refuses this machine's certificate: it has expired", nextReEnrol},
		{"remote error: tls: revoked certificate", Denied, "it refuses this machine's certificate: it was revoked", nextReEnrol},
		{"remote error: tls: unknown certificate authority", Denied, "it refuses this machine's certificate: another CA made it", nextReEnrol},
		{"remote error: tls: bad certificate", Denied, "it refuses this machine's certificate", nextReEnrol},
		{"signed by unknown authority", Rejected, "its certificate is from another CA than this fleet's",
			"check the address; if the server was set up anew, " + nextReEnrol},
		{"not yet valid", Rejected, "", nextClock},
		{"has expired or is not", Rejected, "", nextClock},
		{"certificate is valid for", Rejected, "", "check the address: another program answers there"},
		{"not a server", Rejected, "", "check the address: another program answers there"},
		{"does not look like a tls handshake", Rejected, "something else than fleetd answers there", "check the address"},
		{"connection refused", Unreachable, "nothing listens there", nextReach},
		{"actively refused", Unreachable, "nothing listens there", nextReach},
		{"no such host", Unreachable, "", "check the spelling of the address and this machine's name service"},
	}
}

func explainConnection(cause string) *Error {
	for _, f := range connectionFaults() {
		if !strings.Contains(strings.ToLower(cause), f.text) {
			continue
		}
		if f.says != "" {
			cause = f.says
		}
		return &Error{Kind: f.kind, Message: cause, Next: f.next}
	}
	return &Error{Kind: Unreachable, Message: cause, Next: nextReach}
}

var quotedCause = regexp.MustCompile(`(?:desc =|Error while dialing:|authentication handshake failed:) *(.*)$`)

// connectionCause takes the wrappings that gRPC puts around a cause off again.
func connectionCause(text string) string {
	for {
		m := quotedCause.FindStringSubmatch(text)
		if m == nil {
			return text
		}
		text = m[1]
		if plain, err := strconv.Unquote(text); err == nil {
			text = plain
		}
	}
}

// farewell is the error of a session that the server ended on purpose.
func farewell(g *agentv1.Goodbye) *Error {
	e := &Error{Kind: Unreachable, Message: "the server ended the session: " + g.GetReason()}
	if g.GetFinal() {
		e.Kind, e.hopeless = Denied, true
		e.Next = "if it is to come back, " + nextReEnrol
	}
	return e
}
