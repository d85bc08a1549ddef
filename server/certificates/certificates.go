// Package certificates keeps what scans have found in the certificate stores of terminals: who has which certificate until when, and
// who trusts which root. It owns those records and the index over their ends. server/jobs stores a scan with the result that brings
// it; server/api lists what there is, Bandfleet's own certificates among them; server/asks answers agents who want to know how far a
// root is trusted before they use it.
//
// When a certificate comes near its end, the audit record says so once at each level: 60, 30, 14 and 7 days, one day, and the end.
package certificates

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
)

// scanChunk is how many records one view reads: views must be short, and a scan's record may be large.
const scanChunk = 100

// Inventory is what is asked of the inventory.
type Inventory interface {
	Site(ctx context.Context, name string) (*fleetv1.Site, error)
	// Sites lists the sites that the principal may read.
	Sites(ctx context.Context, p *access.Principal, page inventory.Page) ([]*fleetv1.Site, string, error)
	// AtSite reads the terminals in service at a site.
	AtSite(ctx context.Context, site string) ([]*storagev1.TerminalRecord, error)
	// Select resolves a selection to terminals on which the principal holds the right; one that matches none is refused.
	Select(ctx context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error)
}

// Own are the certificates of the server itself.
type Own struct {
	Server, Authority *x509.Certificate
}

// Config is what a keeper is made of.
type Config struct {
	Store     store.Store
	Inventory Inventory
	// Own returns the certificates that the server uses now.
	Own func() (Own, error)
	// AgentLife is how long an agent's certificate is valid.
	AgentLife time.Duration
	// Notices is told of certificates that end; nil tells nobody.
	Notices Notices
	Now     func() time.Time
}

// Notices tells people what happens.
type Notices interface {
	// Post keeps a notice to be told, as part of an update.
	Post(w store.Writer, n *fleetv1.Notice) error
}

// Keeper keeps what scans have found. It is safe for concurrent use.
type Keeper struct{ cfg Config }

// New makes a keeper.
func New(c Config) *Keeper { return &Keeper{cfg: c} }

// read returns what the last scan of a terminal found, nil when there was none. A record that is damaged counts as none: the next scan
// writes it anew.
func read(r store.Reader, terminalID string) (*storagev1.CertificatesRecord, error) {
	text, err := r.Get(store.TableCertificates, store.TerminalKey(terminalID))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificates of terminal %q: %w", terminalID, err)
	}
	rec := &storagev1.CertificatesRecord{}
	if damaged := proto.Unmarshal(text, rec) != nil; damaged {
		rec = nil
	}
	return rec, nil
}

// terminal reads a terminal's record by its id, nil when there is none.
func terminal(r store.Reader, id string) (*storagev1.TerminalRecord, error) {
	text, err := r.Get(store.TableTerminals, store.TerminalKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &storagev1.TerminalRecord{}
	return t, proto.Unmarshal(text, t)
}

func inService(t *storagev1.TerminalRecord) bool {
	return t != nil && t.GetTerminal().GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
}

// Forget removes what is known of a terminal that was decommissioned. It may be repeated.
func (k *Keeper) Forget(ctx context.Context, terminalID string) error {
	return k.cfg.Store.Update(ctx, func(w store.Writer) error {
		t, err := terminal(w, terminalID)
		if err != nil || inService(t) {
			return err
		}
		rec, err := read(w, terminalID)
		if err != nil || rec == nil {
			return err
		}
		return errors.Join(
			w.Delete(store.TableCertificates, store.TerminalKey(terminalID)),
			w.Delete(store.TableCertificateEnds, store.CertificateEndKey(firstEnd(rec), terminalID)))
	})
}

// Sweep removes what a killed server has left of terminals that were decommissioned.
func (k *Keeper) Sweep(ctx context.Context) error {
	var gone []string
	err := k.eachEnd(ctx, func(v store.Snapshot, _ int64, id string) (bool, error) {
		t, err := terminal(v, id)
		if err == nil && !inService(t) {
			gone = append(gone, id)
		}
		return true, err
	})
	for _, id := range gone {
		if err == nil {
			err = k.Forget(ctx, id)
		}
	}
	return err
}

// eachEnd calls fn for each terminal that was scanned, the one with the first end at the head, in several short views.
func (k *Keeper) eachEnd(ctx context.Context, fn func(v store.Snapshot, end int64, terminalID string) (more bool, err error)) error {
	var from []byte
	for {
		seen, stopped := 0, false
		var bad error
		err := k.cfg.Store.View(ctx, func(v store.Snapshot) error {
			return v.Scan(store.TableCertificateEnds, nil, from, func(key, _ []byte) bool {
				seen++
				from = append(append([]byte(nil), key...), 0)
				end, id := store.TerminalOfEndKey(key)
				var more bool
				more, bad = fn(v, end, id)
				stopped = bad != nil || !more
				return !stopped && seen < scanChunk
			})
		})
		if err = errors.Join(err, bad); err != nil || stopped || seen < scanChunk {
			return err
		}
	}
}
