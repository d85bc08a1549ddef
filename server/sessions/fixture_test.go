package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const job = "01HZY0000000000000000000AA"

// pipe is a stream whose other end is the test.
type pipe struct {
	ctx      context.Context
	toServer chan *agentv1.ConnectRequest
	toAgent  chan *agentv1.ConnectResponse
	// returned gets what the handler returned, which ends the stream.
	returned chan error
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Recv() (*agentv1.ConnectRequest, error) {
	select {
	case m, ok := <-p.toServer:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

func (p *pipe) Send(m *agentv1.ConnectResponse) error {
	select {
	case p.toAgent <- m:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// hangUp leaves as an agent does that is stopped.
func (p *pipe) hangUp(t *testing.T) {
	t.Helper()
	close(p.toServer)
	if err := <-p.returned; err != nil {
		t.Errorf("an agent that leaves is no error: %v", err)
	}
}

// world is the engine and the inventory of the tests: it writes down what it is told.
type world struct {
	mu     sync.Mutex
	events []string
	refuse error
	stored func(error)
	epoch  uint64
	// quarantine is the terminal's.
	quarantine *fleetv1.Quarantine
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *world) Current() uint64 { return w.epoch }

func (w *world) Raise(_ context.Context, seen uint64) error {
	w.epoch = seen + 1
	return nil
}

func (w *world) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := strings.Join(w.events, ", ")
	w.events = nil
	return all
}

func (w *world) Connected(_ context.Context, id string, n uint64, open []*agentv1.OpenTask, journal string) error {
	w.note("connected %s %d open=%d journal=%s", id, n, len(open), journal)
	return nil
}

func (w *world) PluginsSeen(_ context.Context, id string, sha256 []string) error {
	w.note("plugins of %s %v", id, sha256)
	return nil
}

func (w *world) Question(_ context.Context, _ string, q *agentv1.Question) error {
	w.note("question %q", q.GetPrompt())
	return nil
}

func (w *world) Disconnected(_ context.Context, id string, n uint64) error {
	w.note("disconnected %s %d", id, n)
	return nil
}

func (w *world) Facts(_ context.Context, id string, n uint64, _ fleetv1.TerminalRole, facts *agentv1.Facts) error {
	w.note("facts of %s %d services=%d", id, n, len(facts.GetServices()))
	return nil
}

func (w *world) PermitRequested(_ context.Context, _ string, r *agentv1.PermitRequest) error {
	w.note("permit requested %q", r.GetWaitedFor())
	return nil
}

func (w *world) Blocked(_ context.Context, _ string, b *agentv1.Blocked) error {
	w.note("blocked %q", b.GetWaitedFor())
	return nil
}

func (w *world) Started(context.Context, string, *agentv1.Started) error {
	w.note("started")
	return nil
}

func (w *world) Progress(_ context.Context, _ string, p *agentv1.TaskProgress) error {
	w.note("progress %s", p.GetPhase())
	return nil
}

func (w *world) Result(_ context.Context, _ string, _ *agentv1.Result, stored func(error)) error {
	w.note("result")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored = stored
	return nil
}

func (w *world) LeaseNews(_ context.Context, _ string, n *agentv1.LeaseNews, stored func(error)) error {
	w.note("lease %s ended=%t", n.GetLease().GetId(), n.GetLease().GetEnded())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stored = stored
	return nil
}

func (w *world) SessionOpened(_ context.Context, _ string, _ *agentv1.Hello, heard uint64) (*inventory.Opening, error) {
	if heard > 0 {
		w.note("opened after %d", heard)
	}
	return &inventory.Opening{Unknown: []string{"ab"}, Quarantine: w.quarantine}, w.refuse
}

func (w *world) Ask(_ context.Context, id string, n uint64, a *agentv1.Ask) {
	w.note("ask %d of %s %d", a.GetId(), id, n)
}

func (w *world) Verdict(id string, v *agentv1.ProbeVerdict) {
	w.note("verdict %d of %s", v.GetId(), id)
}

func (w *world) Journal(_ context.Context, id string, sequence uint64, q *fleetv1.Quarantine) error {
	if sequence > 0 || q != nil {
		w.note("journal of %s at %d %s", id, sequence, q.GetReason())
	}
	return nil
}

func (w *world) FactsChanged(context.Context, string, *agentv1.Facts) error {
	w.note("facts")
	return nil
}

func (w *world) SavePlugins(_ context.Context, _ string, p []*agentv1.Plugin) error {
	w.note("plugins %d", len(p))
	return nil
}

func (w *world) SessionClosed(_ context.Context, id, journal string, heard uint64) error {
	if heard > 0 {
		w.note("heard %s at %d", journal, heard)
	}
	w.note("closed %s", id)
	return nil
}

// rate is an admission of so many agents a second.
type rate int

func (r rate) Spread(agents int) time.Duration {
	return time.Second * time.Duration(agents) / time.Duration(r)
}

// rig is a service over the test's world.
type rig struct {
	t        *testing.T
	world    *world
	registry *Registry
	service  *Service
}

func newRig(t *testing.T) *rig {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	r := &rig{t: t, world: &world{epoch: 7}, registry: NewRegistry(rate(100), log)}
	r.service = New(Config{
		Registry: r.registry, Engine: r.world, Inventory: r.world, Asks: r.world, Epoch: r.world, Fleet: 500, Now: time.Now, Log: log,
		Terminal: func(context.Context) *storagev1.TerminalRecord {
			return &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{
				Id: "T-0001", Site: "lyon", Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL,
			}}
		},
	})
	return r
}

// dial opens a stream. A stream's context ends when its handler returns, as gRPC's does.
func (r *rig) dial(buffer int) *pipe {
	ctx, cancel := context.WithCancel(r.t.Context())
	p := &pipe{ctx: ctx, toServer: make(chan *agentv1.ConnectRequest), toAgent: make(chan *agentv1.ConnectResponse, buffer), returned: make(chan error, 1)}
	go func() {
		p.returned <- r.service.connect(p)
		cancel()
	}()
	return p
}

func hello() *agentv1.ConnectRequest {
	h := &agentv1.Hello{ProtocolVersion: ProtocolVersion, JournalId: "j", PluginSha256: []string{"aa"}}
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: h}}
}

func result(status actionv1.TaskStatus) *agentv1.ConnectRequest {
	res := &agentv1.Result{Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Result: &actionv1.TaskResult{Status: status}}
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: res}}
}

