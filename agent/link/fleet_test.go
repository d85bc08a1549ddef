package link

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/identity/identitytest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const terminalID = identitytest.TerminalID

// enrolled makes the identity of an enrolled machine.
func enrolled(t testing.TB, ca *identitytest.Authority) *identity.Identity {
	t.Helper()
	d := identity.Dir(t.TempDir())
	ca.Enrol(d, identity.Record{Server: "fleet.test:7443", TerminalID: terminalID, Name: "press-1"})
	id, err := identity.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// fleet is a server for tests. Each session is handed to the test as a conversation.
type fleet struct {
	agentv1.UnimplementedAgentServiceServer
	agentv1.UnimplementedEnrollmentServiceServer
	ca       *identitytest.Authority
	listener *bufconn.Listener
	server   *grpc.Server
	sessions chan *conversation
	renewals chan time.Time
	// refuseRenewal is returned by so many renewals first.
	refuseRenewal []error
	uploads       *uploads
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{
		ca: identitytest.New(t), listener: bufconn.Listen(64 << 10),
		sessions: make(chan *conversation, 16), renewals: make(chan time.Time, 16), uploads: newUploads(),
	}
	f.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(f.ca.ServerTLS())),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}))
	agentv1.RegisterAgentServiceServer(f.server, f)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := f.server.Serve(f.listener); err != nil {
			t.Errorf("test server: %v", err)
		}
	})
	t.Cleanup(func() { f.server.Stop(); serving.Wait() })
	return f
}

func (f *fleet) Connect(s grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]) error {
	c := &conversation{stream: s, over: make(chan error, 1)}
	select {
	case f.sessions <- c:
	case <-s.Context().Done():
		return s.Context().Err()
	}
	select {
	case err := <-c.over:
		return err
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func (f *fleet) Renew(_ context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	f.renewals <- time.Now()
	if len(f.refuseRenewal) > 0 {
		err := f.refuseRenewal[0]
		f.refuseRenewal = f.refuseRenewal[1:]
		return nil, err
	}
	g := f.ca.Grant(r.GetCsr())
	return &agentv1.RenewResponse{CertificateChain: g.Chain, TrustBundle: g.Bundle}, nil
}

// conversation is one session, seen from the server.
type conversation struct {
	stream grpc.BidiStreamingServer[agentv1.ConnectRequest, agentv1.ConnectResponse]
	over   chan error
	// returnWithin is what the Welcome says of it; nil as of a server that does not know it.
	returnWithin *durationpb.Duration
}

func (c *conversation) receive(t testing.TB) *agentv1.ConnectRequest {
	t.Helper()
	m, err := c.stream.Recv()
	if err != nil {
		t.Fatalf("session: %v, want another message of the agent", err)
	}
	return m
}

func (c *conversation) send(t testing.TB, m *agentv1.ConnectResponse) {
	t.Helper()
	if err := c.stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

// welcome receives the Hello and answers it.
func (c *conversation) welcome(t testing.TB) *agentv1.Hello {
	t.Helper()
	hello := c.receive(t).GetHello()
	if hello == nil {
		t.Fatal("the session did not begin with a Hello")
	}
	c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: &agentv1.Welcome{
		SessionId: "s", Epoch: 3, ServerTime: timestamppb.Now(), TerminalId: terminalID, Name: "press-1", Site: "lyon", Role: "user-terminal",
		ReturnWithin: c.returnWithin,
	}}})
	return hello
}

// fakeRunner records what the link hands on.
type fakeRunner struct {
	mu        sync.Mutex
	open      []*agentv1.OpenTask
	unsent    []*agentv1.Result
	calls     chan string
	questions []*agentv1.Question
	news      []*agentv1.LeaseNews
	refuse    error
	// unreadable is what reading the open tasks comes to.
	unreadable error
	at         time.Time
	name       string
	epoch      uint64
}

func newFakeRunner() *fakeRunner { return &fakeRunner{calls: make(chan string, 64)} }

