package agent_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/identity/identitytest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "sim" && os.Args[2] == "service" {
		os.Exit(sim.ServiceMain(os.Args[3:]))
	}
	if strings.HasPrefix(filepath.Base(os.Args[0]), "restarter") {
		sdk.Serve("restarter", "1.0.0", restart{}, askFirst{})
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// fleetd is a server for tests.
type fleetd struct {
	agentv1.UnimplementedEnrollmentServiceServer
	agentv1.UnimplementedAgentServiceServer
	ca   *identitytest.Authority
	addr string

	mu sync.Mutex
	// refuse is the answer to the next enrolments, one each.
	refuse []error
	asked  []*agentv1.EnrollRequest
	// sessions are those that were welcomed.
	sessions chan *session
}

// session is one session, seen from the server.
type session struct {
	hello  *agentv1.Hello
	stream grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]
	// cut ends it.
	cut chan struct{}
}

func newFleetd(t *testing.T) *fleetd {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fleetd{ca: identitytest.New(t), addr: listener.Addr().String(), sessions: make(chan *session, 4)}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(f.ca.ServerTLS())))
	agentv1.RegisterEnrollmentServiceServer(server, f)
	agentv1.RegisterAgentServiceServer(server, f)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return f
}

func (f *fleetd) Enroll(_ context.Context, r *agentv1.EnrollRequest) (*agentv1.EnrollResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r)
	if len(f.refuse) > 0 {
		err := f.refuse[0]
		f.refuse = f.refuse[1:]
		return nil, err
	}
	g := f.ca.Grant(r.GetCsr())
	return &agentv1.EnrollResponse{
		TerminalId: identitytest.TerminalID, Name: fmt.Sprintf("press-%d", len(f.asked)), Site: "lyon", Role: "user-terminal",
		CertificateChain: g.Chain, TrustBundle: g.Bundle,
	}, nil
}