// connected dials and says hello.
func (r *rig) connected() *pipe {
	r.t.Helper()
	p := r.dial(queueSize * 2)
	p.toServer <- hello()
	synctest.Wait()
	welcome := (<-p.toAgent).GetWelcome()
	if welcome.GetTerminalId() != "T-0001" || welcome.GetEpoch() != 7 || welcome.GetRole() != "user-terminal" {
		r.t.Errorf("welcome is %v, want terminal T-0001, epoch 7 and its role", welcome)
	}
	if within := welcome.GetReturnWithin().AsDuration(); within != 5*time.Second {
		r.t.Errorf("it is told to come back within %s, want 5s: 500 terminals at 100 a second", within)
	}
	if ask := (<-p.toAgent).GetPluginsRequest(); len(ask.GetSha256()) != 1 {
		r.t.Errorf("asked for plugins %v, want the one that is unknown", ask)
	}
	return p
}

func expectRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	var no *refusal.Error
	if !errors.As(err, &no) || no.Reason != reason {
		t.Errorf("the stream ended with %v, want reason %s", err, reason)
	}
}

func expectEvents(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("told: %s\nwant: %s", got, want)
	}
}

func bubble(t *testing.T, test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) { test(t, newRig(t)) })
}

func permit() *agentv1.ConnectResponse {
	return &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Permit{Permit: &agentv1.Permit{}}}
}
