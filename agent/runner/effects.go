package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// maxEffectTimeout bounds what an effect may wait.
	maxEffectTimeout = 10 * time.Minute
	// readTimeout bounds the reading of a state that must be known although the run's own time is over.
	readTimeout = 10 * time.Second
)

// control is how an effect on a service is done.
type control struct {
	service string
	timeout time.Duration
	// needs is the capability that allows it, with the service as its object.
	needs actionv1.CapabilityKind
	// want is the state in which it leaves the service when it comes about.
	want    actionv1.ServiceStatus
	inverse actionv1.Inverse
	do      func(ctx context.Context, s host.Services, before *actionv1.ServiceState) error
}

// controlOf reads an effect. A service that runs again is another process than before, so the inverse of each is
// compensating, not exact.
func controlOf(e *actionv1.Effect) (control, error) {
	c := control{inverse: actionv1.Inverse_INVERSE_COMPENSATING}
	switch e := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		c.service, c.timeout = e.ServiceStop.GetService(), e.ServiceStop.GetTimeout().AsDuration()
		c.needs, c.want = actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
		c.do = func(ctx context.Context, s host.Services, _ *actionv1.ServiceState) error {
			return s.Stop(ctx, c.service)
		}
	case *actionv1.Effect_ServiceStart:
		c.service, c.timeout = e.ServiceStart.GetService(), e.ServiceStart.GetTimeout().AsDuration()
		c.needs, c.want = actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
		c.do = func(ctx context.Context, s host.Services, _ *actionv1.ServiceState) error {
			return s.Start(ctx, c.service)
		}
	case *actionv1.Effect_ServiceKill:
		c.service, c.timeout = e.ServiceKill.GetService(), e.ServiceKill.GetTimeout().AsDuration()
		c.needs, c.want = actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL, actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
		c.do = c.kill
	default:
		return control{}, errors.New("it is of a kind that this agent does not know; update the agent")
	}
	return c, nil
}

// kill ends the process that was read just before, and no other.
func (c control) kill(ctx context.Context, s host.Services, before *actionv1.ServiceState) error {
	if before.GetPid() == 0 {
		return fmt.Errorf("service %q: has no process to end", c.service)
	}
	return s.Kill(ctx, c.service, before.GetPid())
}

// do carries out an effect that was admitted: state before, intent to the journal, the deed, state after, outcome to the
// journal. An effect that does not come about is in the record; an error means that the record is not to be relied on.
func (c *course) do(ctx context.Context, req *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	if req.GetEffect().GetConfirm() != nil {
		return c.confirm(ctx, req)
	}
	ctl, err := controlOf(req.GetEffect())
	if err != nil {
		return nil, err
	}
	before, err := c.r.serviceState(ctx, ctl.service)
	if err != nil {
		return nil, err
	}
	record := &actionv1.RecordedEffect{
		PlanId: req.GetPlanId(), Effect: proto.CloneOf(req.GetEffect()), Before: stateOf(before), Inverse: ctl.inverse, Started: stamp(time.Now()),
	}
	return c.journalledDeed(record, func() error {
		c.carryOut(ctx, ctl, before, record)
		return nil
	})
}

// journalledDeed has a deed stand between the record of what is about to be done and that of what came of it. An error of the
// deed means that nothing may be recorded any more.
func (c *course) journalledDeed(record *actionv1.RecordedEffect, deed func() error) (*actionv1.RecordedEffect, error) {
	sequence, err := c.r.journal.EffectIntent(c.key(), c.rec.GetRuns(), record)
	if fail := c.journalled(err); fail != nil {
		return nil, err
	}
	entry := &storagev1.JournalEffect{Effect: record, Run: c.rec.GetRuns()}
	c.effects = append(c.effects, entry)
	if err := deed(); err != nil {
		return nil, err
	}
	entry.Finished = true
	if err := c.r.journal.EffectOutcome(c.key(), sequence, record); err != nil {
		c.journalled(err)
		return nil, err
	}
	return proto.CloneOf(record), nil
}

// carryOut does the deed and completes the record.
func (c *course) carryOut(ctx context.Context, ctl control, before *actionv1.ServiceState, record *actionv1.RecordedEffect) {
	deed, cancel := context.WithTimeout(ctx, ctl.timeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) { return struct{}{}, ctl.do(deed, c.r.host.Services, before) })
	read, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	after, readErr := c.r.serviceState(read, ctl.service)
	record.Finished = stamp(time.Now())
	record.After = stateOf(after)
	// What cannot be read counts as changed, so that it is put back.
	record.Changed = readErr != nil || differs(before, after)
	if err == nil && readErr == nil && after.GetStatus() != ctl.want {
		err = fmt.Errorf("service %q: is %s right after, want %s", ctl.service, statusName(after.GetStatus()), statusName(ctl.want))
	}
	if err = errors.Join(err, readErr); err != nil {
		record.Error = clip(err.Error(), maxText)
	}
}

// serviceState reads a service and contains a panic of the host.
func (r *Runner) serviceState(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	return contained(func() (*actionv1.ServiceState, error) { return r.host.Services.State(ctx, name) })
}

// differs says whether a service is in another state or another process.
func differs(a, b *actionv1.ServiceState) bool {
	return a.GetStatus() != b.GetStatus() || a.GetPid() != b.GetPid()
}

func stateOf(s *actionv1.ServiceState) *actionv1.State {
	if s == nil {
		return nil
	}
	return &actionv1.State{State: &actionv1.State_Service{Service: proto.CloneOf(s)}}
}
