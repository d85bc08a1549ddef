package secrets

import (
	"bytes"
	"context"
	"errors"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// deletedAtOnce is how many secrets one update removes.
const deletedAtOnce = 50

// Delete removes a secret for good.
func (k *Keeper) Delete(ctx context.Context, p *access.Principal, req *fleetv1.DeleteSecretRequest) (terminalID string, err error) {
	if err := audit.CheckReason("reason", req.GetReason()); err != nil {
		return "", err
	}
	found, err := k.cfg.Terminals.Terminal(ctx, req.GetTerminal())
	if err != nil {
		return "", err
	}
	id := found.GetTerminal().GetId()
	return id, k.cfg.Store.Update(ctx, func(w store.Writer) error {
		t, err := mine(w, p, id, req.GetTerminal())
		if err != nil {
			return err
		}
		s, err := read(w, id, req.GetName())
		if err != nil {
			return err
		}
		if s == nil {
			return errNoSecret(t, req.GetName())
		}
		return errors.Join(w.Delete(store.TableSecrets, store.SecretKey(id, req.GetName())), audit.Append(w, k.cfg.Now(), audit.Entry{
			Site: t.GetTerminal().GetSite(), Actor: p.Name, Verb: "secret.delete", Object: objectOf(s.GetSecret()), Reason: req.GetReason(),
			Changes: []*storagev1.AuditChange{audit.Change("version", versionText(s), "")},
		}))
	})
}

// Forget removes the secrets of a terminal that was decommissioned. It may be repeated.
func (k *Keeper) Forget(ctx context.Context, terminalID string) error {
	t, keys, err := k.of(ctx, terminalID)
	if err != nil || inService(t) == nil {
		return err
	}
	for some := range slices.Chunk(keys, deletedAtOnce) {
		err := k.cfg.Store.Update(ctx, func(w store.Writer) error {
			e := audit.Entry{Site: t.GetTerminal().GetSite(), Verb: "secret.forget", Object: "terminal/" + terminalID}
			for _, key := range some {
				if err := w.Delete(store.TableSecrets, key); err != nil {
					return err
				}
				_, name, _ := bytes.Cut(key, store.Prefix(""))
				e.Changes = append(e.Changes, audit.Change("secret", string(name), ""))
			}
			return audit.Append(w, k.cfg.Now(), e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// of returns a terminal and the keys of its secrets.
func (k *Keeper) of(ctx context.Context, terminalID string) (t *storagev1.TerminalRecord, keys [][]byte, err error) {
	err = k.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		keys = nil
		if t, err = terminal(v, terminalID); err != nil {
			return err
		}
		return v.Scan(store.TableSecrets, store.SecretPrefix(terminalID), nil, func(key, _ []byte) bool {
			keys = append(keys, bytes.Clone(key))
			return true
		})
	})
	return t, keys, err
}

// Sweep removes what a killed server has left of terminals that were decommissioned.
func (k *Keeper) Sweep(ctx context.Context) error {
	var from []byte
	for {
		id := ""
		err := k.cfg.Store.View(ctx, func(v store.Snapshot) error {
			return v.Scan(store.TableSecrets, nil, from, func(key, _ []byte) bool {
				ordinal, _, _ := bytes.Cut(key, store.Prefix(""))
				id = string(ordinal[min(1, len(ordinal)):])
				return false
			})
		})
		if err != nil || id == "" {
			return err
		}
		if err := k.Forget(ctx, id); err != nil {
			return err
		}
		// Beyond all keys of this terminal: a part of a key ends with a zero byte.
		from = append(store.TerminalKey(id), 1)
	}
}
