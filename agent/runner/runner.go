package runner

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Config is what a runner is made of. Host, Journal and Plugins are required.
type Config struct {
	Host    *host.Host
	Journal Journal
	Plugins Plugins
	// Spool keeps whole outputs; nil means that they are cut and nothing more.
	Spool Spool
	// Kept keeps what files held before an effect changed them; nil means that no effect may change a file.
	Kept Kept
	// Unsealer opens the terminal's secrets; nil means that no action can use one.
	Unsealer Unsealer
	// Remedies counts the tasks that are to remedy a fault; nil counts none.
	Remedies Remedies
	// Terminal is what is known of the machine's place in the inventory before the first Welcome.
	Terminal *actionv1.Terminal
	Log      *slog.Logger
	// BootID changes with each start of the machine.
	BootID string
	// MaxDuration caps what an action's manifest asks for; 0 means one hour. An action that asks a person may take a day more.
	MaxDuration time.Duration
	// MinLease is the least time to live of a change that ends by itself; 0 means 5 minutes.
	MinLease time.Duration
	// MaxConcurrent bounds the tasks that run at once; 0 means 4.
	MaxConcurrent int
}

// Runner takes tasks in and runs them. Its methods are safe for concurrent use. The order of a process's life is New,
// Recover, then Run beside everything else.
type Runner struct {
	cfg     Config
	host    *host.Host
	journal Journal
	plugins Plugins
	log     *slog.Logger

	// wake tells Run that something may be due.
	wake chan struct{}
	// courses counts what runs now.
	courses sync.WaitGroup
	// keeping is held while an earlier file is put away, and while those are removed that nobody needs.
	keeping sync.Mutex
	// ending is held while a lease ends, and while it is noted how much time one has left.
	ending sync.Mutex

	mu       sync.Mutex
	reporter Reporter
	asker    Asker
	terminal *actionv1.Terminal
	clock    serverClock
	session  bool
	queue    []*entry
	running  []*entry
	holds    []*hold
	presence presence
	// questions are what running tasks wait for a person with.
	questions []*question
	// broken is why the journal cannot be written any more; nothing may start then.
	broken error
}

// New makes a runner that does nothing yet.
func New(cfg Config) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxDuration <= 0 {
		cfg.MaxDuration = time.Hour
	}
	if cfg.MinLease <= 0 {
		cfg.MinLease = defaultMinLease
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = 4
	}
	if cfg.Remedies == nil {
		cfg.Remedies = nobody{}
	}
	return &Runner{
		cfg: cfg, host: cfg.Host, journal: cfg.Journal, plugins: cfg.Plugins, log: cfg.Log,
		wake: make(chan struct{}, 1), reporter: silent{}, asker: unreachable{}, terminal: cfg.Terminal,
	}
}

// SetReporter says who is told how tasks go.
func (r *Runner) SetReporter(rep Reporter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reporter = serversOnly{rep}
}

// SetTerminal notes the machine's place in the inventory, as told at Welcome.
func (r *Runner) SetTerminal(t *actionv1.Terminal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terminal = t
}

// SetServerTime notes the server's time, as told at Welcome. Expiry is judged by it.
func (r *Runner) SetServerTime(now time.Time) {
	r.mu.Lock()
	r.clock = serverClock{told: now, at: time.Now()}
	r.mu.Unlock()
	r.poke()
}

// Epoch returns the greatest server epoch seen, for Hello.
func (r *Runner) Epoch() (uint64, error) {
	epoch, err := r.journal.Epoch()
	if err != nil {
		r.fail(err)
	}
	return epoch, err
}

// SetEpoch journals the server's epoch, as told at Welcome. Tasks of an older one are refused from then on.
func (r *Runner) SetEpoch(epoch uint64) error { return r.journal.RaiseEpoch(epoch) }

// SessionStarted says that permits may come. From here on the server decides: what the agent has asked of itself and has not begun is taken
// back.
func (r *Runner) SessionStarted() {
	r.mu.Lock()
	r.session = true
	r.mu.Unlock()
	r.withdrawOwn()
	r.cfg.Remedies.Session(true)
}

// SessionEnded voids every permit that was not used: whatever the server decides meanwhile cannot reach this machine.
func (r *Runner) SessionEnded() {
	r.voidPermits()
	r.cfg.Remedies.Session(false)
}

func (r *Runner) voidPermits() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.session = false
	for _, e := range r.queue {
		e.permit, e.told = time.Time{}, agentv1.HoldReason_HOLD_REASON_UNSPECIFIED
	}
}

// Acknowledge notes that the server has a result on its disk.
func (r *Runner) Acknowledge(k *agentv1.TaskKey) {
	if err := r.journal.Acknowledge(k, time.Now()); err != nil {
		r.log.Warn("cannot note that a result was acknowledged; it will be sent again", "task", nameOf(k), "error", err)
	}
}

// OpenTasks returns the tasks without an acknowledged result, for Hello.
func (r *Runner) OpenTasks() ([]*agentv1.OpenTask, error) {
	recs, err := r.openRecords()
	var open []*agentv1.OpenTask
	for _, rec := range recs {
		if !IsOwn(rec.GetTask().GetKey()) {
			open = append(open, &agentv1.OpenTask{Key: rec.GetTask().GetKey(), State: rec.GetState()})
		}
	}
	return open, err
}

// Unacknowledged returns the results that the server may not have yet.
func (r *Runner) Unacknowledged() ([]*agentv1.Result, error) {
	recs, err := r.openRecords()
	var results []*agentv1.Result
	for _, rec := range recs {
		if rec.GetState() == agentv1.TaskState_TASK_STATE_FINISHED && !IsOwn(rec.GetTask().GetKey()) {
			results = append(results, &agentv1.Result{Key: rec.GetTask().GetKey(), Result: rec.GetResult()})
		}
	}
	return results, err
}

// openRecords reads the open tasks. A journal that cannot be read ends the runner.
func (r *Runner) openRecords() ([]*storagev1.JournalTask, error) {
	recs, err := r.journal.OpenTasks()
	if err != nil {
		r.fail(err)
	}
	return recs, err
}

// close journals a task's result and reports it.
func (r *Runner) close(k *agentv1.TaskKey, result *actionv1.TaskResult) {
	if err := r.journal.Finish(k, result, time.Now()); err != nil {
		r.fail(err)
		return
	}
	r.closed(k, result)
}

// closed tells of a result that is in the journal.
func (r *Runner) closed(k *agentv1.TaskKey, result *actionv1.TaskResult) {
	if len(result.GetEffects()) > 0 {
		r.letGo()
	}
	r.log.Info("task ended", "task", nameOf(k), "status", result.GetStatus(), "reason", result.GetReason())
	r.cfg.Remedies.Ended(k, result)
	r.report().Result(&agentv1.Result{Key: k, Result: result})
}

func (r *Runner) report() Reporter {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reporter
}

// fail ends the runner: without a journal it may do nothing to the machine, and the next process settles what is open.
func (r *Runner) fail(err error) {
	r.mu.Lock()
	if r.broken == nil {
		r.broken = fmt.Errorf("journal: %w", err)
	}
	r.mu.Unlock()
	r.poke()
}

func (r *Runner) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.broken
}

// poke makes Run look again.
func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// nameOf is how an attempt is called in logs and messages: "j-17/2".
func nameOf(k *agentv1.TaskKey) string { return fmt.Sprintf("%s/%d", k.GetJobId(), k.GetAttempt()) }
