package reflex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/news"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	service = host.EndpointService
	entry   = "endpoint-stopped"
	policy  = "start-stopped-services"
)

// start starts the Bluetooth Endpoint.
type start struct {
	// name is the action's; empty is "start".
	name string
	// useless has its verification fail whatever it did.
	useless bool
	// asks declares that it asks a person.
	asks bool
}

func (a start) Manifest() *actionv1.Action {
	m := &actionv1.Action{
		Name: "start", Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, Resources: []string{"ble"},
		Capabilities: []*actionv1.Capability{sdk.ReadService(service), sdk.ControlService(service)}, MaxDuration: durationpb.New(5 * time.Minute),
	}
	if a.name != "" {
		m.Name = a.name
	}
	if a.asks {
		m.Capabilities = append(m.Capabilities, sdk.AskPerson())
	}
	return m
}

func (a start) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(sdk.Planned("start", sdk.StartService(service, 10*time.Second), "", "")), nil
}

func (a start) Apply(ctx context.Context, r *sdk.ApplyRun) error { return r.MustDo(ctx, "start") }

func (a start) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	runs := s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
	return sdk.Verdict(sdk.Check("running", "running", s.GetStatus().String(), runs && !a.useless)), nil
}

// rig is a terminal in memory with runner, engine and outbox, and something that notices when the service is stopped. It is to be made in a
// bubble of time.
type rig struct {
	t       *testing.T
	machine *hosttest.Memory
	book    *journal.Journal
	plugins runner.Plugins
	orders  *agentv1.Orders
	// wall is the machine's clock when a process begins; nil is the true one.
	wall func() time.Time
	// blind has nobody notice faults.
	blind bool

	life   *life
	outbox *news.Outbox
	engine *Engine
	runner *runner.Runner
	server *server
	cancel context.CancelFunc
	ended  sync.WaitGroup
	nudged chan struct{}
}

