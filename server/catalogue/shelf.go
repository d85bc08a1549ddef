// Package catalogue keeps the catalogue that is in force: the entries that came with the server and the packs that operators published. A pack
// is taken only when a trusted key signed it and nothing is wrong in it. Package faults, the policy engine and what agents are told go by
// Current; api publishes and removes.
package catalogue

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// Offers says which actions terminals offer.
type Offers interface {
	Actions(ctx context.Context, p *access.Principal) ([]*fleetv1.OfferedAction, error)
}

// Config is what a shelf is made of.
type Config struct {
	Store store.Store
	// Builtin is what came with the server; nil means catalogue.Load.
	Builtin *catalogue.Catalogue
	Offers  Offers
	// Keys are those whose packs are taken; none means that no pack is.
	Keys []signing.PublicKey
	Now  func() time.Time
	Log  *slog.Logger
}

// Shelf holds what is in force.
type Shelf struct {
	cfg     Config
	builtin *catalogue.Catalogue
	current atomic.Pointer[catalogue.Catalogue]
	// one is held while packs are changed.
	one sync.Mutex
	// changed is closed when the catalogue changes, and replaced.
	changed chan struct{}
	guard   sync.Mutex
}

// Open reads the packs. One that does not fit any more (the server's own catalogue has grown) is left out, with a word in the log.
func Open(ctx context.Context, cfg Config) (s *Shelf, err error) {
	s = &Shelf{cfg: cfg, builtin: cfg.Builtin, changed: make(chan struct{})}
	if s.builtin == nil {
		if s.builtin, err = catalogue.Load(); err != nil {
			return nil, err
		}
	}
	packs, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	s.current.Store(s.withStored(packs))
	for _, p := range packs {
		if p.GetProblem() != "" {
			cfg.Log.Error("a pack of the catalogue is not in force; publish a version that fits this server", "pack", p.GetName(), "problem", p.GetProblem())
		}
	}
	return s, nil
}

// Current is the catalogue that is in force.
func (s *Shelf) Current() *catalogue.Catalogue { return s.current.Load() }

// Builtin is the one that came with the server.
func (s *Shelf) Builtin() *catalogue.Catalogue { return s.builtin }

// Changed returns a channel that is closed at the next change. Whoever waits asks for the channel first and reads Current then.
func (s *Shelf) Changed() <-chan struct{} {
	s.guard.Lock()
	defer s.guard.Unlock()
	return s.changed
}

// put brings another catalogue into force.
func (s *Shelf) put(c *catalogue.Catalogue) {
	s.current.Store(c)
	s.guard.Lock()
	defer s.guard.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// stored reads all packs, by name.
func (s *Shelf) stored(ctx context.Context) (packs []*fleetv1.Pack, err error) {
	var bad error
	err = s.cfg.Store.View(ctx, func(v store.Snapshot) error {
		packs = nil
		return v.Scan(store.TablePacks, nil, nil, func(_, value []byte) bool {
			p := &fleetv1.Pack{}
			bad = proto.Unmarshal(value, p)
			packs = append(packs, p)
			return bad == nil
		})
	})
	if err == nil {
		err = bad
	}
	return packs, err
}

// withStored adds packs one after the other, as far as they go; those that do not are told why.
func (s *Shelf) withStored(packs []*fleetv1.Pack) *catalogue.Catalogue {
	c := s.builtin
	var taken []*catalogue.Pack
	for _, p := range packs {
		read, err := catalogue.ParsePack(p.GetContent())
		if err != nil {
			p.Problem = err.Error()
			continue
		}
		with, err := s.builtin.With(append(slices.Clone(taken), read)...)
		if err != nil {
			p.Problem = err.Error()
			continue
		}
		c, taken = with, append(taken, read)
	}
	return c
}
