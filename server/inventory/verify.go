package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares every record of this package with its key, its indexes and the counters over it. The error names the first
// that does not agree; found says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		c := &verifier{v: v, terminalsAt: map[string]uint32{}}
		for _, step := range []func() error{c.terminals, c.sites, c.bands, c.tokens, c.operators, c.plugins, c.imports} {
			if err := errors.Join(ctx.Err(), step()); err != nil {
				return err
			}
		}
		found = strings.Join(c.found, ", ")
		return nil
	})
	return found, err
}

type verifier struct {
	v           store.Snapshot
	terminalsAt map[string]uint32 // in service, by site
	found       []string
}

func (c *verifier) note(n int, what string) { c.found = append(c.found, fmt.Sprintf("%d %s", n, what)) }

// each decodes every record of a table and stops at the first that is at fault.
func each[T any, M message[T]](c *verifier, t store.Table, fn func(key []byte, m M) error) (n int, err error) {
	var bad error
	err = c.v.Scan(t, nil, nil, func(key, value []byte) bool {
		n++
		m := M(new(T))
		if bad = proto.Unmarshal(value, m); bad == nil {
			bad = fn(key, m)
		}
		if bad != nil {
			bad = fmt.Errorf("table %q: record %q: %w", t, key, bad)
		}
		return bad == nil
	})
	return n, errors.Join(err, bad)
}

// mustHave wants a key.
func (c *verifier) mustHave(t store.Table, key []byte) error {
	if ok, err := has(c.v, t, key); err != nil || !ok {
		return errors.Join(err, fmt.Errorf("table %q has no record %q", t, key))
	}
	return nil
}

// sameNumber wants as many keys in an index as there are records: with each record in it, that leaves none over.
func (c *verifier) sameNumber(index store.Table, want int) error {
	n := 0
	err := c.v.Scan(index, nil, nil, func(_, _ []byte) bool { n++; return true })
	if err == nil && n != want {
		err = fmt.Errorf("table %q: holds %d records, and %d belong there", index, n, want)
	}
	return err
}

func wantKey(key, want []byte) error {
	if !bytes.Equal(key, want) {
		return fmt.Errorf("lies under the key of another; its own is %q", want)
	}
	return nil
}

func (c *verifier) terminals() error {
	given, err := c.counter(store.KeyTerminals)
	if err != nil {
		return err
	}
	named := 0
	n, err := each(c, store.TableTerminals, func(key []byte, r *storagev1.TerminalRecord) error {
		t := r.GetTerminal()
		if inUse(r) {
			named++
			c.terminalsAt[t.GetSite()]++
		}
		if number, _ := strconv.ParseUint(strings.TrimPrefix(t.GetId(), "T-"), 10, 64); number == 0 || number > given {
			return fmt.Errorf("id %q was never given: the counter stands at %d", t.GetId(), given)
		}
		return errors.Join(wantKey(key, store.TerminalKey(t.GetId())), c.terminalIndexes(r))
	})
	if err != nil {
		return err
	}
	c.note(n, "terminals")
	return errors.Join(c.sameNumber(store.TableTerminalNames, named), c.sameNumber(store.TableTerminalSites, n))
}

func (c *verifier) terminalIndexes(r *storagev1.TerminalRecord) error {
	t := r.GetTerminal()
	if err := c.mustHave(store.TableTerminalSites, store.TerminalSiteKey(t.GetSite(), t.GetId())); err != nil || !inUse(r) {
		return err
	}
	named, err := read[fleetv1.Terminal](c.v, store.TableTerminalNames, store.Key(access.Fold(t.GetName())), nil)
	if err == nil && named.GetId() != t.GetId() {
		err = fmt.Errorf("its name %q leads to terminal %q", t.GetName(), named.GetId())
	}
	return err
}

