package access

import (
	"context"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Authenticate returns who a certificate speaks for. leaf must have been verified against the fleet's CA. A certificate is
// valid only while the store says that its key speaks for its name: so revocation works at once and survives a restart.
func (a *Authorizer) Authenticate(ctx context.Context, leaf *x509.Certificate) (*Principal, error) {
	name, err := identity.FromCertificate(leaf)
	if err != nil {
		return nil, refusal.New(refusal.Unauthenticated, "BAD_CERTIFICATE", "%s", err)
	}
	// TLS looked at this when the connection was made, which may be long ago.
	if a.now().After(leaf.NotAfter) {
		return nil, refusal.New(refusal.Unauthenticated, "CERTIFICATE_EXPIRED", "caller %q: its certificate expired at %s", name, leaf.NotAfter.Format(time.RFC3339)).
			Then("connect again with the newest certificate, or ask an administrator for a new one")
	}
	sum := identity.KeyFingerprint(leaf.RawSubjectPublicKeyInfo)
	switch name.Kind {
	case identity.KindOperator:
		return a.operator(ctx, name, sum[:])
	case identity.KindAgent:
		return a.agent(ctx, name, sum[:], leaf)
	default:
		return nil, refusal.New(refusal.Unauthenticated, "WRONG_KIND", "caller %q: is neither an agent nor an operator", name)
	}
}

func (a *Authorizer) operator(ctx context.Context, name identity.Name, key []byte) (*Principal, error) {
	record := &storagev1.OperatorRecord{}
	if err := a.load(ctx, store.TableOperators, store.Key(name.ID), record); err != nil {
		return nil, unknown(err, name)
	}
	if err := Admitted(record, key); err != nil {
		return nil, err
	}
	if same(record.GetRenewedKeySha256(), key) {
		if err := a.promoteOperatorKey(ctx, name, key); err != nil {
			return nil, err
		}
	}
	return &Principal{Name: name, Operator: record.GetOperator(), Key: key}, nil
}

// Admitted refuses an operator who is revoked, or a key that does not speak for it any more.
func Admitted(r *storagev1.OperatorRecord, key []byte) error {
	if r.GetOperator().GetRevoked() {
		return refusal.New(refusal.Unauthenticated, "OPERATOR_REVOKED", "operator %q: is revoked", r.GetOperator().GetName()).
			Then("ask an administrator for a new operator; names are not given twice")
	}
	if same(r.GetTlsKeySha256(), key) || same(r.GetRenewedKeySha256(), key) {
		return nil
	}
	return wrongKey(refusal.Unauthenticated, identity.Name{Kind: identity.KindOperator, ID: r.GetOperator().GetName()})
}

func (a *Authorizer) agent(ctx context.Context, name identity.Name, key []byte, leaf *x509.Certificate) (*Principal, error) {
	record := &storagev1.TerminalRecord{}
	if err := a.load(ctx, store.TableTerminals, store.TerminalKey(name.ID), record); err != nil {
		return nil, unknown(err, name)
	}
	if err := InService(record, key); err != nil {
		return nil, err
	}
	if same(record.GetRenewedKeySha256(), key) {
		if err := a.promoteAgentKey(ctx, name, key); err != nil {
			return nil, err
		}
	}
	return &Principal{Name: name, Terminal: brief(record, key), Leaf: leaf}, nil
}

// brief keeps of a terminal what sessions need: a session lives for days, and there are many.
func brief(r *storagev1.TerminalRecord, key []byte) *storagev1.TerminalRecord {
	t := r.GetTerminal()
	return &storagev1.TerminalRecord{
		Terminal:     &fleetv1.Terminal{Id: t.GetId(), Name: t.GetName(), Site: t.GetSite(), Role: t.GetRole(), State: t.GetState()},
		TlsKeySha256: key,
	}
}

// InService refuses a terminal that is not in service, or a key that does not speak for it any more. Whoever acts on an
// agent's word some time after it was authenticated asks again: the terminal may have been taken out of service meanwhile.
func InService(r *storagev1.TerminalRecord, key []byte) error {
	if err := active(r.GetTerminal()); err != nil {
		return err
	}
	if same(r.GetTlsKeySha256(), key) || same(r.GetRenewedKeySha256(), key) {
		return nil
	}
	return wrongKey(refusal.Denied, identity.Name{Kind: identity.KindAgent, ID: r.GetTerminal().GetId()})
}

func active(t *fleetv1.Terminal) error {
	switch t.GetState() {
	case fleetv1.TerminalState_TERMINAL_STATE_ACTIVE:
		return nil
	case fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING:
		return refusal.New(refusal.Denied, "TERMINAL_RE_ENROLLING", "terminal %q: is to enrol anew", t.GetId()).
			Then("enrol it with the token that `fleetctl terminal re-enrol` printed")
	default:
		return refusal.New(refusal.Denied, "TERMINAL_DECOMMISSIONED", "terminal %q: is decommissioned", t.GetId()).
			Then("enrol the machine with a new token if it is to come back")
	}
}

// promoteAgentKey makes the key of a renewal the only one, now that the agent has shown that it got the certificate.
func (a *Authorizer) promoteAgentKey(ctx context.Context, name identity.Name, key []byte) error {
	r := &storagev1.TerminalRecord{}
	return a.promote(ctx, store.TableTerminals, store.TerminalKey(name.ID), r, func() *audit.Entry {
		if !same(r.GetRenewedKeySha256(), key) {
			return nil
		}
		r.TlsKeySha256, r.RenewedKeySha256 = key, nil
		return &audit.Entry{Site: r.GetTerminal().GetSite(), Actor: name, Verb: "terminal.new-key", Object: "terminal/" + name.ID}
	})
}

// promoteOperatorKey does the same for an operator.
func (a *Authorizer) promoteOperatorKey(ctx context.Context, name identity.Name, key []byte) error {
	r := &storagev1.OperatorRecord{}
	return a.promote(ctx, store.TableOperators, store.Key(name.ID), r, func() *audit.Entry {
		if !same(r.GetRenewedKeySha256(), key) {
			return nil
		}
		r.TlsKeySha256, r.RenewedKeySha256 = key, nil
		return &audit.Entry{Actor: name, Verb: "operator.new-key", Object: "operator/" + name.ID}
	})
}

// promote reads a record into r, lets fn change it, and stores it with the audit record, or leaves it when fn returns nil.
func (a *Authorizer) promote(ctx context.Context, t store.Table, key []byte, r proto.Message, fn func() *audit.Entry) error {
	return a.store.Update(ctx, func(w store.Writer) error {
		text, err := w.Get(t, key)
		if err != nil {
			return err
		}
		if err := proto.Unmarshal(text, r); err != nil {
			return err
		}
		e := fn()
		if e == nil {
			return nil
		}
		if text, err = proto.Marshal(r); err != nil {
			return err
		}
		if err := w.Put(t, key, text); err != nil {
			return err
		}
		return audit.Append(w, a.now(), *e)
	})
}

func (a *Authorizer) load(ctx context.Context, t store.Table, key []byte, into proto.Message) error {
	return a.store.View(ctx, func(v store.Snapshot) error {
		text, err := v.Get(t, key)
		if err != nil {
			return err
		}
		return proto.Unmarshal(text, into)
	})
}

// same is false for a hash that is not set.
func same(stored, shown []byte) bool {
	return len(stored) > 0 && subtle.ConstantTimeCompare(stored, shown) == 1
}

func unknown(err error, name identity.Name) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return refusal.New(refusal.Unauthenticated, "UNKNOWN_CALLER", "caller %q: is not known to this server", name)
}

func wrongKey(kind refusal.Kind, name identity.Name) error {
	return refusal.New(kind, "KEY_REPLACED", "caller %q: this certificate's key was replaced by another", name).
		Then("use the newest certificate, or enrol again")
}
