package runner

import (
	"context"
	"errors"
	"fmt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/pfx"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

// Unsealer opens what was sealed to this terminal. Package agent/identity implements it: it alone has the key.
type Unsealer interface {
	// Unseal returns the plaintext, which the caller clears. Errors hold nothing of it.
	Unseal(s *agentv1.SealedSecret) ([]byte, error)
}

// maxPassword bounds the password of a PFX, in bytes.
const maxPassword = 1024

// ownSecret says whether a reference is the value of a secret parameter of this run. A plugin opens what the person who asked for the job
// has named, and nothing else that is sealed to the terminal.
func (c *course) ownSecret(reference string) error {
	if reference == "" {
		return errors.New("it asked for a secret without naming one")
	}
	for _, p := range c.action.GetParams() {
		if p.GetType() == actionv1.ParamType_PARAM_TYPE_SECRET && c.params[p.GetName()] == reference {
			return nil
		}
	}
	return errors.New("it asked for a secret that no parameter of the job names")
}

// ownSecrets says the same of a PFX and its password, which may be missing: not every PFX has one.
func (c *course) ownSecrets(pfxRef, passwordRef string) error {
	if err := c.ownSecret(pfxRef); err != nil || passwordRef == "" {
		return err
	}
	return c.ownSecret(passwordRef)
}

// openSecret fetches a secret that a parameter of the run names, hands it to use and clears it: it is in memory for no longer than use
// takes, and is never a part of a record, a message or an error.
func (c *course) openSecret(ctx context.Context, reference string, use func(plaintext []byte) error) error {
	if err := c.ownSecret(reference); err != nil {
		return err
	}
	name, err := sealed.NameOf(reference)
	if err != nil {
		return err
	}
	if c.r.cfg.Unsealer == nil {
		return fmt.Errorf("secret %q: this agent has no key to open it", name)
	}
	s, err := asked(ctx, fmt.Sprintf("secret %q", name), askTimeout, func(ctx context.Context) (*agentv1.SealedSecret, error) {
		return c.r.askerFor(c.key()).Secret(ctx, c.key(), name)
	})
	if err != nil {
		return err
	}
	if s.GetName() != name {
		return fmt.Errorf("secret %q: the server sent another one", name)
	}
	plaintext, err := c.r.cfg.Unsealer.Unseal(s)
	if err != nil {
		return err
	}
	defer clear(plaintext)
	return use(plaintext)
}

// openPFX hands a PFX and its password, both of which parameters of the run name, to use. Both are cleared when use returns; it must keep
// neither. It is how the effect that imports a certificate gets at the key.
func (c *course) openPFX(ctx context.Context, pfxRef, passwordRef string, use func(file []byte, password string) error) error {
	return c.openSecret(ctx, pfxRef, func(file []byte) error {
		if passwordRef == "" {
			return use(file, "")
		}
		return c.openSecret(ctx, passwordRef, func(password []byte) error {
			if len(password) > maxPassword {
				return errors.New("the password of the PFX is longer than any that Windows takes; put it again with `fleetctl secret put`")
			}
			return use(file, string(password))
		})
	})
}

// secretFacts opens a PFX and returns what is public of it.
func (c *course) secretFacts(ctx context.Context, pfxRef, passwordRef string) (*actionv1.SecretFacts, error) {
	var facts *actionv1.SecretFacts
	err := c.openPFX(ctx, pfxRef, passwordRef, func(file []byte, password string) error {
		facts = pfx.Facts(file, password)
		return nil
	})
	return facts, err
}
