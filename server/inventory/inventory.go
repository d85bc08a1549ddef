// Package inventory keeps what a fleet consists of: sites, terminals, bands, the tokens with which machines come in, the
// operators, and the actions that terminals offer. The API changes it, sessions tell it of machines that come and go, and the
// job engine asks it for targets.
//
// Every change is committed together with its audit record. What machines report of themselves (facts, last seen) is no
// change in that sense: it is stored without one, and does not alter a terminal's etag.
package inventory

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store"
)

// Config is what an inventory stands on.
type Config struct {
	Store store.Store
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// CA is the fingerprint of the fleet's CA, which tokens carry.
	CA [32]byte
	// Presence answers for online in expressions; nil means that nobody is.
	Presence Presence
}

// Presence tells which terminals have a session. It is not stored.
type Presence interface {
	Online(terminalID string) bool
}

// Issue signs a certificate for a name (an id of a terminal, a name of an operator) and the public key of a request.
type Issue func(name string, csr []byte) (*pki.Issued, error)

// Inventory is the domain package's one object. Safe for concurrent use.
type Inventory struct {
	store    store.Store
	now      func() time.Time
	ca       [32]byte
	presence Presence

	// importing is held while an import is carried out.
	importing sync.Mutex

	// plugins are manifests by the hash of their executable. What a hash stands for never changes.
	plugins sync.Map
}

// New makes an inventory.
func New(c Config) *Inventory {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Inventory{store: c.Store, now: c.Now, ca: c.CA, presence: c.Presence}
}

func (i *Inventory) online(terminalID string) bool {
	return i.presence != nil && i.presence.Online(terminalID)
}

// Resolvers tell the authorizer at which site an object is.
func (i *Inventory) Resolvers() map[access.ObjectKind]access.Resolver {
	return map[access.ObjectKind]access.Resolver{
		access.Site: func(ctx context.Context, name string) ([]string, error) {
			s, err := i.Site(ctx, name)
			return []string{s.GetName()}, err
		},
		access.Terminal: func(ctx context.Context, name string) ([]string, error) {
			t, err := i.Terminal(ctx, name)
			return []string{t.GetTerminal().GetSite()}, err
		},
		access.Band: func(ctx context.Context, serial string) ([]string, error) {
			b, err := i.Band(ctx, serial)
			return []string{b.GetSite()}, err
		},
		access.Token: func(ctx context.Context, id string) ([]string, error) {
			t, err := i.Token(ctx, id)
			return []string{t.GetSite()}, err
		},
	}
}

// message is a pointer to a generated message.
type message[T any] interface {
	*T
	proto.Message
}

// read returns a record, or notFound when there is none.
func read[T any, M message[T]](r store.Reader, t store.Table, key []byte, notFound error) (M, error) {
	text, err := r.Get(t, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound
	}
	if err != nil {
		return nil, err
	}
	m := M(new(T))
	return m, proto.Unmarshal(text, m)
}

// view reads a record in a view of its own.
func view[T any, M message[T]](ctx context.Context, st store.Store, t store.Table, key []byte, notFound error) (m M, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		m, err = read[T, M](v, t, key, notFound)
		return err
	})
	return m, err
}

// has reports whether there is a key.
func has(r store.Reader, t store.Table, key []byte) (bool, error) {
	_, err := r.Get(t, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func write(w store.Writer, t store.Table, key []byte, m proto.Message) error {
	text, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return w.Put(t, key, text)
}

// count changes a counter and returns its new value.
func count(w store.Writer, key string, by int64) (uint64, error) {
	text, err := w.Get(store.TableMeta, store.Key(key))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	n := uint64(int64(store.ParseNumber(text)) + by)
	return n, w.Put(store.TableMeta, store.Key(key), store.Number(n))
}

// sha256OfPlugin is the type of the keys of Inventory.plugins.
type sha256OfPlugin string

func (i *Inventory) cached(sha256 string) (*agentv1.Plugin, bool) {
	p, ok := i.plugins.Load(sha256OfPlugin(sha256))
	if !ok {
		return nil, false
	}
	return p.(*agentv1.Plugin), true
}
