package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// bench is a terminal in memory with the agent's own runner on it.
type bench struct {
	t       *testing.T
	machine *hosttest.Memory
	journal *journal.Journal
	plugins runner.Plugins
	runner  *runner.Runner
	// stop ends the agent process in an orderly way.
	stop    func()
	results chan *agentv1.Result
	tasks   int
}

// inBench runs a test on a healthy terminal, in a bubble of time, with the actions run in this process.
func inBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { withBench(t, inProcess{}, test) })
}

func withBench(t *testing.T, plugins runner.Plugins, test func(b *bench)) {
	t.Helper()
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	b := &bench{t: t, machine: hosttest.NewMemory(), results: make(chan *agentv1.Result, 16), journal: j, plugins: plugins}
	b.start()
	test(b)
	b.stop()
}

// start begins an agent process on the terminal's journal.
func (b *bench) start() {
	b.t.Helper()
	b.runner = runner.New(runner.Config{
		Host: b.machine.Host(), Journal: b.journal, Plugins: b.plugins, BootID: "boot-1", Log: slog.New(slog.DiscardHandler),
		Terminal: &actionv1.Terminal{Id: "t-1", Name: "press-4", Site: "lyon", Role: "user-terminal"},
	})
	b.runner.SetReporter(&reporter{results: b.results})
	if err := b.runner.Recover(); err != nil {
		b.t.Fatal(err)
	}
	b.runner.SetServerTime(time.Now())
	b.runner.SessionStarted()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.runner.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("runner: %v", err)
		}
	}
}

// run has an action run as a task and returns its result.
func (b *bench) run(action string, params map[string]string) *actionv1.TaskResult {
	b.t.Helper()
	b.begin(action, params)
	return b.result()
}

// begin has a task started.
func (b *bench) begin(action string, params map[string]string) {
	b.t.Helper()
	b.tasks++
	key := &agentv1.TaskKey{JobId: fmt.Sprintf("j-%d", b.tasks), Attempt: 1}
	err := b.runner.Dispatch(b.t.Context(), &agentv1.Dispatch{
		Task: &agentv1.Task{
			Key: key, Action: action, Params: params, Expires: timestamppb.New(time.Now().Add(time.Hour)), Epoch: 1,
		},
		PermitValidFor: durationpb.New(30 * time.Second),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// result waits for the result of the task that was begun and acknowledges it.
func (b *bench) result() *actionv1.TaskResult {
	r := <-b.results
	b.runner.Acknowledge(r.GetKey())
	return r.GetResult()
}

// reporter passes results on.
type reporter struct{ results chan *agentv1.Result }

func (r *reporter) Accepted(*agentv1.TaskKey)                                  {}
func (r *reporter) Started(*agentv1.TaskKey, time.Time)                        {}
func (r *reporter) Progress(*agentv1.TaskKey, string, string)                  {}
func (r *reporter) Result(res *agentv1.Result)                                 { r.results <- res }
func (r *reporter) Question(*agentv1.Question)                                 {}
func (r *reporter) PermitRequest(*agentv1.TaskKey, agentv1.HoldReason, string) {}
func (r *reporter) Blocked(*agentv1.TaskKey, agentv1.HoldReason, string)       {}

// inProcess offers the plugin's actions without a process.
type inProcess struct{}

func (inProcess) Find(action string) (runner.Plugin, *actionv1.Action, bool) {
	for _, a := range []sdk.Action{bleRestart{}, nymiAgentRestart{}} {
		if a.Manifest().GetName() == action {
			return inProcessPlugin{a}, a.Manifest(), true
		}
	}
	return nil, nil, false
}

type inProcessPlugin struct{ action sdk.Action }

func (inProcessPlugin) Name() string    { return "endpoint" }
func (inProcessPlugin) Version() string { return version }
func (inProcessPlugin) SHA256() string  { return strings.Repeat("0", 64) }
func (p inProcessPlugin) Launch(context.Context, io.Writer) (runner.Process, error) {
	return p, nil
}

func (p inProcessPlugin) Phase(ctx context.Context, start *actionv1.Start, calls runner.Calls) (*actionv1.Finish, error) {
	return sdk.RunPhase(ctx, p.action, start, calls)
}

func (inProcessPlugin) Output() (string, bool) { return "", false }
func (inProcessPlugin) Close() error           { return nil }
