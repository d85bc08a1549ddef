package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/kept"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const service = host.EndpointService

// bench is a machine with a journal, plugins and a server that remembers what it is told. It is made in a synctest bubble.
type bench struct {
	t       *testing.T
	machine *hosttest.Memory
	host    *host.Host
	journal Journal
	path    string
	plugins fakePlugins
	server  *fakeServer
	boot    string
	spool   Spool
	runner  *Runner
	// stop ends the runner's process gracefully and returns what Run returned.
	stop func() error
}

// inBench runs a test in a bubble, on a healthy machine with the restarting plugin.
func inBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		test(b)
		if err := b.stop(); err != nil {
			t.Errorf("Run ended with %v, want nil", err)
		}
	})
}

// newBench makes everything but starts nothing.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, machine: hosttest.NewMemory(), path: filepath.Join(t.TempDir(), "journal.db"), boot: "boot-1"}
	b.host = b.machine.Host()
	b.plugins = fakePlugins{"restart": newRestarter()}
	j, err := journal.Open(b.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	b.journal = j
	b.server = newServer()
	return b
}

// start begins a process: New, Recover, Run, and a session.
func (b *bench) start() {
	b.t.Helper()
	b.make()
	if err := b.runner.Recover(); err != nil {
		b.t.Fatal(err)
	}
	b.run()
}

func (b *bench) make() {
	folder, err := kept.Open(filepath.Join(filepath.Dir(b.path), "kept"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.runner = New(Config{
		Kept: folder,
		Host: b.host, Journal: b.journal, Plugins: b.plugins, Spool: b.spool, BootID: b.boot, Log: slog.New(slog.DiscardHandler),
		Terminal: &actionv1.Terminal{Id: "T-1", Role: "user-terminal"},
	})
	b.runner.SetReporter(b.server)
}

func (b *bench) run() {
	b.runner.SetServerTime(time.Now())
	b.runner.SessionStarted()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.runner.Run(ctx) }()
	b.stop = func() error {
		cancel()
		return <-done
	}
}

// restart ends the process gracefully and begins another on the same journal.
func (b *bench) restart() {
	b.t.Helper()
	if err := b.stop(); err != nil {
		b.t.Fatal(err)
	}
	b.start()
}

// task makes a task that expires in an hour.
func (b *bench) task(job, action string) *agentv1.Task {
	return &agentv1.Task{
		Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Action: action, Expires: timestamppb.New(time.Now().Add(time.Hour)), Epoch: 1,
	}
}

func (b *bench) dispatch(t *agentv1.Task) {
	b.t.Helper()
	b.handOver(&agentv1.Dispatch{Task: t})
}

// dispatchPermitted dispatches a task that comes with its permit.
func (b *bench) dispatchPermitted(t *agentv1.Task) {
	b.t.Helper()
	b.handOver(&agentv1.Dispatch{Task: t, PermitValidFor: durationpb.New(30 * time.Second)})
}

func (b *bench) handOver(d *agentv1.Dispatch) {
	b.t.Helper()
	if err := b.runner.Dispatch(b.t.Context(), d); err != nil {
		b.t.Fatalf("dispatch of %s: %v", nameOf(d.GetTask().GetKey()), err)
	}
}

func (b *bench) permit(t *agentv1.Task) {
	b.runner.Permit(&agentv1.Permit{Key: t.GetKey(), ValidFor: durationpb.New(30 * time.Second)})
}

// do dispatches and permits a task and returns its result.
func (b *bench) do(t *agentv1.Task) *actionv1.TaskResult {
	b.t.Helper()
	b.dispatch(t)
	b.permit(t)
	return b.result(t)
}

// result waits for the result of a task.
func (b *bench) result(t *agentv1.Task) *actionv1.TaskResult {
	b.t.Helper()
	res := b.server.wait(t.GetKey(), 4*time.Hour)
	if res == nil {
		b.t.Fatalf("task %s: no result after 4h", nameOf(t.GetKey()))
	}
	return res
}

// wantRunning fails unless the service runs.
func (b *bench) wantRunning() {
	b.t.Helper()
	if state, _ := b.machine.Host().Services.State(context.Background(), service); !running(state) {
		b.t.Errorf("service is %s in the end, want running: nothing may be left stopped", statusName(state.GetStatus()))
	}
}

// wantStatus fails unless a result has a status, and a reason unless it is good.
func (b *bench) wantStatus(res *actionv1.TaskResult, want actionv1.TaskStatus) {
	b.t.Helper()
	if res.GetStatus() != want {
		b.t.Errorf("status is %s (%s), want %s", res.GetStatus(), res.GetReason(), want)
	}
	good := want == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || want == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	if good != (res.GetReason() == "") {
		b.t.Errorf("status %s has the reason %q: a person needs one exactly when it is not good", want, res.GetReason())
	}
}

// fakeServer is a Reporter that remembers.
type fakeServer struct {
	mu       sync.Mutex
	results  map[string]*actionv1.TaskResult
	changed  chan struct{}
	accepted []string
	started  []string
	// delivered counts how often a result came.
	delivered map[string]int
	requests  []string
	blocked   []string
	progress  []string
	questions []*agentv1.Question
	news      []*agentv1.LeaseNews
	// person is told of each question and may answer; it must not block.
	person func(q *agentv1.Question)
}

func newServer() *fakeServer {
	return &fakeServer{results: map[string]*actionv1.TaskResult{}, delivered: map[string]int{}, changed: make(chan struct{})}
}

func (s *fakeServer) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeServer) Accepted(k *agentv1.TaskKey) {
	s.note(func() { s.accepted = append(s.accepted, nameOf(k)) })
}

