package runner

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// bindingDeed has an https binding serve another certificate. A site whose binding serves nothing is cut off from all of its terminals, so
// a change that fails is taken back within the deed itself, and an interrupted one first of all when the agent runs again.
type bindingDeed struct {
	work
	e *actionv1.BindingSet
}

func (d bindingDeed) resource() string { return bindingName(d.e.GetAfter()) }

// bindingName is what a binding is called: `binding "Default Web Site" *:443`.
func bindingName(b *actionv1.Binding) string {
	name := fmt.Sprintf("binding %q %s:%d", b.GetSite(), b.GetAddress(), b.GetPort())
	if b.GetHost() != "" {
		name += ":" + b.GetHost()
	}
	return name
}

func (d bindingDeed) check(*actionv1.Action) error {
	before, after := d.e.GetBefore(), d.e.GetAfter()
	if err := checkBinding(after); err != nil {
		return err
	}
	switch {
	case !sameIdentity(before, after):
		return errors.New("its states before and after are of two bindings")
	case !after.GetExists() || after.GetCertificateSha256() == "":
		return errors.New("nothing would be served afterwards")
	case before.GetCertificateSha256() != "" && !before.GetExists():
		return errors.New("its state before serves a certificate and does not exist")
	case before.GetCertificateSha256() != "":
		return errors.Join(checkStore(before.GetStore()), checkSHA256("certificate", before.GetCertificateSha256()))
	}
	return nil
}

func checkBinding(b *actionv1.Binding) error {
	const most = 65535
	if err := checkNamed("site", b.GetSite()); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(b.GetAddress()); err != nil && b.GetAddress() != "*" {
		return fmt.Errorf("address %q: is neither * nor an IP address", clip(b.GetAddress(), maxName))
	}
	switch {
	case b.GetPort() == 0 || b.GetPort() > most:
		return fmt.Errorf("port %d: is not one of 1 to %d", b.GetPort(), most)
	case b.GetHost() != "" && !hostText.MatchString(b.GetHost()):
		return fmt.Errorf("host %q: is no name of a host", clip(b.GetHost(), maxName))
	case b.GetSni() && b.GetHost() == "":
		return errors.New("it is chosen by the name of a host and has none")
	}
	return errors.Join(checkStore(b.GetStore()), checkSHA256("certificate", b.GetCertificateSha256()))
}

// sameIdentity says whether two states are of one binding.
func sameIdentity(a, b *actionv1.Binding) bool {
	return a.GetSite() == b.GetSite() && a.GetAddress() == b.GetAddress() && a.GetPort() == b.GetPort() && strings.EqualFold(a.GetHost(), b.GetHost())
}

// sameBinding says whether two states of one binding serve the same.
func sameBinding(a, b *actionv1.Binding) bool {
	if !a.GetExists() || !b.GetExists() {
		return a.GetExists() == b.GetExists()
	}
	return a.GetSni() == b.GetSni() && a.GetCertificateSha256() == b.GetCertificateSha256() &&
		(a.GetCertificateSha256() == "" || strings.EqualFold(a.GetStore(), b.GetStore()))
}

func sayBinding(b *actionv1.Binding) string {
	switch {
	case !b.GetExists():
		return "missing"
	case b.GetCertificateSha256() == "":
		return "without a certificate"
	}
	return fmt.Sprintf("serving %s of store %q", shortHash(b.GetCertificateSha256()), b.GetStore())
}

func (d bindingDeed) timeout() time.Duration    { return changeTimeout }
func (d bindingDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_EXACT }

func (d bindingDeed) read(ctx context.Context) (*actionv1.State, error) {
	b, err := d.bound(ctx)
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Binding{Binding: b}}, nil
}