func newRig(t *testing.T, actions ...sdk.Action) *rig {
	t.Helper()
	if len(actions) == 0 {
		actions = []sdk.Action{start{}}
	}
	book, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	must(t, err)
	r := &rig{t: t, machine: hosttest.NewMemory(), book: book, plugins: runnertest.Actions(actions...), server: &server{}, nudged: make(chan struct{}, 1)}
	r.orders = &agentv1.Orders{Reflexes: []*agentv1.Reflex{{
		Policy: policy, Entry: entry, Action: actions[0].Manifest().GetName(), ByAgent: true,
		Guardrails: &agentv1.Guardrails{MaxAttempts: 3, Period: durationpb.New(time.Hour)},
	}}}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// begin has a process of the agent begin, which dies at a step; 0 is never. It says whether it came up.
func (r *rig) begin(dieAt int) bool {
	r.t.Helper()
	r.life = newLife(dieAt)
	mine := r.life
	r.machine.Guard(mine.step)
	book := mortal{r.book, mine}
	log := slog.New(slog.DiscardHandler)
	var err error
	r.outbox, err = news.Open(news.Config{Journal: book, Log: log})
	must(r.t, err)
	r.engine = New(Config{Journal: book, News: r.outbox, Plugins: r.plugins, Nudge: r.nudge, Clock: r.wall, Log: log})
	r.runner = runner.New(runner.Config{Host: r.machine.Host(), Journal: book, Plugins: r.plugins, Remedies: r.engine, BootID: "boot-1", Log: log})
	r.runner.SetReporter(r.server)
	r.engine.SetRunner(r.runner)
	must(r.t, r.engine.Take(r.orders))
	if err := errors.Join(r.engine.Recover(), r.runner.Recover()); err != nil {
		return false
	}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	e, run := r.engine, r.runner
	r.ended.Go(func() { _ = run.Run(ctx) }) // a dead journal ends it
	r.ended.Go(func() { _ = e.Run(ctx) })
	if !r.blind {
		r.ended.Go(func() { r.watch(ctx, e) })
	}
	return true
}

// end has the process end.
func (r *rig) end() {
	if r.cancel != nil {
		r.cancel()
		r.ended.Wait()
		r.cancel = nil
	}
}

// done ends everything.
func (r *rig) done() {
	r.end()
	must(r.t, r.book.Close())
}

func (r *rig) nudge() {
	select {
	case r.nudged <- struct{}{}:
	default:
	}
}

// watch reports the service when it is stopped, and when it runs again.
func (r *rig) watch(ctx context.Context, sink Sink) {
	open := len(r.engine.KnownStates()) > 0
	for {
		stopped := r.machine.PID(service) == 0
		if stopped || open {
			if sink.Fault(fault(!stopped)) == nil {
				open = stopped
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-r.nudged:
		case <-time.After(30 * time.Second):
		}
	}
}

func fault(gone bool) *agentv1.FaultReport {
	return &agentv1.FaultReport{
		Entry: entry, Gone: gone, Count: 1, FirstSeen: timestamppb.Now(), LastSeen: timestamppb.Now(), Rule: "state",
		Confidence: agentv1.Confidence_CONFIDENCE_STATE,
	}
}

// task is one of the server's, for the fault.
func (r *rig) task(job, by string) *agentv1.Task {
	return &agentv1.Task{
		Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Action: r.orders.GetReflexes()[0].GetAction(), Expires: timestamppb.New(time.Now().Add(time.Hour)),
		Remedies: &agentv1.Remedies{Entry: entry, Policy: by},
	}
}

// remedy has the server's task run and returns what came of it. There must be a session.
func (r *rig) remedy(job, by string) *actionv1.TaskResult {
	r.t.Helper()
	must(r.t, r.runner.Dispatch(r.t.Context(), &agentv1.Dispatch{Task: r.task(job, by), PermitValidFor: durationpb.New(30 * time.Second)}))
	for range 600 {
		if res := r.server.result(job); res != nil {
			return res
		}
		time.Sleep(time.Second)
	}
	r.t.Fatalf("task %s: no result within ten minutes", job)
	return nil
}

// told is all that waits for the server, in words.
func (r *rig) told() (told []string) {
	r.t.Helper()
	must(r.t, r.book.News(0, func(n *agentv1.News) bool { told = append(told, words(n)); return true }))
	return told
}

func words(n *agentv1.News) string {
	switch f, x, b := n.GetFault(), n.GetReflex(), n.GetBreaker(); {
	case f != nil && f.GetGone():
		return "gone"
	case f != nil:
		return "fault"
	case x != nil:
		return fmt.Sprintf("reflex %d %s", x.GetAttempt(), x.GetResult().GetStatus())
	case b.GetOpen():
		return fmt.Sprintf("open %d", b.GetAttempts())
	default:
		return fmt.Sprintf("closed %d", b.GetAttempts())
	}
}

// count is how often something was told.
func (r *rig) count(what string) (n int) {
	for _, w := range r.told() {
		if w == what {
			n++
		}
	}
	return n
}

// breaker is the one of the fault.
func (r *rig) breaker() *storagev1.JournalBreaker {
	r.t.Helper()
	all, err := r.book.Breakers()
	must(r.t, err)
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// server remembers results, and fails the test when it is told of what is not its own.
type server struct {
	runner.Reporter
	mu      sync.Mutex
	results map[string]*actionv1.TaskResult
	foreign []string
}

func (s *server) note(k *agentv1.TaskKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if runner.IsOwn(k) {
		s.foreign = append(s.foreign, k.GetJobId())
	}
}

func (s *server) Started(k *agentv1.TaskKey, _ time.Time)                          { s.note(k) }
func (s *server) Accepted(k *agentv1.TaskKey)                                      { s.note(k) }
func (s *server) Progress(k *agentv1.TaskKey, _, _ string)                         { s.note(k) }
func (s *server) Blocked(k *agentv1.TaskKey, _ agentv1.HoldReason, _ string)       { s.note(k) }
func (s *server) PermitRequest(k *agentv1.TaskKey, _ agentv1.HoldReason, _ string) { s.note(k) }
func (s *server) Result(r *agentv1.Result) {
	s.note(r.GetKey())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.results == nil {
		s.results = map[string]*actionv1.TaskResult{}
	}
	s.results[r.GetKey().GetJobId()] = r.GetResult()
}

func (s *server) result(job string) *actionv1.TaskResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.results[job]
}
