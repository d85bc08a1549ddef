// Package asks answers what agents want to know for a task that runs: what the server knows of the site, a sealed secret that the task
// names, which terminals trust a root, and whether others can reach a host. server/sessions hands it the questions and what probed
// terminals found; it answers on the session that asked.
//
// Nothing is answered but for a task that this terminal runs now, and nothing of another site. What is open is bounded, and ends with
// the session that asked it.
package asks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// maxOpen is how many questions are open at a time in all, and maxPerTerminal of one terminal.
	maxOpen        = 1000
	maxPerTerminal = 16
	// patience is how long an answer that the server has may take to find.
	patience = 20 * time.Second
)

// Tasks tells what runs.
type Tasks interface {
	// Running returns the parameters of a task that runs on a terminal; any other is refused.
	Running(ctx context.Context, terminalID string, key *agentv1.TaskKey) (params map[string]string, err error)
}

// Inventory is what is asked of the inventory.
type Inventory interface {
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	// AtSite reads the terminals in service at a site.
	AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error)
}

// Secrets hands out what is sealed.
type Secrets interface {
	Sealed(ctx context.Context, terminalID, name string) (*agentv1.SealedSecret, error)
}

// Scans knows what scans have found.
type Scans interface {
	Coverage(ctx context.Context, terminals []*storagev1.TerminalRecord, roots []string, online func(terminalID string) bool) (*actionv1.Coverage, error)
}

// Link reaches the agents that are connected.
type Link interface {
	// Send queues a message on the session with this number, and never blocks.
	Send(terminalID string, session uint64, m *agentv1.ConnectResponse) bool
	// Tell queues a message on the terminal's present session, and never blocks. False: it has none.
	Tell(terminalID string, m *agentv1.ConnectResponse) bool
	Online(terminalID string) bool
}

// Config is what a desk is made of.
type Config struct {
	Tasks     Tasks
	Inventory Inventory
	Secrets   Secrets
	Scans     Scans
	Link      Link
	Now       func() time.Time
	Log       *slog.Logger
}

// Desk answers questions. It is safe for concurrent use.
type Desk struct {
	cfg Config
	// probes numbers the orders to probe; no two have the same.
	probes atomic.Uint64

	mu     sync.Mutex
	open   map[string]int
	total  int
	closed bool
	// running counts the questions that are being answered.
	running sync.WaitGroup
	// waiting are the orders that wait for a verdict.
	waiting map[order]chan<- *agentv1.ProbeVerdict
	users   usersCache
}

// New makes a desk.
func New(c Config) *Desk {
	return &Desk{cfg: c, open: map[string]int{}, waiting: map[order]chan<- *agentv1.ProbeVerdict{}, users: usersCache{sites: map[string]*siteUsers{}}}
}

// Close waits until nothing is being answered any more; what is asked afterwards is not answered. The sessions must have ended.
func (d *Desk) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.running.Wait()
}

// Ask answers a question on the session that it came on. It does not block; ctx is the session's.
func (d *Desk) Ask(ctx context.Context, terminalID string, session uint64, a *agentv1.Ask) {
	leave, err := d.enter(terminalID)
	if err != nil {
		d.tell(terminalID, session, problem(a, err))
		return
	}
	if leave == nil {
		return
	}
	go func() {
		defer leave()
		told, err := d.answer(ctx, terminalID, a)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.note(terminalID, a, err)
			told = problem(a, err)
		}
		told.Id = a.GetId()
		d.tell(terminalID, session, told)
	}()
}

// note tells the log of what no agent and no person has caused.
func (d *Desk) note(terminalID string, a *agentv1.Ask, err error) {
	if _, ok := errors.AsType[*refusal.Error](err); !ok {
		d.cfg.Log.Warn("a task's question was not answered", "terminal", terminalID, "job", a.GetKey().GetJobId(), "error", err)
	}
}

// enter takes a place; leave is nil when the desk is closed.
func (d *Desk) enter(terminalID string) (leave func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, nil
	case d.open[terminalID] >= maxPerTerminal || d.total >= maxOpen:
		return nil, refusal.New(refusal.Exhausted, "TOO_MANY_QUESTIONS", "the server: too much is asked of it at the same time").Then("ask again later")
	}
	d.open[terminalID]++
	d.total++
	d.running.Add(1)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.open[terminalID]--; d.open[terminalID] == 0 {
			delete(d.open, terminalID)
		}
		d.total--
		d.running.Done()
	}, nil
}

func (d *Desk) tell(terminalID string, session uint64, told *agentv1.Told) {
	d.cfg.Link.Send(terminalID, session, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Told{Told: told}})
}

// problem is the answer when there is none. What is no refusal may hold what an agent must not see.
func problem(a *agentv1.Ask, err error) *agentv1.Told {
	words := "the server could not find it out; its log says why"
	switch no, ok := errors.AsType[*refusal.Error](err); {
	case ok:
		words = no.Error()
	case errors.Is(err, context.DeadlineExceeded):
		words = "the server did not find it out in time; try again"
	}
	return &agentv1.Told{Id: a.GetId(), Problem: words}
}

// answer finds an answer for a task that runs on this terminal.
func (d *Desk) answer(ctx context.Context, terminalID string, a *agentv1.Ask) (*agentv1.Told, error) {
	limit := patience
	if probe := a.GetPeerProbe(); probe != nil {
		limit += clamp(probe.GetTimeout().AsDuration())
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	params, err := d.cfg.Tasks.Running(ctx, terminalID, a.GetKey())
	if err != nil {
		return nil, err
	}
	switch q := a.GetAsk().(type) {
	case *agentv1.Ask_Site:
		s, err := d.surroundings(ctx, terminalID)
		return &agentv1.Told{Told: &agentv1.Told_Site{Site: s}}, err
	case *agentv1.Ask_Secret:
		s, err := d.secret(ctx, terminalID, params, q.Secret.GetName())
		return &agentv1.Told{Told: &agentv1.Told_Secret{Secret: s}}, err
	case *agentv1.Ask_Coverage:
		c, err := d.coverage(ctx, terminalID, q.Coverage)
		return &agentv1.Told{Told: &agentv1.Told_Coverage{Coverage: c}}, err
	case *agentv1.Ask_PeerProbe:
		v, err := d.peerProbe(ctx, terminalID, q.PeerProbe)
		return &agentv1.Told{Told: &agentv1.Told_Peers{Peers: v}}, err
	default:
		return nil, refusal.New(refusal.Invalid, "UNKNOWN_QUESTION", "the server: does not know this question").Then("bring the server to the agents' release")
	}
}

// secret hands out a secret that a parameter of the task names, and no other: so a task gets at what the person who asked for it has
// named.
func (d *Desk) secret(ctx context.Context, terminalID string, params map[string]string, name string) (*agentv1.SealedSecret, error) {
	for _, value := range params {
		if named, err := sealed.NameOf(value); err == nil && named == name {
			return d.cfg.Secrets.Sealed(ctx, terminalID, name)
		}
	}
	return nil, refusal.New(refusal.Denied, "NOT_NAMED", "secret: no parameter of the job names the one that was asked for").
		Then("name it in a parameter, as secret:NAME")
}
