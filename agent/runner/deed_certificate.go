package runner

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/pfx"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// certificateDeed adds a certificate to a store of the machine, with its key when it comes from a PFX. What was there already is not
// touched; what it added is removed again.
type certificateDeed struct {
	work
	e *actionv1.CertificateAdd
}

func (d certificateDeed) resource() string {
	return fmt.Sprintf("certificate %s in store %q", shortHash(d.e.GetSha256()), d.e.GetStore())
}

func (d certificateDeed) check(*actionv1.Action) error {
	if err := checkStore(d.e.GetStore()); err != nil {
		return err
	}
	if err := checkSHA256("certificate", d.e.GetSha256()); err != nil {
		return err
	}
	switch {
	case (len(d.e.GetCertificate()) > 0) == (d.e.GetPfx() != ""):
		return errors.New("it has neither a certificate nor a PFX, or both")
	case d.e.GetPfx() != "":
		return d.c.ownSecrets(d.e.GetPfx(), d.e.GetPfxPassword())
	case d.e.GetPfxPassword() != "":
		return errors.New("it has the password of a PFX and no PFX")
	}
	return d.checkDER()
}

// checkDER wants the certificate to be the one that people have seen the hash of.
func (d certificateDeed) checkDER() error {
	sum := sha256.Sum256(d.e.GetCertificate())
	if got := hex.EncodeToString(sum[:]); got != d.e.GetSha256() {
		return fmt.Errorf("its certificate has the hash %s, not %s", shortHash(got), shortHash(d.e.GetSha256()))
	}
	if _, err := x509.ParseCertificate(d.e.GetCertificate()); err != nil {
		return errors.New("its certificate cannot be read as one")
	}
	return nil
}

func (d certificateDeed) timeout() time.Duration    { return askTimeout + changeTimeout }
func (d certificateDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_EXACT }

func (d certificateDeed) read(ctx context.Context) (*actionv1.State, error) {
	s, err := d.r.certificateState(ctx, d.e.GetStore(), d.e.GetSha256())
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Certificate{Certificate: s}}, nil
}

// certificateState says whether a certificate is in a store, and with its key.
func (r *Runner) certificateState(ctx context.Context, store, sha256 string) (*actionv1.CertificateState, error) {
	list, err := r.host.Certificates.List(ctx, store)
	if err != nil {
		return nil, err
	}
	s := &actionv1.CertificateState{Store: store, Sha256: sha256}
	for _, c := range list {
		if c.GetSha256() == sha256 {
			s.Present, s.HasPrivateKey = true, c.GetHasPrivateKey()
		}
	}
	return s, nil
}

func (d certificateDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	s := before.GetCertificate()
	switch {
	case s.GetPresent() && d.e.GetPfx() != "" && !s.GetHasPrivateKey():
		// Importing would give it a key, and nobody could take only that away again.
		return nil, fmt.Errorf("%s: is there without its private key; remove it from the store, then ask again", d.resource())
	case s.GetPresent():
		return nil, nil
	case d.e.GetPfx() == "":
		return nil, d.r.host.Certificates.Add(ctx, d.e.GetStore(), d.e.GetCertificate())
	case d.c == nil:
		return nil, errors.New("a secret is opened by a task that runs, and by nobody else")
	}
	return nil, d.c.openPFX(ctx, d.e.GetPfx(), d.e.GetPfxPassword(), func(file []byte, password string) error {
		return d.importPFX(ctx, file, password)
	})
}

// importPFX imports a PFX that holds the certificate which people have seen the hash of, and no other.
func (d certificateDeed) importPFX(ctx context.Context, file []byte, password string) error {
	facts := pfx.Facts(file, password)
	switch {
	case facts.GetProblem() != "":
		return fmt.Errorf("PFX %q: %s", clip(d.e.GetPfx(), maxName), facts.GetProblem())
	case facts.GetChain()[0].GetSha256() != d.e.GetSha256():
		return fmt.Errorf("PFX %q: holds the certificate %s, the plan was made for %s", clip(d.e.GetPfx(), maxName),
			shortHash(facts.GetChain()[0].GetSha256()), shortHash(d.e.GetSha256()))
	}
	return d.r.host.Certificates.Import(ctx, d.e.GetStore(), file, password)
}

func (d certificateDeed) reached(now *actionv1.State) error {
	s := now.GetCertificate()
	switch {
	case !s.GetPresent():
		return fmt.Errorf("%s: is not there", d.resource())
	case d.e.GetPfx() != "" && !s.GetHasPrivateKey():
		return fmt.Errorf("%s: has no private key", d.resource())
	}
	return nil
}

// restore removes what was added, unless a binding serves it: then connections would be refused. It waits for a binding that is to be put
// back; what anybody else serves stays.
func (d certificateDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	if t.first.GetCertificate().GetPresent() {
		return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, Reason: "it was there before"}
	}
	binding, err := d.served(ctx)
	owed := err == nil && binding != "" && d.r.owes(binding)
	switch {
	case err != nil:
		return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, Reason: fmt.Sprintf("the bindings cannot be read: %v", err)}
	case owed:
		return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, Reason: binding + " serves it until that is put back"}
	case binding != "":
		return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, Reason: binding + " serves it, so it stays"}
	}
	return putBackExactly(ctx, t, func(ctx context.Context) error {
		return d.r.host.Certificates.Remove(ctx, d.e.GetStore(), d.e.GetSha256())
	})
}

// owes says whether the agent still tries to put a resource back. When nobody can tell, it does.
func (r *Runner) owes(resource string) bool {
	obligations, err := r.journal.Obligations()
	return err != nil || slices.ContainsFunc(obligations, func(o *storagev1.Obligation) bool { return o.GetResource() == resource })
}

// served names a binding that serves the certificate; empty for none.
func (d certificateDeed) served(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	list, err := contained(func() ([]*actionv1.Binding, error) { return d.r.host.Bindings.List(ctx) })
	if errors.Is(err, host.ErrNotSupported) {
		return "", nil
	}
	for _, b := range list {
		if b.GetCertificateSha256() == d.e.GetSha256() && b.GetStore() == d.e.GetStore() {
			return bindingName(b), nil
		}
	}
	return "", err
}