func (s *fakeServer) Started(k *agentv1.TaskKey, _ time.Time) {
	s.note(func() { s.started = append(s.started, nameOf(k)) })
}

func (s *fakeServer) Progress(_ *agentv1.TaskKey, phase, message string) {
	s.note(func() { s.progress = append(s.progress, phase+": "+message) })
}

func (s *fakeServer) Result(r *agentv1.Result) {
	s.note(func() {
		s.results[nameOf(r.GetKey())] = proto.CloneOf(r.GetResult())
		s.delivered[nameOf(r.GetKey())]++
	})
}

func (s *fakeServer) PermitRequest(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	s.note(func() {
		s.requests = append(s.requests, strings.TrimPrefix(reason.String(), "HOLD_REASON_")+" "+nameOf(k)+" "+waitedFor)
	})
}

func (s *fakeServer) Blocked(k *agentv1.TaskKey, reason agentv1.HoldReason, waitedFor string) {
	s.note(func() {
		s.blocked = append(s.blocked, strings.TrimPrefix(reason.String(), "HOLD_REASON_")+" "+nameOf(k)+" "+waitedFor)
	})
}

func (s *fakeServer) LeaseNews(n *agentv1.LeaseNews) {
	s.note(func() { s.news = append(s.news, proto.CloneOf(n)) })
}

func (s *fakeServer) leaseNews() []*agentv1.LeaseNews {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.news)
}

func (s *fakeServer) Question(q *agentv1.Question) {
	s.note(func() { s.questions = append(s.questions, q) })
	if s.person != nil {
		s.person(q)
	}
}

// until waits until cond, which is asked with the lock held, is true.
func (s *fakeServer) until(limit time.Duration, cond func() bool) bool {
	timeout := time.After(limit)
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}

func (s *fakeServer) wait(k *agentv1.TaskKey, limit time.Duration) (res *actionv1.TaskResult) {
	s.until(limit, func() bool { res = s.results[nameOf(k)]; return res != nil })
	return res
}

func (s *fakeServer) count(list *[]string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(*list)
}

// fakePlugins offers one plugin for each action.
type fakePlugins map[string]*fakePlugin

func (f fakePlugins) Find(action string) (Plugin, *actionv1.Action, bool) {
	p, ok := f[action]
	if !ok {
		return nil, nil, false
	}
	return p, p.action, true
}

type phaseFunc func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error)

// fakePlugin is a plugin in this process.
type fakePlugin struct {
	action              *actionv1.Action
	plan, apply, verify phaseFunc
	launchErr           error
	output              string
	sha256              string

	mu sync.Mutex
	// cut says that output is only the end of what was written to whole.
	cut      bool
	whole    io.Writer
	launched int
	closed   int
	// phases are those that were begun, in order.
	phases []actionv1.Phase
}

func (p *fakePlugin) Name() string    { return "fake" }
func (p *fakePlugin) Version() string { return "1.2.3" }
func (p *fakePlugin) SHA256() string  { return p.sha256 }

func (p *fakePlugin) Launch(_ context.Context, output io.Writer) (Process, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.whole = output
	if p.launchErr != nil {
		return nil, p.launchErr
	}
	p.launched++
	return fakeProcess{p}, nil
}

// begun counts how often a phase was begun.
func (p *fakePlugin) begun(phase actionv1.Phase) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, other := range p.phases {
		if other == phase {
			n++
		}
	}
	return n
}

type fakeProcess struct{ p *fakePlugin }

func (f fakeProcess) Phase(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
	f.p.mu.Lock()
	f.p.phases = append(f.p.phases, start.GetPhase())
	f.p.mu.Unlock()
	switch start.GetPhase() {
	case actionv1.Phase_PHASE_PLAN:
		return f.p.plan(ctx, start, calls)
	case actionv1.Phase_PHASE_APPLY:
		return f.p.apply(ctx, start, calls)
	case actionv1.Phase_PHASE_VERIFY:
		return f.p.verify(ctx, start, calls)
	}
	return nil, fmt.Errorf("phase %s", start.GetPhase())
}

func (f fakeProcess) Output() (string, bool) { return f.p.output, f.p.cut }

func (f fakeProcess) Close() error {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	f.p.closed++
	return nil
}

// newRestarter is a plugin that restarts the Bluetooth Endpoint, ends its process when it hangs and force is set, and takes
// ten seconds without an end as success.
func newRestarter() *fakePlugin {
	return &fakePlugin{sha256: "00ff", action: restartAction(), plan: planRestart, apply: applyRestart, verify: verifyRestart}
}

