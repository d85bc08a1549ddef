// Package faults keeps what is wrong with terminals: faults that agents report, that people report and that jobs find; incidents, which
// are one cause of many faults of a site; breakers as agents tell of them; and which lines of logs no rule knows. It owns their records.
// server/sessions hands over what agents report, server/policy asks what is due and tells what it decided, server/jobs tells whose results
// hold findings, server/api answers people.
//
// What an agent reports is of its own terminal, whatever it says, and what makes no sense is left out and counted: a report never ends a
// session and is never asked for twice.
package faults

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// sameFault is how long after its end a fault that comes back is the same one.
	sameFault = 24 * time.Hour
	// keptEvents is how much of its history a fault keeps.
	keptEvents = 100
	// DefaultRetention is how long a fault is kept after its end.
	DefaultRetention = 90 * 24 * time.Hour
	// KindPolicy is the kind of actor that a policy is in audit records.
	KindPolicy identity.Kind = "policy"
)

// Catalogue knows what can be wrong.
type Catalogue interface {
	Entry(id string) *catalogue.Entry
	Entries() []*catalogue.Entry
}

// Inventory is what is asked of the inventory.
type Inventory interface {
	// Terminal finds a terminal by id or name.
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	// Sites lists the sites that the principal may read.
	Sites(ctx context.Context, p *access.Principal, page inventory.Page) ([]*fleetv1.Site, string, error)
	// AtSite reads the terminals in service at a site.
	AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error)
}

// Notices takes what people may be told of, within the update that it is of. It never fails because there is nobody to tell.
type Notices interface {
	Post(w store.Writer, n *fleetv1.Notice) error
}

// Guided are the tasks of people.
type Guided interface {
	// FaultResolved ends what is still to be done for a fault that is gone. It may be repeated.
	FaultResolved(ctx context.Context, faultID, how string) error
}

// Config is what a desk is made of.
type Config struct {
	Store     store.Store
	Inventory Inventory
	// Catalogue returns the one that counts now.
	Catalogue func() Catalogue
	// CatalogueChanged returns a channel that is closed when another catalogue counts; nil means that the one that counts never changes.
	CatalogueChanged func() <-chan struct{}
	// Notices may be nil.
	Notices Notices
	// Online tells who has a session; nil means that nobody has. It decides who uses a host where a site's settings say so by "online".
	Online func(terminalID string) bool
	// Retention is how long faults and incidents are kept after their end; 0 means DefaultRetention.
	Retention time.Duration
	Now       func() time.Time
	Log       *slog.Logger
}

// Desk keeps the faults of one store. It is safe for concurrent use.
type Desk struct {
	cfg     Config
	guided  Guided
	hint    hint
	refused refusals
	places  places
	// counting is held while unmatched lines are counted, so that a site has no more of them than it may.
	counting sync.Mutex
}

// New makes a desk.
func New(c Config) *Desk {
	if c.Retention == 0 {
		c.Retention = DefaultRetention
	}
	if c.Online == nil {
		c.Online = func(string) bool { return false }
	}
	if c.CatalogueChanged == nil {
		c.CatalogueChanged = func() <-chan struct{} { return nil }
	}
	return &Desk{cfg: c}
}

// SetGuided says who keeps the tasks of people, which end with their faults; they need a desk themselves, so that it cannot be said to New.
// It must be called before Run and before anything is reported, if at all.
func (d *Desk) SetGuided(g Guided) { d.guided = g }

// Changes returns a channel that is closed with the next change of any fault. Ask for it before you look, then wait on it: what changes
// in between is not missed. Any number may wait.
func (d *Desk) Changes() <-chan struct{} { return d.hint.next() }

// hint tells any number of waiters that something has happened. Its zero value is ready.
type hint struct {
	mu sync.Mutex
	ch chan struct{}
}

func (h *hint) next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ch == nil {
		h.ch = make(chan struct{})
	}
	return h.ch
}

func (h *hint) give() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ch != nil {
		close(h.ch)
		h.ch = nil
	}
}

// post tells people, if there is who does.
func (d *Desk) post(w store.Writer, n *fleetv1.Notice) error {
	if d.cfg.Notices == nil {
		return nil
	}
	return d.cfg.Notices.Post(w, n)
}
