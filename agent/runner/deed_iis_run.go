package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What the state of a site or pool is called.
const (
	iisStarted = "started"
	iisStopped = "stopped"
)

// iisStartDeed starts a site or an application pool.
type iisStartDeed struct {
	work
	irrevocable
	e *actionv1.IISStart
}

func (d iisStartDeed) timeout() time.Duration { return changeTimeout }

func (d iisStartDeed) resource() string {
	if d.e.GetSite() != "" {
		return fmt.Sprintf("site %q", d.e.GetSite())
	}
	return fmt.Sprintf("application pool %q", d.e.GetPool())
}

func (d iisStartDeed) check(*actionv1.Action) error {
	if (d.e.GetSite() == "") == (d.e.GetPool() == "") {
		return errors.New("it names neither a site nor a pool, or both")
	}
	return checkNamed("site or pool", d.e.GetSite()+d.e.GetPool())
}

func (d iisStartDeed) read(ctx context.Context) (*actionv1.State, error) {
	inventory, err := d.r.host.IIS.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	if d.e.GetPool() != "" {
		return poolState(inventory, d.e.GetPool()), nil
	}
	for _, s := range inventory.GetSites() {
		if s.GetName() == d.e.GetSite() {
			return startedState(s.GetName(), true, s.GetStarted()), nil
		}
	}
	return startedState(d.e.GetSite(), false, false), nil
}

func poolState(inventory *actionv1.IISInventory, name string) *actionv1.State {
	p := poolOf(inventory, name)
	return startedState(name, p != nil, p.GetStarted())
}

func startedState(name string, exists, started bool) *actionv1.State {
	v := &actionv1.IISValue{Object: name, Exists: exists}
	switch {
	case started:
		v.Value = iisStarted
	case exists:
		v.Value = iisStopped
	}
	return &actionv1.State{State: &actionv1.State_Iis{Iis: v}}
}

func (d iisStartDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	switch {
	case !before.GetIis().GetExists():
		return nil, fmt.Errorf("%s: is not there", d.resource())
	case before.GetIis().GetValue() == iisStarted:
		return nil, nil
	case d.e.GetSite() != "":
		return nil, d.r.host.IIS.StartSite(ctx, d.e.GetSite())
	}
	return nil, d.r.host.IIS.StartPool(ctx, d.e.GetPool())
}

func (d iisStartDeed) reached(now *actionv1.State) error {
	if now.GetIis().GetValue() != iisStarted {
		return fmt.Errorf("%s: is not started", d.resource())
	}
	return nil
}

// recycleDeed has an application pool start new worker processes.
type recycleDeed struct {
	work
	irrevocable
	e *actionv1.IISRecycle
}

func (d recycleDeed) resource() string       { return fmt.Sprintf("application pool %q", d.e.GetPool()) }
func (d recycleDeed) timeout() time.Duration { return changeTimeout }
func (d recycleDeed) traceless()             {}

func (d recycleDeed) check(*actionv1.Action) error { return checkNamed("pool", d.e.GetPool()) }

func (d recycleDeed) read(ctx context.Context) (*actionv1.State, error) {
	inventory, err := d.r.host.IIS.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	return poolState(inventory, d.e.GetPool()), nil
}

func (d recycleDeed) do(ctx context.Context, _ *actionv1.State) (*actionv1.State, error) {
	return nil, d.r.host.IIS.RecyclePool(ctx, d.e.GetPool())
}

func (d recycleDeed) reached(now *actionv1.State) error {
	if now.GetIis().GetValue() != iisStarted {
		return fmt.Errorf("%s: is not started", d.resource())
	}
	return nil
}
