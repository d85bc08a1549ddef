// Package secrets keeps what one terminal alone can open: passwords and certificates with their keys, sealed by whoever puts them.
// It owns the sealed records; nothing in this server can open one, and none of what is sealed is ever logged or audited.
// server/api calls it for operators, server/asks for agents whose tasks name a secret, server/jobs for what an approval covers.
//
// A secret is good as long as its terminal has the key that it was sealed to. A terminal that is enrolled anew has another, and what
// was put before must be put again.
package secrets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxPerTerminal is how many secrets a terminal may have. How large one may be is said in proto/sealed.
const maxPerTerminal = 100

// Terminals is what secrets are asked of the inventory.
type Terminals interface {
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
}

// Config is what a keeper is made of.
type Config struct {
	Store     store.Store
	Terminals Terminals
	Now       func() time.Time
}

// Keeper keeps secrets. It is safe for concurrent use.
type Keeper struct {
	cfg Config
	// putting is held while a secret is put: so their number is counted before the update, which cannot scan.
	putting sync.Mutex
}

// New makes a keeper.
func New(c Config) *Keeper { return &Keeper{cfg: c} }

// SealingKey returns the key of a terminal that secrets are sealed to, with its proof.
func (k *Keeper) SealingKey(ctx context.Context, idOrName string) (*fleetv1.GetSealingKeyResponse, error) {
	r, err := k.cfg.Terminals.Terminal(ctx, idOrName)
	if err != nil {
		return nil, err
	}
	t := r.GetTerminal()
	if err := inService(r); err != nil {
		return nil, err
	}
	if len(r.GetSealingKey()) == 0 || len(r.GetSealingKeyProof()) == 0 || len(r.GetSealingKeyChain()) == 0 {
		return nil, refusal.New(refusal.Precondition, "NO_SEALING_KEY", "terminal %q: its agent has not shown yet that its sealing key is its own", t.GetName()).
			At("terminal").Then("bring its agent to this release and let it connect once, then ask again")
	}
	return &fleetv1.GetSealingKeyResponse{
		TerminalId: t.GetId(), TerminalName: t.GetName(), SealingKey: r.GetSealingKey(),
		Proof: r.GetSealingKeyProof(), CertificateChain: r.GetSealingKeyChain(),
	}, nil
}

func inService(r *storagev1.TerminalRecord) error {
	if r.GetTerminal().GetState() != fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED {
		return nil
	}
	return refusal.New(refusal.Precondition, "TERMINAL_DECOMMISSIONED", "terminal %q: is decommissioned", r.GetTerminal().GetId())
}

// usable reports whether the terminal, as it is now, can open a secret.
func usable(r *storagev1.TerminalRecord, s *storagev1.SecretRecord) bool {
	key := r.GetSealingKey()
	return inService(r) == nil && len(key) > 0 && bytes.Equal(key, s.GetSealed().GetRecipient())
}

// Sealed returns a secret for its own terminal's agent. The refusal says what a person does.
func (k *Keeper) Sealed(ctx context.Context, terminalID, name string) (*agentv1.SealedSecret, error) {
	var s *storagev1.SecretRecord
	err := k.cfg.Store.View(ctx, func(v store.Snapshot) (err error) {
		s, err = k.good(v, terminalID, name)
		return err
	})
	return s.GetSealed(), err
}

// good reads a secret that its terminal can open.
func (k *Keeper) good(r store.Reader, terminalID, name string) (*storagev1.SecretRecord, error) {
	t, err := terminal(r, terminalID)
	if err != nil {
		return nil, err
	}
	s, err := read(r, terminalID, name)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, refusal.New(refusal.NotFound, "NO_SECRET", "secret %q of terminal %q: is not there", refusal.Shown(name), t.GetTerminal().GetName()).
			Then("put it with `fleetctl secret put %s --for %s`", refusal.Shown(name), t.GetTerminal().GetName())
	case !usable(t, s):
		return nil, refusal.New(refusal.Precondition, "SECRET_OUTDATED", "secret %q of terminal %q: was sealed to a key that the terminal has no more",
			refusal.Shown(name), t.GetTerminal().GetName()).Then("put it again with `fleetctl secret put %s --for %s`", refusal.Shown(name), t.GetTerminal().GetName())
	}
	return s, nil
}

// Stamp identifies what a secret holds, for approvals: whenever it is put again, even after it was deleted, it is another. It is refused
// when there is no such secret or its terminal cannot open it.
func (k *Keeper) Stamp(r store.Reader, terminalID, name string) (string, error) {
	s, err := k.good(r, terminalID, name)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, part := range [][]byte{s.GetSealed().GetRecipient(), s.GetSealed().GetEncapsulatedKey(), s.GetSealed().GetCiphertext()} {
		one := sha256.Sum256(part)
		sum.Write(one[:])
	}
	return fmt.Sprintf("%d %s", s.GetSecret().GetVersion(), hex.EncodeToString(sum.Sum(nil))), nil
}

// read returns a secret's record, nil when there is none.
func read(r store.Reader, terminalID, name string) (*storagev1.SecretRecord, error) {
	if !isName(name) {
		return nil, nil
	}
	text, err := r.Get(store.TableSecrets, store.SecretKey(terminalID, name))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secret %q of terminal %q: %w", name, terminalID, err)
	}
	s := &storagev1.SecretRecord{}
	return s, proto.Unmarshal(text, s)
}

func isName(name string) bool { return sealed.CheckName(name) == nil }

// terminal reads a terminal's record by its id.
func terminal(r store.Reader, id string) (*storagev1.TerminalRecord, error) {
	text, err := r.Get(store.TableTerminals, store.TerminalKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, access.NotFound(access.Terminal, id)
	}
	if err != nil {
		return nil, err
	}
	t := &storagev1.TerminalRecord{}
	return t, proto.Unmarshal(text, t)
}
