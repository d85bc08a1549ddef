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
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/store"
)

// Catalogue knows the entries in force.
type Catalogue interface {
	Current() *catalogue.Catalogue
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
	// Due returns faults that have come or changed and that nobody has decided on; at most so many.
	Due(ctx context.Context, most int) ([]*fleetv1.Fault, error)
	Get(ctx context.Context, id string) (*fleetv1.Fault, error)
	// Update changes a fault; what change adds to its history is audited as done by the actor of that event.
	Update(ctx context.Context, id string, change func(*fleetv1.Fault) error) (*fleetv1.Fault, error)
	// Changes has something in it when Due may have more to give.
	Changes() <-chan struct{}
	// OpenAt calls each with the faults of a site that are not resolved, until it returns false.
	OpenAt(ctx context.Context, site string, each func(*fleetv1.Fault) bool) error
}

// Jobs makes jobs and tells what came of them.
type Jobs interface {
	// CreateRemedy makes a job for a fault; asked again for the same it answers with the same job.
	CreateRemedy(ctx context.Context, p *access.Principal, r jobs.Remedy, spec *fleetv1.JobSpec) (*fleetv1.Job, error)
	Get(ctx context.Context, p *access.Principal, id string) (*fleetv1.Job, error)
	Tasks(ctx context.Context, p *access.Principal, r *fleetv1.ListTasksRequest) (*fleetv1.ListTasksResponse, error)
	Preview(ctx context.Context, p *access.Principal, spec *fleetv1.JobSpec) (*fleetv1.PreviewJobResponse, error)
	// FreezeChanged tells that freezes were set or lifted.
	FreezeChanged(ctx context.Context) error
}

// Guided makes work for people.
type Guided interface {
	// Create makes a guided task. One that is open for the same fault answers instead of a second one.
	Create(ctx context.Context, o GuidedOrder) (id string, err error)
}

// GuidedOrder says what a guided task is for.
type GuidedOrder struct {
	Entry, TerminalID, Site, FaultID, JobID string
	// Reason is why it exists, Evidence what was read, one thing a line; for people.
	Reason   string
	Evidence []string
	// By is a policy ("policy NAME") or an operator. Assignee is an operator or a role; empty means whom the entry names.
	By, Assignee string
}

// Breakers knows what agents told of their breakers.
type Breakers interface {
	// Breakers returns those of a terminal.
	Breakers(ctx context.Context, terminalID string) ([]*fleetv1.Breaker, error)
}

// Surroundings knows what a terminal is held to.
type Surroundings interface {
	Surroundings(ctx context.Context, terminalID string) (*actionv1.Surroundings, error)
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
	// Online says whether a terminal's agent is connected.
	Online func(terminalID string) bool
	Now    func() time.Time
	Log    *slog.Logger
}

// Engine keeps the policies of one store and acts by them. Its methods are safe for concurrent use.
type Engine struct {
	cfg Config
	// wake tells Run that something has changed; again has it look at every fault anew.
	wake  chan struct{}
	again chan struct{}
	// busy holds the ids of faults that are being acted upon.
	busy sync.Map
	book book
	// orders are what agents are told.
	orders orders
}

// Open reads the policies and makes those that come with the server, once in the life of a store. Nothing is decided before Run.
func Open(ctx context.Context, cfg Config) (*Engine, error) {
	e := &Engine{cfg: cfg, wake: make(chan struct{}, 1), again: make(chan struct{}, 1)}
	e.orders.open()
	if err := e.makeDefaults(ctx); err != nil {
		return nil, err
	}
	return e, e.reread(ctx)
}

// Attach gives the engine what is made after it. It is called before Run, once.
func (e *Engine) Attach(s Surroundings) { e.cfg.Surroundings = s }

// poke has Run look at what is due.
func (e *Engine) poke() { hint(e.wake) }

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
