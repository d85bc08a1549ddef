package runner

import (
	"context"
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// powerDeed sets an index of a power scheme. What a group policy sets is left to the policy: it would win.
type powerDeed struct {
	work
	e *actionv1.PowerSet
}

func (d powerDeed) resource() string {
	s := d.e.GetSetting()
	scheme := s.GetScheme()
	if scheme == "" {
		scheme = "of the active scheme"
	}
	return fmt.Sprintf("power setting %s/%s %s", s.GetSubgroup(), s.GetSetting(), scheme)
}

func (d powerDeed) check(*actionv1.Action) error { return checkPower(d.e.GetSetting()) }
func (d powerDeed) timeout() time.Duration       { return changeTimeout }
func (d powerDeed) inverse() actionv1.Inverse    { return actionv1.Inverse_INVERSE_EXACT }

func (d powerDeed) read(ctx context.Context) (*actionv1.State, error) {
	s, err := d.r.host.Power.Get(ctx, d.e.GetSetting())
	if err != nil {
		return nil, err
	}
	return &actionv1.State{State: &actionv1.State_Power{Power: s}}, nil
}

func sayPower(ac, dc uint32) string { return fmt.Sprintf("%d on mains and %d on battery", ac, dc) }

func (d powerDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	s := before.GetPower()
	switch {
	case s.GetByPolicy():
		return nil, fmt.Errorf("%s: is set by a group policy; change the policy", d.resource())
	case s.GetAc() != d.e.GetAcBefore() || s.GetDc() != d.e.GetDcBefore():
		return nil, changedSince(d.resource(), sayPower(s.GetAc(), s.GetDc()), sayPower(d.e.GetAcBefore(), d.e.GetDcBefore()))
	case d.isSet(s):
		return nil, nil
	}
	return nil, d.r.host.Power.Set(ctx, d.e.GetSetting(), d.e.GetAcAfter(), d.e.GetDcAfter())
}

func (d powerDeed) isSet(s *actionv1.PowerState) bool {
	return s.GetAc() == d.e.GetAcAfter() && s.GetDc() == d.e.GetDcAfter()
}

func (d powerDeed) reached(now *actionv1.State) error {
	if s := now.GetPower(); !d.isSet(s) {
		return fmt.Errorf("%s: is %s, want %s", d.resource(), sayPower(s.GetAc(), s.GetDc()), sayPower(d.e.GetAcAfter(), d.e.GetDcAfter()))
	}
	return nil
}

func (d powerDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	return putBackExactly(ctx, t, func(ctx context.Context) error {
		return d.r.host.Power.Set(ctx, d.e.GetSetting(), t.first.GetPower().GetAc(), t.first.GetPower().GetDc())
	})
}
