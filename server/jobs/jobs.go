// Package jobs turns what operators ask for into tasks on terminals and accounts for every one of them. It owns the job and
// task records and the engine that hands tasks to connected agents, gives permits, takes results and ends what has waited too
// long. server/api calls it for operators, server/sessions for agents. The store is its only memory that matters: an engine
// that is opened on the same store goes on where the last one was killed.
//
// One goroutine (Run) owns all running state; every other goroutine sends it closures. What must be durable is gathered into
// batches, one of which is being written at any time; what follows from a write (a permit is sent, a result is acknowledged)
// happens only when the write has come back.
package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Link reaches the agents that are connected.
type Link interface {
	// Send queues a message for a terminal on the session with this number, and never blocks. False: another session has taken its
	// place, or it is being cut.
	Send(terminalID string, session uint64, m *agentv1.ConnectResponse) bool
	Online(terminalID string) bool
}

// Inventory is what the engine asks of the inventory.
type Inventory interface {
	// Select resolves a selection to the terminals on which the operator holds the right.
	Select(ctx context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error)
	// Terminal reads a terminal.
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
	// ActionFor returns the action as the terminal's own plugins offer it; ok is false when none does.
	ActionFor(ctx context.Context, rec *storagev1.TerminalRecord, action string) (a *actionv1.Action, p *agentv1.Plugin, ok bool, err error)
	// Actions returns what terminals of the operator's sites offer, by name.
	Actions(ctx context.Context, p *access.Principal) ([]*fleetv1.OfferedAction, error)
	// JournalRolledBack puts a terminal into quarantine.
	JournalRolledBack(ctx context.Context, terminalID string) error
	// Site reads a site with its settings.
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	// AtSite reads the terminals in service at a site.
	AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error)
}

// scope says whether a site lies within what somebody may read.
type scope func(site string) bool

// sees is the scope of an operator.
func sees(p *access.Principal) scope {
	return func(site string) bool { return p.May(access.Read, site) }
}

// Config is what an engine is made of.
type Config struct {
	Store     store.Store
	Inventory Inventory
	Link      Link
	// Secrets is asked for the secrets that parameters name; nil when there are none.
	Secrets Secrets
	// Scans keeps what results tell of certificates; nil keeps nothing.
	Scans Scans
	// Notices is told what people must know; nil tells nobody.
	Notices Notices
	// Epoch of the store, told to agents with each task. It may grow.
	Epoch func() uint64
	Now   func() time.Time
	Log   *slog.Logger
}

// permitValidity is how long an agent may use a permit, by its own monotonic clock from its arrival.
const permitValidity = 30 * time.Second

// settleMargin is added to an action's own longest duration before a silent agent's task is called UNKNOWN.
const settleMargin = time.Minute

// maxPerTerminal is how many tasks one terminal is given at once, so that a long queue for one terminal cannot fill its
// session.
const maxPerTerminal = 16

// inboxSize bounds the events that wait for the loop; beyond it senders wait.
const inboxSize = 1024

// Engine runs the jobs of one store.
type Engine struct {
	st   store.Store
	inv  Inventory
	link Link
	// secrets, scans and notices may be nil.
	secrets Secrets
	scans   Scans
	notices Notices
	epoch   func() uint64
	now     func() time.Time
	log     *slog.Logger
	ids     *idSource
	// judging holds one token while approvals of a job change.
	judging chan struct{}

	inbox     chan func()
	committed chan *batch
	stopped   chan struct{}
	// asks holds one hint that a question has come or gone.
	asks chan struct{}

	// All below belongs to Run's goroutine.
	active []*job // oldest first
	byID   map[string]*job
	// soaking are the active jobs with a soak going on.
	soaking   []*job
	terminals map[string]*terminal
	sites     map[string]*site
	// questions are the tasks that have asked something and were not answered.
	questions map[*task]struct{}
	// faulty are the terminals whose last facts show a fault, as far as they have come since the engine was opened.
	faulty map[string]struct{}
	// retired are the terminals that were decommissioned in this engine's life, and those that had tasks when it was opened.
	retired map[string]struct{}
	// lost are results that were recorded although the store lacks their jobs.
	lost     map[settlementKey]struct{}
	pending  *batch
	inFlight bool
	retryAt  time.Time
	stopping bool
}

// Open reads what is not done from the store. Jobs whose creation was cut short are removed: nobody was told of them.
func Open(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{
		st: c.Store, inv: c.Inventory, link: c.Link, secrets: c.Secrets, scans: c.Scans, notices: c.Notices, epoch: c.Epoch, now: c.Now, log: c.Log, ids: newIDSource(),
		judging:   make(chan struct{}, 1),
		inbox:     make(chan func(), inboxSize),
		committed: make(chan *batch, 1),
		stopped:   make(chan struct{}),
		asks:      make(chan struct{}, 1),
		byID:      make(map[string]*job),
		terminals: make(map[string]*terminal),
		sites:     make(map[string]*site),
		questions: make(map[*task]struct{}),
		faulty:    make(map[string]struct{}),
		retired:   make(map[string]struct{}),
		lost:      make(map[settlementKey]struct{}),
		pending:   newBatch(),
	}
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(e.lapseAbsent(ctx), e.compareSecrets(ctx)); err != nil {
		return nil, err
	}
	return e, e.retireAbsent(ctx)
}

// Run drives the jobs until ctx ends. Before it returns, everything that had arrived is on disk.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	for {
		select {
		case fn := <-e.inbox:
			fn()
			e.drain()
		case b := <-e.committed:
			e.landed(b)
		case <-timer.C:
		case <-done:
			done, e.stopping = nil, true
			e.drain()
		}
		e.lookAtDue()
		e.schedule()
		e.commit()
		if e.stopping && e.idle() {
			return nil
		}
		timer.Reset(e.untilNextLook())
	}
}

// drain runs the events that have queued up, so that they share a commit.
func (e *Engine) drain() {
	for range inboxSize {
		select {
		case fn := <-e.inbox:
			fn()
		default:
			return
		}
	}
}

// idle reports whether nothing is left to be written. While stopping, what the store refuses is given up.
func (e *Engine) idle() bool {
	return !e.inFlight && len(e.inbox) == 0 && (e.pending.empty() || e.now().Before(e.retryAt))
}

// post hands fn to the loop. It waits when the loop is behind.
func (e *Engine) post(ctx context.Context, fn func()) error {
	select {
	case e.inbox <- fn:
		return nil
	case <-e.stopped:
		return errStopped()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do runs fn in the loop and waits for it. When it returns an error, fn may still run: its results must not be used.
func (e *Engine) do(ctx context.Context, fn func()) error {
	ran := make(chan struct{})
	if err := e.post(ctx, func() { fn(); close(ran) }); err != nil {
		return err
	}
	select {
	case <-ran:
		return nil
	case <-e.stopped:
		return errStopped()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func errStopped() error {
	return refusal.New(refusal.Unavailable, "STOPPING", "the server is stopping").Then("try again when it is back")
}

func errNoJob(id string) error { return access.NotFound(access.Job, id) }
