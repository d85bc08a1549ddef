package runnertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/kept"
	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Setup says what a Bench is made of. Plugins is required.
type Setup struct {
	// Plugins are the actions: Actions(bleRestart{}), or a set of real plugin programs.
	Plugins runner.Plugins
	// Machine makes the machine; nil means hosttest.NewMemory. It is called in the bubble.
	Machine func() *hosttest.Memory
	// Terminal is nil for a user terminal of the site lyon.
	Terminal *actionv1.Terminal
	// Person answers what the action asks; nil, or a nil answer, means that nobody does.
	Person func(*agentv1.Question) *agentv1.Answer
	// Configure changes how each process of the agent is made; nil changes nothing. Ready is called with the runner before it runs.
	Configure func(*runner.Config)
	Ready     func(*runner.Runner)
}

// Bench is a terminal in memory with the agent's own runner on it.
type Bench struct {
	T       *testing.T
	Machine *hosttest.Memory
	Journal *journal.Journal
	// Runner is the one of the process that runs now.
	Runner *runner.Runner

	setup  Setup
	dir    string
	server *server
	// cancel has the process end in an orderly way, and ended tells what it came to.
	cancel context.CancelFunc
	ended  chan error
	// boot is the one that the process was started in.
	boot  string
	tasks int
	// toLeaseEnd has a life go on until the task's lease has ended.
	toLeaseEnd bool
}

// In runs a test on a terminal in memory, in a bubble of time.
func In(t *testing.T, s Setup, test func(b *Bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { On(t, s, test) })
}

// On is In without a bubble: for plugins that are real processes, which need real time.
func On(t *testing.T, s Setup, test func(b *Bench)) {
	t.Helper()
	b := newBench(t, s)
	defer b.close()
	b.Start()
	test(b)
	b.Stop()
}

func newBench(t *testing.T, s Setup) *Bench {
	t.Helper()
	if s.Machine == nil {
		s.Machine = hosttest.NewMemory
	}
	if s.Terminal == nil {
		s.Terminal = &actionv1.Terminal{Id: "t-1", Name: "press-4", Site: "lyon", Role: "user-terminal"}
	}
	dir := t.TempDir()
	j, err := journal.Open(filepath.Join(dir, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{T: t, Machine: s.Machine(), Journal: j, setup: s, dir: dir, server: newServer()}
	b.server.person = s.Person
	return b
}

func (b *Bench) close() {
	if err := b.Journal.Close(); err != nil {
		b.T.Error(err)
	}
}

// Start begins a process of the agent on the terminal's journal.
func (b *Bench) Start() {
	b.T.Helper()
	if err := b.begin(newLife(0)); err != nil {
		b.T.Fatalf("recovery: %v, want the agent to come up", err)
	}
}

// begin makes a runner with a life, recovers and runs it.
func (b *Bench) begin(l *life) error {
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.ended = cancel, make(chan error, 1)
	// A start of the machine ends the process at once (its end in order would put back what it has done), and no later one, which may
	// have begun by the time that the start is told of.
	b.Machine.OnReboot(func() { l.end(); cancel() }, nil)
	b.boot = b.bootID()
	b.Machine.Guard(l.step)
	folder, err := kept.Open(filepath.Join(b.dir, "kept"))
	if err != nil {
		return err
	}
	config := runner.Config{
		Host: b.Machine.Host(), Journal: mortalJournal{b.Journal, l}, Kept: folder, Plugins: b.setup.Plugins, BootID: b.boot, Log: slog.New(slog.DiscardHandler), Terminal: b.setup.Terminal,
	}
	if b.setup.Configure != nil {
		b.setup.Configure(&config)
	}
	r := runner.New(config)
	b.Runner, b.server.tell = r, r.Answer
	r.SetReporter(b.server)
	if b.setup.Ready != nil {
		b.setup.Ready(r)
	}
	if err := r.Recover(); err != nil {
		return err
	}
	r.SetServerTime(time.Now())
	r.SessionStarted()
	go func(ended chan<- error) { ended <- r.Run(ctx) }(b.ended)
	return nil
}

// Stop ends the process in an orderly way. Starting again is Start's.
func (b *Bench) Stop() {
	b.T.Helper()
	b.cancel()
	if err := <-b.ended; err != nil {
		b.T.Errorf("the agent ended with %v, want nil", err)
	}
}

// Host is the machine as the agent sees it.
func (b *Bench) Host() *host.Host { return b.Machine.Host() }

// Folder is where the agent keeps what it keeps: its journal, and the earlier content of files.
func (b *Bench) Folder() string { return b.dir }

func (b *Bench) bootID() string {
	s, err := b.Host().System.Describe(context.Background())
	if err != nil {
		b.T.Fatal(err)
	}
	return s.GetBootId()
}

// Run has an action run as a task and returns what came of it.
func (b *Bench) Run(action string, params map[string]string) *Outcome {
	b.T.Helper()
	return b.Result(b.Begin(action, params))
}

// DryRun has an action planned and no more.
func (b *Bench) DryRun(action string, params map[string]string) *Outcome {
	b.T.Helper()
	task := b.task(action, params)
	task.DryRun = true
	return b.Result(b.hand(task))
}

// Begin has a task started and returns its name.
func (b *Bench) Begin(action string, params map[string]string) string {
	b.T.Helper()
	return b.hand(b.task(action, params))
}

func (b *Bench) hand(task *agentv1.Task) string {
	b.T.Helper()
	if err := b.deliver(task); err != nil {
		b.T.Fatal(err)
	}
	return task.GetKey().GetJobId()
}

func (b *Bench) task(action string, params map[string]string) *agentv1.Task {
	b.tasks++
	return &agentv1.Task{
		Key: &agentv1.TaskKey{JobId: fmt.Sprintf("j-%d", b.tasks), Attempt: 1}, Action: action, Params: params,
		Expires: timestamppb.New(time.Now().Add(48 * time.Hour)), Epoch: 1,
	}
}

func (b *Bench) deliver(task *agentv1.Task) error {
	return b.Runner.Dispatch(b.T.Context(), &agentv1.Dispatch{Task: task, PermitValidFor: durationpb.New(30 * time.Second)})
}

// patience is how long a result is waited for: longer than any action may take.
const patience = 36 * time.Hour

// lookEvery is how often it is looked whether the machine was started again.
const lookEvery = time.Second

// Result waits for the result of a task, and acknowledges it. When the machine is started again meanwhile, so is the agent.
func (b *Bench) Result(job string) *Outcome {
	b.T.Helper()
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if res := b.server.result(job); res != nil {
			b.Runner.Acknowledge(&agentv1.TaskKey{JobId: job, Attempt: 1})
			return &Outcome{TaskResult: res, t: b.T}
		}
		if b.bootID() != b.boot {
			<-b.ended //nolint:errcheck // how the process ended is seen by what it left
			b.Start()
		}
		b.wait()
	}
	b.T.Fatalf("task %s: no result after %s", job, patience)
	return nil
}

func (b *Bench) wait() {
	select {
	case <-b.server.came:
	case <-time.After(lookEvery):
	}
}

var errDead = errors.New("this process of the agent is dead")