func (f *fleetd) Connect(s grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	welcome := &agentv1.Welcome{Epoch: 1, ServerTime: timestamppb.Now(), TerminalId: identitytest.TerminalID}
	if err := s.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: welcome}}); err != nil {
		return err
	}
	open := &session{hello: m.GetHello(), stream: s, cut: make(chan struct{})}
	f.sessions <- open
	select {
	case <-open.cut:
		return status.Error(codes.Unavailable, "cut")
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func (f *fleetd) token() fleetid.Token {
	return fleetid.NewToken(fleetid.Fingerprint(f.ca.Certificate))
}

// lock makes a folder with one plugin and its plugins.lock. The plugin is never started here.
func lock(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program := []byte("not really a program")
	if err := os.WriteFile(filepath.Join(dir, "endpoint"), program, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	text, err := json.Marshal(map[string]any{"version": 1, "plugins": []any{map[string]any{
		"file": "endpoint", "sha256": hex.EncodeToString(sum[:]),
		"manifest": map[string]any{"name": "endpoint", "version": "1.0.0", "protocolVersion": 1, "actions": []any{map[string]any{"name": "ble-restart"}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins.lock"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// simulated makes a simulated terminal that ends with the test.
func simulated(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "press")
	if err := sim.Init(dir, sim.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Shutdown(dir); err != nil {
			t.Error(err)
		}
	})
	return "sim:" + dir
}

// good is an enrolment that f lets in.
func good(t *testing.T, f *fleetd) agent.EnrollConfig {
	t.Helper()
	return goodOn(t, f, simulated(t))
}

func goodOn(t *testing.T, f *fleetd, machine string) agent.EnrollConfig {
	t.Helper()
	return agent.EnrollConfig{
		DataDir: filepath.Join(t.TempDir(), "data"), Server: f.addr, Token: f.token().Text(), Plugins: lock(t),
		Machine: agent.Machine{Host: machine}, Version: "1.2.3", Log: slog.New(slog.DiscardHandler),
	}
}

func TestEnrolThenRun(t *testing.T) {
	f := newFleetd(t)
	c := good(t, f)
	record, err := agent.Enroll(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if record.TerminalID != identitytest.TerminalID || record.Site != "lyon" || record.Host != c.Machine.Host {
		t.Errorf("record is %+v, want what the server said and the machine that was named", record)
	}
	asked := f.asked[0]
	if len(asked.GetSealingKey()) != 32 || asked.GetFacts().GetOs() != "sim" || asked.GetFacts().GetAgentVersion() != "1.2.3" || len(asked.GetPlugins()) != 1 {
		t.Errorf("request is %v, want a sealing key, facts and the plugin", asked)
	}

	stop := start(t, c)
	hello := (<-f.sessions).hello
	if hello.GetJournalId() != asked.GetJournalId() || len(hello.GetPluginSha256()) != 1 || len(hello.GetFacts().GetServices()) != 2 {
		t.Errorf("hello is %v, want the journal of the enrolment, the plugin's hash and both services", hello)
	}

	second := agent.Run(t.Context(), agent.Config{DataDir: c.DataDir, Log: slog.New(slog.DiscardHandler)})
	if second == nil || !strings.Contains(second.Error(), "in use by another process") {
		t.Errorf("a second agent on the data directory: %v, want it refused: two would run every task twice", second)
	}
	again := c
	again.Again = true
	if _, err := agent.Enroll(t.Context(), again); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("enrolling anew under a running agent: %v, want it refused", err)
	}
	stop()
}

// start runs the enrolled agent and returns when it is up. The answer ends it, and is called at the end of the test at the
// latest.
func start(t *testing.T, c agent.EnrollConfig) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	done := make(chan error, 1)
	run := agent.Config{DataDir: c.DataDir, Version: c.Version, Log: c.Log, Ready: func() { close(ready) }}
	go func() { done <- agent.Run(ctx, run) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent ended with %v, want a clean end", err)
		}
	})
	t.Cleanup(stop)
	<-ready
	return stop
}

func TestLostAnswerIsAskedForWithTheSameKey(t *testing.T) {
	f := newFleetd(t)
	c := good(t, f)
	f.refuse = []error{status.Error(codes.Unavailable, "cut")}
	if _, err := agent.Enroll(t.Context(), c); err == nil {
		t.Fatal("Enroll succeeded without an answer")
	}
	if _, err := agent.Enroll(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	first, second := f.asked[0], f.asked[1]
	if !bytes.Equal(first.GetSealingKey(), second.GetSealingKey()) || first.GetJournalId() != second.GetJournalId() {
		t.Error("the second request is for other keys: the server would count another terminal")
	}
}

func TestEnrollingAnew(t *testing.T) {
	f := newFleetd(t)
	c := good(t, f)
	old, err := agent.Enroll(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = agent.Enroll(t.Context(), c)
	wantInput(t, err, "--force-re-enrol")

	c.Again = true
	f.refuse = []error{status.Error(codes.Unauthenticated, "the token is used up")}
	if _, err := agent.Enroll(t.Context(), c); err == nil || !strings.Contains(err.Error(), "used up") {
		t.Errorf("Enroll = %v, want the server's reason", err)
	}
	if id, err := identity.Load(identity.Dir(c.DataDir)); err != nil || id.Record() != old {
		t.Errorf("after a refused enrolment the identity is %+v, %v; want the earlier one untouched", id, err)
	}
	fresh, err := agent.Enroll(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.Load(identity.Dir(c.DataDir))
	if err != nil || id.Record() != fresh || fresh == old {
		t.Errorf("identity is %+v, %v; want the new one", fresh, err)
	}
	if former, err := filepath.Glob(filepath.Join(c.DataDir, "former-*", "agent.json")); err != nil || len(former) != 1 {
		t.Errorf("set aside: %v, %v; want the earlier identity", former, err)
	}
}

func TestBadInputNeverReachesTheServer(t *testing.T) {
	f, other, machine := newFleetd(t), newFleetd(t), simulated(t)
	for name, tc := range map[string]struct {
		spoil func(c *agent.EnrollConfig)
		want  string
	}{
		"damaged token":      {func(c *agent.EnrollConfig) { c.Token = c.Token[:40] }, "token"},
		"address":            {func(c *agent.EnrollConfig) { c.Server = "fleet.example.com" }, "HOST:PORT"},
		"port":               {func(c *agent.EnrollConfig) { c.Server = "fleet.example.com:0" }, "1 to 65535"},
		"no plugins":         {func(c *agent.EnrollConfig) { c.Plugins = c.DataDir }, "plugins"},
		"machine":            {func(c *agent.EnrollConfig) { c.Machine.Host = "box" }, "sim:DIR"},
		"no such simulation": {func(c *agent.EnrollConfig) { c.Machine.Host = "sim:" + c.Plugins }, "sim init"},
		"plugin twice": {func(c *agent.EnrollConfig) {
			path := filepath.Join(c.Plugins, "plugins.lock")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, entry, _ := strings.Cut(strings.TrimSuffix(string(text), `],"version":1}`), `[`)
			if err := os.WriteFile(path, fmt.Appendf(nil, `{"plugins":[%[1]s,%[1]s],"version":1}`, entry), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "pinned twice"},
		"changed plugin": {func(c *agent.EnrollConfig) {
			if err := os.WriteFile(filepath.Join(c.Plugins, "endpoint"), []byte("another program"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			c := goodOn(t, f, machine)
			tc.spoil(&c)
			_, err := agent.Enroll(t.Context(), c)
			wantInput(t, err, tc.want)
			if len(f.asked) != 0 {
				t.Error("the server was asked")
			}
			if made, _ := os.ReadDir(c.DataDir); len(made) != 0 {
				t.Errorf("the data directory holds %v, want nothing: the input was bad", made)
			}
		})
	}
	c := goodOn(t, f, machine)
	c.Token = other.token().Text()
	if _, err := agent.Enroll(t.Context(), c); err == nil || !strings.Contains(err.Error(), "CA") || len(f.asked) != 0 {
		t.Errorf("token of another server: %v, want the server refused before it sees the token", err)
	}
}

func TestRunNeedsAnEnrolment(t *testing.T) {
	err := agent.Run(t.Context(), agent.Config{DataDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	wantInput(t, err, "fleet-agent enroll")
}

func wantInput(t *testing.T, err error, text string) {
	t.Helper()
	var input *agent.InputError
	if !errors.As(err, &input) || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want an %T with %q", err, input, text)
	}
}
