package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// iisDeed sets one value of the web server's configuration.
type iisDeed struct {
	work
	e *actionv1.IISSet
}

func (d iisDeed) resource() string {
	if d.e.GetAttribute() == actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY {
		return fmt.Sprintf("identity of application pool %q", d.e.GetObject())
	}
	return fmt.Sprintf("SSL flags of %q", d.e.GetObject())
}

func (d iisDeed) check(*actionv1.Action) error {
	switch d.e.GetAttribute() {
	case actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS:
		if err := checkNamed("location", d.e.GetObject()); err != nil {
			return err
		}
		return checkFlags(d.e.GetAfter())
	case actionv1.IISAttribute_IIS_ATTRIBUTE_POOL_IDENTITY:
		if err := checkNamed("application pool", d.e.GetObject()); err != nil {
			return err
		}
		return checkIdentity(d.e.GetAfter())
	}
	return errUnknownKind
}

// checkIdentity takes the accounts that need no password.
func checkIdentity(identity string) error {
	accounts := []string{"LocalSystem", "LocalService", "NetworkService", "ApplicationPoolIdentity"}
	if !slices.Contains(accounts, identity) {
		return fmt.Errorf("identity %q: is not one of %s", clip(identity, maxName), strings.Join(accounts, ", "))
	}
	return nil
}

func checkFlags(flags string) error {
	known := []string{"Ssl", "SslNegotiateCert", "SslRequireCert", "SslMapCert", "Ssl128"}
	if flags == "None" {
		return nil
	}
	for flag := range strings.SplitSeq(flags, ",") {
		if !slices.Contains(known, flag) {
			return fmt.Errorf("SSL flags %q: are neither None nor of %s, joined by commas", clip(flags, maxName), strings.Join(known, ", "))
		}
	}
	return nil
}

func (d iisDeed) timeout() time.Duration    { return changeTimeout }
func (d iisDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_EXACT }

func (d iisDeed) read(ctx context.Context) (*actionv1.State, error) {
	v := &actionv1.IISValue{Attribute: d.e.GetAttribute(), Object: d.e.GetObject()}
	var locations []string
	if d.e.GetAttribute() == actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS {
		locations = []string{d.e.GetObject()}
	}
	inventory, err := d.r.host.IIS.Inventory(ctx, locations...)
	if err != nil {
		return nil, err
	}
	if len(locations) > 0 {
		v.Value, v.Exists = inventory.GetSslFlags()[d.e.GetObject()]
	} else if p := poolOf(inventory, d.e.GetObject()); p != nil {
		v.Value, v.Exists = p.GetIdentity(), true
	}
	return &actionv1.State{State: &actionv1.State_Iis{Iis: v}}, nil
}

func poolOf(inventory *actionv1.IISInventory, name string) *actionv1.IISPool {
	for _, p := range inventory.GetPools() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

func (d iisDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	v := before.GetIis()
	switch {
	case !v.GetExists():
		return nil, fmt.Errorf("%s: is not there; look for its name in the web server", d.resource())
	case !d.equal(v.GetValue(), d.e.GetBefore()):
		return nil, changedSince(d.resource(), v.GetValue(), d.e.GetBefore())
	case d.equal(v.GetValue(), d.e.GetAfter()):
		return nil, nil
	}
	return nil, d.r.host.IIS.Set(ctx, d.e.GetAttribute(), d.e.GetObject(), d.e.GetAfter())
}

// equal compares values; flags are a set.
func (d iisDeed) equal(a, b string) bool {
	if d.e.GetAttribute() != actionv1.IISAttribute_IIS_ATTRIBUTE_SSL_FLAGS {
		return a == b
	}
	x, y := strings.Split(a, ","), strings.Split(b, ",")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func (d iisDeed) reached(now *actionv1.State) error {
	if v := now.GetIis(); !v.GetExists() || !d.equal(v.GetValue(), d.e.GetAfter()) {
		return fmt.Errorf("%s: is %q, want %q", d.resource(), v.GetValue(), d.e.GetAfter())
	}
	return nil
}

func (d iisDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	return putBackExactly(ctx, t, func(ctx context.Context) error {
		return d.r.host.IIS.Set(ctx, d.e.GetAttribute(), d.e.GetObject(), t.first.GetIis().GetValue())
	})
}
