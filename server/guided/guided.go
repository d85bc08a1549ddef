// Package guided keeps work that only a person can do: what to do step by step, who does it, until when, and what came of it. Tasks are
// made of the catalogue's entries by policies, by people, by what is reported of bands, and by the questions of running tasks. Whatever
// follows from time (a task that is due and not done, a fault that is to be told) is found again in the store, by the one index of what
// is due; nothing is lost when the server stops.
//
// Closing a task says what a person says. Where a machine can tell whether a fault is gone, the fault's own state goes by the machine.
package guided

import (
	"context"
	"log/slog"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/store"
)

// Catalogue is what tasks are made of.
type Catalogue interface {
	// Entry returns nil when there is none.
	Entry(id string) *catalogue.Entry
	Entries() []*catalogue.Entry
}

// Inventory tells what tasks are about.
type Inventory interface {
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	Band(ctx context.Context, serial string) (*fleetv1.Band, error)
}

// Faults are told what came of their tasks.
type Faults interface {
	Update(ctx context.Context, id string, change func(*fleetv1.Fault) error) (*fleetv1.Fault, error)
}

// Questions are those of running tasks.
type Questions interface {
	// Asking lists the questions that are open now.
	Asking(ctx context.Context) ([]jobs.Asking, error)
	// Asked has something in it when that may have changed.
	Asked() <-chan struct{}
	// TaskOf reads a task as it is stored.
	TaskOf(ctx context.Context, job, terminal string) (*fleetv1.Task, error)
	// Confirm answers. The first answer counts.
	Confirm(ctx context.Context, p *access.Principal, r *fleetv1.ConfirmTaskRequest) (*fleetv1.Task, error)
}

// Notices are told to people. Post never fails for lack of receivers.
type Notices interface {
	Post(w store.Writer, n *fleetv1.Notice) error
}

// Config is what a desk stands on.
type Config struct {
	Store     store.Store
	Inventory Inventory
	// Catalogue is the one in force now.
	Catalogue func() Catalogue
	// Faults, Questions and Notices may be nil.
	Faults    Faults
	Questions Questions
	Notices   Notices
	// TellBand adds an event to a band's history in the caller's update; one that is not in the inventory is left out. It may be nil.
	TellBand func(w store.Writer, serial, by, note string) error
	Now      func() time.Time
	Log      *slog.Logger
}

// Desk is the package's one object. Safe for concurrent use.
type Desk struct {
	cfg  Config
	wake chan struct{}
}

// New makes a desk. Nothing that follows from time is done before Run.
func New(c Config) *Desk { return &Desk{cfg: c, wake: make(chan struct{}, 1)} }

// Order says what a task is for. One of TerminalID, Band and Site is given at least.
type Order struct {
	Entry      string
	TerminalID string
	Site       string
	Band       string
	FaultID    string
	JobID      string
	// Reason is why it exists, Evidence what was read; for people.
	Reason   string
	Evidence []string
	// By is an operator's name, or "policy NAME"; empty means the server.
	By string
	// Actor is who stands in the audit record; the zero value means the server.
	Actor identity.Name
	// Params are what the entry asks for ("failures": "7").
	Params map[string]string
	// Assignee is an operator or a role; empty means whom the entry names.
	Assignee string

	// question is set when a running task asks.
	question *jobs.Asking
	// terminalName belongs to TerminalID.
	terminalName string
}

// poke has Run look at once.
func (d *Desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// post tells people, when there is somebody to tell them.
func (d *Desk) post(w store.Writer, event string, t *fleetv1.GuidedTask, summary string) error {
	if d.cfg.Notices == nil {
		return nil
	}
	return d.cfg.Notices.Post(w, notice(event, t, summary, d.cfg.Now()))
}
