// Package reflex decides what the agent remedies by itself while its server is away, and counts every attempt at a fault, its own and the
// server's alike, so that a remedy that does not help is not tried for ever. It owns the breakers and the list of open faults, both in the
// journal. Detectors report faults to it, the runner asks it and tells it of attempts, package link brings it orders and resets; what it has
// to say goes to package news.
//
// An attempt is a task with Remedies that was started. After so many attempts within a period, of one action at one fault, its breaker opens
// when the fault is there still or again: then tasks of policies, and reflexes, are refused until the period since then has passed, a person
// resets it, or the adapter was swapped. A person's task is counted and never refused.
package reflex

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/news"
	"github.com/bandfleet/bandfleet/agent/runner"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Sink takes what detectors find. An error says that it is not on disk: then it is to be told again.
type Sink interface {
	Fault(f *agentv1.FaultReport) error
}

// Journal is what is remembered beside news. Package agent/journal implements it.
type Journal interface {
	OpenFaults() ([]*agentv1.FaultReport, error)
	Breakers() ([]*storagev1.JournalBreaker, error)
	DropBreaker(entry, subject, action string) error
	// OpenTasks returns the tasks without an acknowledged result; Task any that is known.
	OpenTasks() ([]*storagev1.JournalTask, error)
	Task(k *agentv1.TaskKey) (*storagev1.JournalTask, error)
	Acknowledge(k *agentv1.TaskKey, at time.Time) error
}

// News takes what the server is to be told, with what is to be journalled in the same write. Package agent/news implements it.
type News interface {
	AddWith(n *agentv1.News, b journal.Beside) error
}

// Runner runs what is decided. Package agent/runner implements it.
type Runner interface {
	// Own takes in a task of the agent's own; Withdraw takes one back that has not started.
	Own(t *agentv1.Task) error
	Withdraw(k *agentv1.TaskKey, reason string)
	// ServerTime is the server's clock as far as it is known.
	ServerTime() time.Time
	Epoch() (uint64, error)
}

// Config is what an engine is made of.
type Config struct {
	Journal Journal
	News    News
	// Plugins say which actions there are.
	Plugins runner.Plugins
	// Nudge has the detectors look again at once; nil does nothing.
	Nudge func()
	// Clock is the machine's clock; nil means time.Now. It is read once: see steadyClock.
	Clock func() time.Time
	Log   *slog.Logger
}

// Engine decides. It implements Sink, orders.Taker and runner.Remedies, and is safe for concurrent use. The order of a process's life is New,
// SetRunner, Recover, then Run.
type Engine struct {
	cfg    Config
	log    *slog.Logger
	clock  steadyClock
	runner Runner
	wake   chan struct{}

	// mu is held over writes to the journal, so that what is decided is what is written. The runner is never called with it.
	mu     sync.Mutex
	orders *agentv1.Orders
	faults map[subject]*standing
	book   map[remedy]*storagev1.JournalBreaker
	// own are the tasks that were asked of the runner and have no result yet, by their job's id.
	own map[string]*ownTask
	// session says whether there is one, and since when.
	session bool
	since   time.Time
	adapter string
	// broken is why the journal cannot be written any more.
	broken error
}

// subject tells faults of this terminal apart.
type subject struct{ entry, subject string }

// standing is an open fault.
type standing struct {
	report *agentv1.FaultReport
	// seen is when it was last reported to this process, by the steady clock; 0 is not yet.
	seen int64
	// notBefore keeps a reflex that could not even be begun from being asked for at once again.
	notBefore int64
}

// New makes an engine that does nothing yet.
func New(c Config) *Engine {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Nudge == nil {
		c.Nudge = func() {}
	}
	return &Engine{
		cfg: c, log: c.Log, wake: make(chan struct{}, 1), orders: &agentv1.Orders{},
		faults: map[subject]*standing{}, book: map[remedy]*storagev1.JournalBreaker{}, own: map[string]*ownTask{},
	}
}

// SetRunner says who runs tasks.
func (e *Engine) SetRunner(r Runner) { e.runner = r }

// Fault implements Sink: the report, made to fit what a server takes, is journalled for it, and is what reflexes go by.
func (e *Engine) Fault(f *agentv1.FaultReport) error {
	defer e.poke()
	e.mu.Lock()
	defer e.mu.Unlock()
	f = proto.CloneOf(f)
	news.Fit(f)
	key := subject{f.GetEntry(), f.GetSubject()}
	known := e.faults[key]
	var beside journal.Beside
	switch {
	case f.GetGone():
		beside.Gone = f
	case known == nil || surer(f, known.report):
		beside.Opened = f
	}
	if err := e.cfg.News.AddWith(&agentv1.News{News: &agentv1.News_Fault{Fault: f}}, beside); err != nil {
		return e.fail(err)
	}
	if f.GetGone() {
		delete(e.faults, key)
		return nil
	}
	now := &standing{report: f, seen: e.clock.now()}
	if known != nil {
		now.notBefore = known.notBefore
		if !surer(f, known.report) {
			now.report = known.report
		}
	}
	e.faults[key] = now
	return nil
}

// surer says whether a report of an open fault tells more than the one that is known: a state more than a line in a log, and what is so now more
// than what was. What is known of a state holds until it is gone, whatever lines say besides.
func surer(f, known *agentv1.FaultReport) bool {
	return f.GetConfidence() > known.GetConfidence() || (f.GetConfidence() == known.GetConfidence() && known.GetHistorical() && !f.GetHistorical())
}

// Take implements orders.Taker. Any orders that make sense can be gone by: an action that is not offered here is never run.
func (e *Engine) Take(o *agentv1.Orders) error {
	e.mu.Lock()
	e.orders = o
	e.mu.Unlock()
	e.poke()
	return nil
}

// Session implements runner.Remedies.
func (e *Engine) Session(open bool) {
	e.mu.Lock()
	e.session, e.since = open, time.Now()
	e.mu.Unlock()
	e.poke()
}

// Run decides until ctx ends or the journal fails.
func (e *Engine) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := e.failure(); err != nil {
			return err
		}
		wait := e.step()
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
		case <-timer.C:
		}
	}
}

// idle is how long Run waits when nothing is due at a known time.
const idle = time.Hour

// step does all that is due now and returns how long until something is due again.
func (e *Engine) step() time.Duration {
	e.mu.Lock()
	wait := min(e.upkeep(), idle)
	due, later := e.due()
	pointless := e.pointless()
	e.mu.Unlock()
	for _, k := range pointless {
		e.runner.Withdraw(k, "it is not wanted any more: the fault is gone, or orders have changed")
	}
	for _, d := range due {
		e.begin(d)
	}
	return max(0, min(wait, later))
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// fail ends the engine: what cannot be journalled must not be decided. It needs the lock.
func (e *Engine) fail(err error) error {
	if err != nil && e.broken == nil {
		e.broken = fmt.Errorf("reflexes: %w", err)
		e.poke()
	}
	return err
}

func (e *Engine) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.broken
}
