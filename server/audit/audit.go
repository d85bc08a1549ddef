// Package audit keeps the record of who changed what, and why: one chain of records per site, each holding the hash of the
// one before it. A record is written in the same transaction as the change that it tells of, so that neither exists without
// the other. Every domain package of the server appends; nothing ever changes or removes a record.
package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// FleetChain is the chain of what concerns no single site. No site can have this name.
const FleetChain = "<fleet>"

// maxText bounds what an operator may write into a record, in bytes.
const maxText = 1024

// Entry is what a caller knows of a change.
type Entry struct {
	// Site names the chain; empty means the fleet's.
	Site string
	// Actor is who did it; the zero value means the server itself.
	Actor identity.Name
	// Verb is what was done ("terminal.label"), Object what it was done to ("terminal/T-0142").
	Verb, Object string
	// Reason is what the actor gave as the reason, if any.
	Reason string
	// Changes are old and new values; never a secret.
	Changes []*storagev1.AuditChange
}

// Change makes one entry of Entry.Changes.
func Change(name, old, changed string) *storagev1.AuditChange {
	return &storagev1.AuditChange{Name: name, Old: old, New: changed}
}

// Append adds a record to the end of its chain. It writes two keys.
func Append(w store.Writer, now time.Time, e Entry) error {
	chain := chainOf(e.Site)
	head, err := headOf(w, chain)
	if err != nil {
		return err
	}
	r := &storagev1.AuditRecord{
		Chain: chain, Sequence: head.GetSequence() + 1, Time: timestamppb.New(now), Actor: actorOf(e.Actor),
		Verb: e.Verb, Object: e.Object, Reason: clip(e.Reason), Changes: e.Changes, Previous: head.GetHash(),
	}
	if r.Hash, err = Hash(r); err != nil {
		return err
	}
	text, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	end, err := proto.Marshal(&storagev1.AuditHead{Sequence: r.GetSequence(), Hash: r.GetHash()})
	if err != nil {
		return err
	}
	if err := w.Put(store.TableAudit, store.AuditKey(chain, r.GetSequence()), text); err != nil {
		return err
	}
	return w.Put(store.TableAuditHeads, store.Key(chain), end)
}

// Hash returns the SHA-256 of a record with its hash field empty, in deterministic encoding.
func Hash(r *storagev1.AuditRecord) ([]byte, error) {
	bare := proto.CloneOf(r)
	bare.Hash = nil
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

func headOf(r store.Reader, chain string) (*storagev1.AuditHead, error) {
	text, err := r.Get(store.TableAuditHeads, store.Key(chain))
	if errors.Is(err, store.ErrNotFound) {
		return &storagev1.AuditHead{Hash: make([]byte, sha256.Size)}, nil
	}
	if err != nil {
		return nil, err
	}
	head := &storagev1.AuditHead{}
	return head, proto.Unmarshal(text, head)
}

func chainOf(site string) string {
	if site == "" {
		return FleetChain
	}
	return site
}

func actorOf(n identity.Name) string {
	if n == (identity.Name{}) {
		return "server"
	}
	return n.String()
}

func clip(text string) string {
	if len(text) <= maxText {
		return strings.ToValidUTF8(text, "\uFFFD")
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// Verify walks every chain and returns an error that names the first record at fault. A chain that was cut off at its end is
// found through its head; a chain that vanished with its head is not.
func Verify(ctx context.Context, st store.Store) error {
	return st.View(ctx, func(v store.Snapshot) error {
		heads := map[string]*storagev1.AuditHead{}
		var bad error
		err := v.Scan(store.TableAuditHeads, nil, nil, func(key, value []byte) bool {
			head := &storagev1.AuditHead{}
			bad = proto.Unmarshal(value, head)
			heads[string(key)] = head
			return bad == nil
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		return verifyChains(ctx, v, heads)
	})
}

func verifyChains(ctx context.Context, v store.Snapshot, heads map[string]*storagev1.AuditHead) error {
	ends := map[string]*storagev1.AuditHead{}
	var bad error
	err := v.Scan(store.TableAudit, nil, nil, func(key, value []byte) bool {
		if bad = ctx.Err(); bad == nil {
			bad = verifyRecord(key, value, ends)
		}
		return bad == nil
	})
	if err = errors.Join(err, bad); err != nil {
		return err
	}
	for chain, head := range heads {
		if end := ends[chain]; end.GetSequence() != head.GetSequence() || !bytes.Equal(end.GetHash(), head.GetHash()) {
			return fmt.Errorf("audit chain %q: ends at record %d, and %d were written", chain, end.GetSequence(), head.GetSequence())
		}
	}
	for chain := range ends {
		if heads[chain] == nil {
			return fmt.Errorf("audit chain %q: its head is missing", chain)
		}
	}
	return nil
}

// verifyRecord checks one record against the end of its chain so far, and makes it the end.
func verifyRecord(key, value []byte, ends map[string]*storagev1.AuditHead) error {
	r := &storagev1.AuditRecord{}
	if err := proto.Unmarshal(value, r); err != nil {
		return fmt.Errorf("audit record %q: %w", key, err)
	}
	end := ends[r.GetChain()]
	if end == nil {
		end = &storagev1.AuditHead{Hash: make([]byte, sha256.Size)}
	}
	hash, err := Hash(r)
	if err != nil {
		return err
	}
	switch {
	case !bytes.Equal(key, store.AuditKey(r.GetChain(), r.GetSequence())):
		return fmt.Errorf("audit record %q: lies in the place of another", key)
	case r.GetSequence() != end.GetSequence()+1:
		return fmt.Errorf("audit chain %q: record %d follows record %d", r.GetChain(), r.GetSequence(), end.GetSequence())
	case !bytes.Equal(r.GetPrevious(), end.GetHash()):
		return fmt.Errorf("audit chain %q: record %d does not follow from the one before it", r.GetChain(), r.GetSequence())
	case !bytes.Equal(r.GetHash(), hash):
		return fmt.Errorf("audit chain %q: record %d was changed", r.GetChain(), r.GetSequence())
	}
	ends[r.GetChain()] = &storagev1.AuditHead{Sequence: r.GetSequence(), Hash: hash}
	return nil
}