// bound reads the binding.
func (d bindingDeed) bound(ctx context.Context) (*actionv1.Binding, error) {
	list, err := d.r.host.Bindings.List(ctx)
	if err != nil {
		return nil, err
	}
	like := d.e.GetAfter()
	for _, b := range list {
		if sameIdentity(b, like) {
			return b, nil
		}
	}
	return &actionv1.Binding{Site: like.GetSite(), Address: like.GetAddress(), Port: like.GetPort(), Host: like.GetHost()}, nil
}

// do binds the certificate. Whatever goes wrong, what was bound before is bound again before it returns, as far as the machine lets it.
func (d bindingDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	was := before.GetBinding()
	switch {
	case !sameBinding(was, d.e.GetBefore()):
		return nil, changedSince(d.resource(), sayBinding(was), sayBinding(d.e.GetBefore()))
	case sameBinding(was, d.e.GetAfter()):
		return nil, nil
	}
	if err := d.servable(ctx); err != nil {
		return nil, err
	}
	err := d.set(ctx, d.e.GetAfter())
	if err == nil {
		return nil, nil
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeTimeout)
	defer cancel()
	return nil, errors.Join(err, d.again(back, was))
}

// servable refuses a certificate that the machine cannot serve: without its key no connection would come about.
func (d bindingDeed) servable(ctx context.Context) error {
	after := d.e.GetAfter()
	s, err := d.r.certificateState(ctx, after.GetStore(), after.GetCertificateSha256())
	switch {
	case err != nil:
		return err
	case !s.GetPresent():
		return fmt.Errorf("certificate %s: is not in store %q; import it first", shortHash(s.GetSha256()), s.GetStore())
	case !s.GetHasPrivateKey():
		return fmt.Errorf("certificate %s: is in store %q without its private key; import its PFX", shortHash(s.GetSha256()), s.GetStore())
	}
	return nil
}

// set binds, and reads what is bound then: only what was seen counts.
func (d bindingDeed) set(ctx context.Context, want *actionv1.Binding) error {
	_, err := contained(func() (struct{}, error) { return struct{}{}, d.r.host.Bindings.Set(ctx, want) })
	if err != nil {
		return err
	}
	now, err := d.bound(ctx)
	if err == nil && !sameBinding(now, want) {
		err = fmt.Errorf("%s: is %s after it was bound", d.resource(), sayBinding(now))
	}
	return err
}

// again has the binding be as it was.
func (d bindingDeed) again(ctx context.Context, was *actionv1.Binding) error {
	now, err := d.bound(ctx)
	if err == nil && sameBinding(now, was) {
		return nil
	}
	if err := d.putBack(ctx, was); err != nil {
		return fmt.Errorf("and what was bound before could not be bound again at once: %w", err)
	}
	return nil
}

func (d bindingDeed) putBack(ctx context.Context, was *actionv1.Binding) error {
	if was.GetExists() {
		return d.set(ctx, was)
	}
	return d.r.host.Bindings.Remove(ctx, d.e.GetAfter())
}

func (d bindingDeed) reached(now *actionv1.State) error {
	if b := now.GetBinding(); !sameBinding(b, d.e.GetAfter()) {
		return fmt.Errorf("%s: is %s, want it %s", d.resource(), sayBinding(b), sayBinding(d.e.GetAfter()))
	}
	return nil
}

// mustNotLast implements pressing: something was served before the first touch, and nothing is now. Be it that binding or binding again was
// cut off in the middle, be it that somebody took the binding away: a site that serves nothing is nobody's wish, so it does not count as
// somebody else's change.
func (d bindingDeed) mustNotLast(t touch, now *actionv1.State) bool {
	return t.first.GetBinding().GetCertificateSha256() != "" && now.GetBinding().GetCertificateSha256() == ""
}

func (d bindingDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	back := func(ctx context.Context) error { return d.putBack(ctx, t.first.GetBinding()) }
	if now, err := look(ctx, d); err == nil && d.mustNotLast(t, now) {
		ctx, cancel := context.WithTimeout(ctx, changeTimeout)
		defer cancel()
		return setBack(ctx, t, back)
	}
	return putBackExactly(ctx, t, back)
}
