package secrets

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// scanChunk is how many records one view reads: views must be short, and a record may be large.
const scanChunk = 50

// List returns what is public of the secrets of terminals that the caller may know of, by terminal and name.
func (k *Keeper) List(ctx context.Context, p *access.Principal, req *fleetv1.ListSecretsRequest) (*fleetv1.ListSecretsResponse, error) {
	size, err := paging.Size(int32(min(req.GetPageSize(), paging.Most)))
	if err != nil {
		return nil, err
	}
	from, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	if err != nil || len(from) > 512 {
		return nil, paging.BadToken()
	}
	if len(from) > 0 {
		from = append(from, 0)
	}
	var prefix []byte
	if req.GetTerminal() != "" {
		if prefix, err = k.prefix(ctx, p, req.GetTerminal()); err != nil {
			return nil, err
		}
	}
	l := &lister{Keeper: k, p: p, size: size, terminals: map[string]*storagev1.TerminalRecord{}, answer: &fleetv1.ListSecretsResponse{}}
	return l.answer, l.run(ctx, prefix, from)
}

// prefix is what the keys of a terminal's secrets begin with. A terminal that the caller may not know of is answered as one that is
// not there.
func (k *Keeper) prefix(ctx context.Context, p *access.Principal, idOrName string) ([]byte, error) {
	t, err := k.cfg.Terminals.Terminal(ctx, idOrName)
	if err != nil {
		return nil, err
	}
	o := access.Object{Kind: access.Terminal, Name: idOrName, Field: "terminal"}
	return store.SecretPrefix(t.GetTerminal().GetId()), access.CheckSites(p, access.Read, access.Some, o, []string{t.GetTerminal().GetSite()})
}

// lister fills one page.
type lister struct {
	*Keeper
	p         *access.Principal
	size      int
	terminals map[string]*storagev1.TerminalRecord
	answer    *fleetv1.ListSecretsResponse
	last      []byte
}

// run reads in several short views. The token names the last secret of the page, never one that was left out: it could be at a site
// that the caller may not know of.
func (l *lister) run(ctx context.Context, prefix, from []byte) error {
	for {
		seen, more := 0, true
		var bad error
		err := l.cfg.Store.View(ctx, func(v store.Snapshot) error {
			return v.Scan(store.TableSecrets, prefix, from, func(key, value []byte) bool {
				seen++
				from = append(bytes.Clone(key), 0)
				more, bad = l.take(v, key, value)
				return more && seen < scanChunk
			})
		})
		if err = errors.Join(err, bad); err != nil || !more || seen < scanChunk {
			return err
		}
	}
}

// take adds a secret to the page, unless the caller may not know of it. more is false when the page is full.
func (l *lister) take(v store.Snapshot, key, value []byte) (more bool, err error) {
	s := &storagev1.SecretRecord{}
	if err := proto.Unmarshal(value, s); err != nil {
		return false, err
	}
	t, err := l.terminal(v, s.GetSecret().GetTerminalId())
	if err != nil || !l.p.May(access.Read, t.GetTerminal().GetSite()) {
		return err == nil, err
	}
	if len(l.answer.GetSecrets()) == l.size {
		l.answer.NextPageToken = base64.RawURLEncoding.EncodeToString(l.last)
		return false, nil
	}
	l.last = bytes.Clone(key)
	l.answer.Secrets = append(l.answer.Secrets, shown(t, s))
	return true, nil
}

func (l *lister) terminal(v store.Snapshot, id string) (t *storagev1.TerminalRecord, err error) {
	if t = l.terminals[id]; t == nil {
		if t, err = terminal(v, id); err != nil {
			return nil, err
		}
		l.terminals[id] = t
	}
	return t, nil
}

// shown is what is public of a secret, with what its terminal is called now and where it is.
func shown(t *storagev1.TerminalRecord, s *storagev1.SecretRecord) *fleetv1.Secret {
	out := proto.CloneOf(s.GetSecret())
	out.TerminalName, out.Site, out.Usable = t.GetTerminal().GetName(), t.GetTerminal().GetSite(), usable(t, s)
	return out
}

func errNoSecret(t *storagev1.TerminalRecord, name string) error {
	return refusal.New(refusal.NotFound, "NOT_FOUND", "secret %q of terminal %q: not found", refusal.Shown(name), t.GetTerminal().GetName()).At("name").
		Then("list them with `fleetctl secret list --for %s`", t.GetTerminal().GetName())
}
