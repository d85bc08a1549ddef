package link

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/agent/identity/identitytest"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// gate is an enrolment service that answers with what it was given.
type gate struct {
	agentv1.UnimplementedEnrollmentServiceServer
	agentv1.UnimplementedAgentServiceServer
	answer error
}

func (g *gate) Enroll(context.Context, *agentv1.EnrollRequest) (*agentv1.EnrollResponse, error) {
	return &agentv1.EnrollResponse{TerminalId: terminalID}, g.answer
}

// open serves over TCP with ca's certificate until the test ends.
func (g *gate) open(t *testing.T, ca *identitytest.Authority) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(ca.ServerTLS())))
	agentv1.RegisterEnrollmentServiceServer(server, g)
	agentv1.RegisterAgentServiceServer(server, g)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return listener.Addr().String()
}

func TestEnrollSaysWhyNot(t *testing.T) {
	ca := identitytest.New(t)
	pin := fleetid.Fingerprint(ca.Certificate)
	for name, tc := range map[string]struct {
		answer error
		pin    [32]byte
		kind   Kind
		want   string
	}{
		"another CA":   {nil, [32]byte{1}, Rejected, "this server's CA is not the token's"},
		"used up":      {withNext(t, codes.Unauthenticated, `token "x": is used up`, "ask for a new one"), pin, Denied, "is used up; ask for a new one"},
		"name taken":   {status.Error(codes.AlreadyExists, `terminal "press-1": exists`), pin, Rejected, "exists"},
		"server fault": {status.Error(codes.Internal, "disk"), pin, Failed, "disk"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := (&gate{answer: tc.answer}).open(t, ca)
			_, err := Enroll(t.Context(), addr, tc.pin, &agentv1.EnrollRequest{})
			wantError(t, err, tc.kind, tc.want)
			wantError(t, err, tc.kind, addr)
		})
	}
}

// withNext is a refusal with the next step beside it, as fleetd sends it.
func withNext(t *testing.T, code codes.Code, message, next string) error {
	t.Helper()
	st, err := status.New(code, message).WithDetails(&errdetails.LocalizedMessage{Locale: "en", Message: next})
	if err != nil {
		t.Fatal(err)
	}
	return st.Err()
}

func TestEnrollWithTheRightCA(t *testing.T) {
	ca := identitytest.New(t)
	answer, err := Enroll(t.Context(), (&gate{}).open(t, ca), fleetid.Fingerprint(ca.Certificate), &agentv1.EnrollRequest{})
	if err != nil || answer.GetTerminalId() != terminalID {
		t.Errorf("Enroll = %v, %v; want the server's answer", answer, err)
	}
}

func TestUnreachableServersAreExplained(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Enroll(t.Context(), addr, [32]byte{}, &agentv1.EnrollRequest{})
	wantError(t, err, Unreachable, "nothing listens there; check that fleetd runs")
	_, err = Enroll(t.Context(), "no-such-host.invalid:1", [32]byte{}, &agentv1.EnrollRequest{})
	wantError(t, err, Unreachable, "no-such-host.invalid")
}

func TestServerThatNeverAnswersIsUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Enroll(ctx, silent.Addr().String(), [32]byte{}, &agentv1.EnrollRequest{})
	wantError(t, err, Unreachable, "check that fleetd runs")
}

// sessionError opens one session and returns why it ended.
func sessionError(t *testing.T, l *Link, addr string) error {
	t.Helper()
	l.dial = func(ctx context.Context, _ string) (net.Conn, error) { return dialTCP(ctx, addr) }
	return l.runSession(t.Context()).err
}

func TestRefusedCertificatesAreExplained(t *testing.T) {
	ours, theirs := identitytest.New(t), identitytest.New(t)
	stranger := (&gate{}).open(t, theirs)
	link := New(Config{Identity: enrolled(t, ours), Runner: newFakeRunner(), Journal: &fakeJournal{}})
	wantError(t, sessionError(t, link, stranger), Rejected, "another CA than this fleet's")

	// The server's certificate is good, and the server does not know the CA of ours.
	mixed := ours.ServerTLS()
	mixed.ClientCAs = fleetid.Pool(theirs.Certificate)
	wantError(t, sessionError(t, link, serve(t, credentials.NewTLS(mixed))), Denied, "refuses this machine's certificate")

	ours.Life, ours.Age = time.Hour, 2*time.Hour
	expired := New(Config{Identity: enrolled(t, ours), Runner: newFakeRunner(), Journal: &fakeJournal{}})
	ours.Life, ours.Age = time.Hour, 0
	wantError(t, sessionError(t, expired, (&gate{}).open(t, ours)), Denied, "enrol this machine again")
}

func serve(t *testing.T, creds credentials.TransportCredentials) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(creds))
	agentv1.RegisterAgentServiceServer(server, &gate{})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return listener.Addr().String()
}

func wantError(t *testing.T, err error, kind Kind, text string) {
	t.Helper()
	var got *Error
	if !errors.As(err, &got) {
		t.Fatalf("error is %v (%T), want one that a person can act on", err, err)
	}
	if got.Kind != kind || !strings.Contains(got.Error(), text) {
		t.Errorf("error is %q of kind %d, want kind %d and %q in it", got, got.Kind, kind, text)
	}
	if strings.Contains(got.Error(), "desc =") {
		t.Errorf("error %q shows gRPC's wrapping", got)
	}
}