func restartAction() *actionv1.Action {
	capability := func(kind actionv1.CapabilityKind, object string) *actionv1.Capability {
		return &actionv1.Capability{Kind: kind, Object: object}
	}
	return &actionv1.Action{
		Name: "restart", Resources: []string{"ble"}, Roles: []string{"user-terminal"},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, MaxDuration: durationpb.New(5 * time.Minute),
		Params: []*actionv1.Param{
			{Name: "force", Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: "false"},
			{Name: "stop_timeout", Type: actionv1.ParamType_PARAM_TYPE_DURATION, DefaultValue: "10s", Min: "5s", Max: "60s"},
		},
		Capabilities: []*actionv1.Capability{
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_READ, service),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, service),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL, service),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE, "agent-url"),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_READ, "2458:0001"),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_READ, "endpoint/nbe.toml"),
			capability(actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ, ""),
		},
	}
}

func stopEffect(name string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceStop{ServiceStop: &actionv1.ServiceStop{Service: name, Timeout: durationpb.New(10 * time.Second)}}}
}

func startEffect(name string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceStart{ServiceStart: &actionv1.ServiceStart{Service: name, Timeout: durationpb.New(10 * time.Second)}}}
}

func killEffect(name string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ServiceKill{ServiceKill: &actionv1.ServiceKill{Service: name, Timeout: durationpb.New(10 * time.Second)}}}
}

func ready(effects ...*actionv1.PlannedEffect) *actionv1.Finish {
	return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Effects: effects})
}

func finishPlan(p *actionv1.Plan) *actionv1.Finish {
	return &actionv1.Finish{Finish: &actionv1.Finish_Plan{Plan: p}}
}

func finishApplied(ok bool, reason string) *actionv1.Finish {
	return &actionv1.Finish{Finish: &actionv1.Finish_Applied{Applied: &actionv1.Applied{Ok: ok, Reason: reason}}}
}

func finishVerdict(checks ...*actionv1.Check) *actionv1.Finish {
	return &actionv1.Finish{Finish: &actionv1.Finish_Verdict{Verdict: &actionv1.Verdict{Checks: checks}}}
}

func planned(id string, e *actionv1.Effect) *actionv1.PlannedEffect {
	return &actionv1.PlannedEffect{Id: id, Effect: e}
}

func serviceQuery(name string) *actionv1.Query {
	return &actionv1.Query{Query: &actionv1.Query_Service{Service: &actionv1.ServiceQuery{Service: name}}}
}

func planRestart(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
	state, err := calls.Query(ctx, serviceQuery(service))
	if err != nil {
		return nil, err
	}
	if !state.GetService().GetInstalled() {
		return finishPlan(&actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED, Reason: "it is not installed", NextStep: "install it"}), nil
	}
	effects := []*actionv1.PlannedEffect{planned("stop", stopEffect(service))}
	if start.GetParams()["force"] == "true" {
		effects = append(effects, planned("kill", killEffect(service)))
	}
	return ready(append(effects, planned("start", startEffect(service)))...), nil
}

func applyRestart(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
	do := func(id string) (*actionv1.RecordedEffect, error) {
		return calls.Effect(ctx, &actionv1.EffectRequest{PlanId: id, Effect: plannedEffect(start.GetPlan(), id)})
	}
	stopped, err := do("stop")
	if err != nil {
		return nil, err
	}
	if stopped.GetError() != "" && start.GetParams()["force"] == "true" {
		if stopped, err = do("kill"); err != nil {
			return nil, err
		}
	}
	if stopped.GetError() != "" {
		return finishApplied(false, "it does not stop"), nil
	}
	started, err := do("start")
	if err != nil {
		return nil, err
	}
	if started.GetError() != "" {
		return finishApplied(false, "it does not start"), nil
	}
	return finishApplied(true, ""), nil
}

func verifyRestart(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
	watched, err := calls.Query(ctx, &actionv1.Query{Query: &actionv1.Query_ServiceWatch{ServiceWatch: &actionv1.ServiceWatch{Service: service, StableFor: durationpb.New(10 * time.Second)}}})
	if err != nil {
		return nil, err
	}
	fresh := true
	for _, e := range start.GetEffects() {
		fresh = fresh && e.GetBefore().GetService().GetPid() != watched.GetServiceWatch().GetState().GetPid()
	}
	return finishVerdict(
		&actionv1.Check{Name: "stable", Expected: "running for 10s", Observed: watched.GetServiceWatch().GetState().GetStatus().String(), Ok: watched.GetServiceWatch().GetStable()},
		&actionv1.Check{Name: "process", Expected: "a new one", Observed: fmt.Sprint(watched.GetServiceWatch().GetState().GetPid()), Ok: fresh},
	), nil
}

var errDied = errors.New("the process ended with exit code 2")

// pass lets time pass in a bubble, and everybody come to rest, so that what they left may be read.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
