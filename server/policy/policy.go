// Package policy decides what happens with faults. It owns the policies, the freezes, and the record of how far each fault's remedy is.
// For each fault the first policy that fits says whether it is only shown, whether a person is asked, or whether the catalogue's remedy is
// applied at once; whatever a policy starts is an ordinary job, bound by all that binds a person's job. What is used up, unsure or not for
// a machine goes to a person as a guided task. It also makes the orders by which agents look for faults and heal them while the server is
// away. server/api calls it for operators, server/sessions for agents; server.go runs it.
//
// The store is its memory: what is to be looked at, and when, lies there. A job is noted before it is asked for, and asked for under an id
// made of the fault, the step and the attempt, so that a server that is killed anywhere makes no second one.
package policy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/store"
)

// Catalogue knows the entries in force.
type Catalogue interface {
	Current() *catalogue.Catalogue
	// Changed returns a channel that is closed when others are.
	Changed() <-chan struct{}
}

// Inventory knows terminals and sites.
type Inventory interface {
	// Terminal reads a terminal by id or name.
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	// AtSite reads the terminals in service at a site.
	AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error)
	// ActionFor returns the action as the terminal's own plugins offer it; ok is false when none does.
	ActionFor(ctx context.Context, rec *storagev1.TerminalRecord, action string) (a *actionv1.Action, p *agentv1.Plugin, ok bool, err error)
	// Actions returns what terminals of the operator's sites offer, by name.
	Actions(ctx context.Context, p *access.Principal) ([]*fleetv1.OfferedAction, error)
}

// Faults keeps the faults.
type Faults interface {
	// Due returns faults that are to be decided on now; at most so many. Members of an open incident are not among them.
	Due(ctx context.Context, most int) ([]*fleetv1.Fault, error)
	// NextDue is when the next fault is due; zero when none is.
	NextDue(ctx context.Context) (time.Time, error)
	// Get reads a fault with its history.
	Get(ctx context.Context, id string) (*fleetv1.Fault, error)
	// Decide changes a fault and says when it is due again, without anything happening to it; the zero time: not.
	Decide(ctx context.Context, id string, again time.Time, change func(*fleetv1.Fault) error) (*fleetv1.Fault, error)
	// JobDone tells that a job is done that was for a fault. It may be repeated.
	JobDone(ctx context.Context, job *fleetv1.Job) error
	// Changes is closed when any fault has changed.
	Changes() <-chan struct{}
	// Decidable returns all that are open and may be decided on, due or not.
	Decidable(ctx context.Context) ([]*fleetv1.Fault, error)
	// List returns faults that are not resolved, in pages.
	List(ctx context.Context, p *access.Principal, r *fleetv1.ListFaultsRequest) (*fleetv1.ListFaultsResponse, error)
}

// Jobs makes jobs and tells what came of them.
type Jobs interface {
	// CreateRemedy makes a job for a fault; asked again for the same it answers with the same job.
	CreateRemedy(ctx context.Context, p *access.Principal, r jobs.Remedy, spec *fleetv1.JobSpec) (*fleetv1.Job, error)
	// Stored reads a job as it is on disk.
	Stored(ctx context.Context, id string) (*fleetv1.Job, error)
	// FreezeChanged tells that freezes were set or lifted.
	FreezeChanged(ctx context.Context) error
}

// Guided makes work for people.
type Guided interface {
	// Create makes a guided task. One that is open for the same fault answers instead of a second one.
	Create(ctx context.Context, o guided.Order) (id string, err error)
}

// Breakers knows what agents told of their breakers.
type Breakers interface {
	// TerminalBreakers returns those of a terminal.
	TerminalBreakers(ctx context.Context, terminalID string) ([]*fleetv1.Breaker, error)
	// Breakers calls fn for all of them.
	Breakers(ctx context.Context, fn func(*fleetv1.Breaker)) error
	// AskReset notes that somebody wants one closed, which is told to the agent until it has said that it is.
	AskReset(ctx context.Context, p *access.Principal, terminalID, entry, subject, action, reason string) (*fleetv1.Breaker, error)
}

// Surroundings knows what a terminal is held to.
type Surroundings interface {
	Surroundings(ctx context.Context, terminalID string) (*actionv1.Surroundings, error)
}

// Notices takes what people may be told of, within the update that it is of. It never fails because there is nobody to tell.
type Notices interface {
	Post(w store.Writer, n *fleetv1.Notice) error
}

// Config is what an engine is made of.
type Config struct {
	Store     store.Store
	Catalogue Catalogue
	Inventory Inventory
	Faults    Faults
	Jobs      Jobs
	Guided    Guided
	Breakers  Breakers
	// Surroundings may come later, by Attach, but before Run.
	Surroundings Surroundings
	Freezes      *Freezes
	// Notices may be nil.
	Notices Notices
	// Online says whether a terminal's agent is connected.
	Online func(terminalID string) bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Engine keeps the policies of one store and acts by them. Its methods are safe for concurrent use.
type Engine struct {
	cfg Config
	// again has Run look at every fault anew.
	again chan struct{}
	// acting keeps two from acting upon one fault; a fault's place is by its id.
	acting [64]sync.Mutex
	book   book
	// orders are what agents are told.
	orders orders
}

// Open reads the policies and makes those that come with the server, once in the life of a store. Nothing is decided before Run.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, again: make(chan struct{}, 1)}
	e.orders.open()
	if err := e.makeDefaults(ctx); err != nil {
		return nil, err
	}
	return e, e.reread(ctx)
}

// Attach gives the engine what is made after it. It is called before Run, once.
func (e *Engine) Attach(s Surroundings) { e.cfg.Surroundings = s }

// rethink has Run look at every fault anew: policies, freezes or the catalogue are others now.
func (e *Engine) rethink() {
	e.orders.changed()
	hint(e.again)
}

func hint(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