func (r *fakeRunner) Dispatch(_ context.Context, d *agentv1.Dispatch) error {
	call := "dispatch " + d.GetTask().GetKey().GetJobId()
	if d.GetPermitValidFor() != nil {
		call += " permitted for " + d.GetPermitValidFor().AsDuration().String()
	}
	r.calls <- call
	return r.refuse
}
func (r *fakeRunner) Permit(p *agentv1.Permit) { r.calls <- "permit " + p.GetKey().GetJobId() }
func (r *fakeRunner) Cancel(k *agentv1.TaskKey, reason string) {
	r.calls <- "cancel " + k.GetJobId() + " " + reason
}
func (r *fakeRunner) Hold(k *agentv1.TaskKey, reason string) {
	r.calls <- "hold " + k.GetJobId() + " " + reason
}
func (r *fakeRunner) Acknowledge(k *agentv1.TaskKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsent = nil
	r.calls <- "acknowledge " + k.GetJobId()
}
func (r *fakeRunner) Answer(a *agentv1.Answer) {
	r.calls <- fmt.Sprintf("answer %s %s %t by %s", a.GetKey().GetJobId(), a.GetPlanId(), a.GetConfirmed(), a.GetBy())
}
func (r *fakeRunner) OpenQuestions() []*agentv1.Question {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.questions
}
func (r *fakeRunner) setQuestions(open ...*agentv1.Question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.questions = open
}
func (r *fakeRunner) LeaseNews() ([]*agentv1.LeaseNews, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news, nil
}
func (r *fakeRunner) LeaseNewsAcknowledged(ack *agentv1.LeaseNewsAck) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news = nil
	r.calls <- fmt.Sprintf("lease news of %s acknowledged, ended %t", ack.GetId(), ack.GetEnded())
}
func (r *fakeRunner) OpenTasks() ([]*agentv1.OpenTask, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open, r.unreadable
}
func (r *fakeRunner) Unacknowledged() ([]*agentv1.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unsent, r.unreadable
}
func (r *fakeRunner) setUnreadable(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unreadable = err
}
func (r *fakeRunner) SessionStarted()                  { r.calls <- "started" }
func (r *fakeRunner) SessionEnded()                    { r.calls <- "ended" }
func (r *fakeRunner) SetTerminal(t *actionv1.Terminal) { r.name = t.GetName() }
func (r *fakeRunner) SetServerTime(t time.Time)        { r.at = t }

func (r *fakeRunner) Epoch() (uint64, error)      { return r.epoch, nil }
func (r *fakeRunner) SetEpoch(epoch uint64) error { r.epoch = epoch; return nil }

func (r *fakeRunner) want(t testing.TB, calls ...string) {
	t.Helper()
	for _, want := range calls {
		if got := <-r.calls; got != want {
			t.Fatalf("the runner was called with %q, want %q", got, want)
		}
	}
}

// fakeJournal counts its sessions and nothing else.
type fakeJournal struct {
	sequence uint64
	broken   error
}

func (j *fakeJournal) ID() string       { return "journal-1" }
func (j *fakeJournal) Sequence() uint64 { return j.sequence }

func (j *fakeJournal) BeginSession() (uint64, error) {
	j.sequence++
	return j.sequence, j.broken
}

// startLink runs a link against f until the test ends.
func startLink(t testing.TB, f *fleet, runner Runner, change ...func(*Link)) *Link {
	t.Helper()
	l := New(Config{
		Identity: enrolled(t, f.ca), Runner: runner, Journal: &fakeJournal{sequence: 6},
		Plugins: []*agentv1.Plugin{
			{Sha256: "aa", Manifest: &actionv1.Manifest{Name: "endpoint"}},
			{Sha256: "bb", Manifest: &actionv1.Manifest{Name: "certs"}},
		},
		Dial: func(ctx context.Context, _ string) (net.Conn, error) { return f.listener.DialContext(ctx) },
		Log:  slog.New(slog.DiscardHandler),
	})
	for _, c := range change {
		c(l)
	}
	l.SetFacts(&agentv1.Facts{Hostname: "press-1"})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("link: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return l
}