func (c *verifier) sites() error {
	n, err := each(c, store.TableSites, func(key []byte, s *fleetv1.Site) error {
		if have := c.terminalsAt[s.GetName()]; have != s.GetTerminals() {
			return fmt.Errorf("counts %d terminals, and %d are there", s.GetTerminals(), have)
		}
		delete(c.terminalsAt, s.GetName())
		return wantKey(key, store.Key(access.Fold(s.GetName())))
	})
	if err != nil {
		return err
	}
	for site, terminals := range c.terminalsAt {
		return fmt.Errorf("table %q: has no record %q, and %d terminals are there", store.TableSites, site, terminals)
	}
	c.note(n, "sites")
	return nil
}

func (c *verifier) bands() error {
	n, err := each(c, store.TableBands, func(key []byte, b *fleetv1.Band) error {
		return errors.Join(wantKey(key, store.Key(access.Fold(b.GetSerial()))),
			c.mustHave(store.TableSites, store.Key(b.GetSite())),
			c.mustHave(store.TableBandSites, store.Key(b.GetSite(), string(key))))
	})
	if err != nil {
		return err
	}
	c.note(n, "bands")
	return c.sameNumber(store.TableBandSites, n)
}

func (c *verifier) tokens() error {
	n, err := each(c, store.TableTokens, func(key []byte, r *storagev1.TokenRecord) error {
		return errors.Join(wantKey(key, store.Key(r.GetToken().GetId())), c.mustHave(store.TableSites, store.Key(r.GetToken().GetSite())))
	})
	if err != nil {
		return err
	}
	c.note(n, "tokens")
	_, err = each(c, store.TableEnrolments, func(key []byte, t *fleetv1.Terminal) error {
		token, _, _ := bytes.Cut(key, store.Prefix(""))
		return errors.Join(c.mustHave(store.TableTokens, token), c.mustHave(store.TableTerminals, store.TerminalKey(t.GetId())))
	})
	return err
}

func (c *verifier) operators() error {
	administrators := uint64(0)
	n, err := each(c, store.TableOperators, func(key []byte, r *storagev1.OperatorRecord) error {
		if administers(r.GetOperator()) && !r.GetOperator().GetRevoked() {
			administrators++
		}
		return wantKey(key, store.Key(r.GetOperator().GetName()))
	})
	if err != nil {
		return err
	}
	counted, err := c.counter(store.KeyAdministrators)
	if err == nil && counted != administrators {
		err = fmt.Errorf("table %q: record %q counts %d, and there are %d", store.TableMeta, store.KeyAdministrators, counted, administrators)
	}
	c.note(n, "operators")
	return err
}

func (c *verifier) plugins() error {
	n, err := each(c, store.TablePlugins, func(key []byte, r *storagev1.PluginRecord) error {
		return wantKey(key, store.Key(r.GetPlugin().GetSha256()))
	})
	c.note(n, "plugins")
	return err
}

// imports wants parts only of imports that are under way, and of those that are READY each with its account.
func (c *verifier) imports() error {
	states := map[string]storagev1.ImportState{}
	n, err := each(c, store.TableImports, func(key []byte, r *storagev1.ImportRecord) error {
		states[r.GetId()] = r.GetState()
		return wantKey(key, store.ImportKey(r.GetId()))
	})
	if err != nil {
		return err
	}
	c.note(n, "imports")
	_, err = each(c, store.TableImportParts, func(key []byte, part *storagev1.ImportPart) error {
		id := string(key[:max(0, len(key)-4)])
		switch states[id] {
		case storagev1.ImportState_IMPORT_STATE_PREPARING:
			return nil
		case storagev1.ImportState_IMPORT_STATE_READY:
			if part.GetTotal() != nil {
				return nil
			}
			return c.mustHave(store.TableImportParts, store.ImportPartKey(id, part.GetAccount()))
		default:
			return fmt.Errorf("is of import %q, which is done or not there", id)
		}
	})
	return err
}

// counter reads a counter; one that was never changed is not there.
func (c *verifier) counter(name string) (uint64, error) {
	value, err := c.v.Get(store.TableMeta, store.Key(name))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return store.ParseNumber(value), err
}
