package runner

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// serviceDeed stops, starts or kills a service. A service that runs again is another process than before, so its inverse is
// compensating, not exact; and it is put back by having it run, whoever stopped it.
type serviceDeed struct {
	work
	service string
	limit   time.Duration
	// want is the state in which it leaves the service when it comes about.
	want  actionv1.ServiceStatus
	carry func(ctx context.Context, s host.Services, before *actionv1.ServiceState) error
}

func (w work) stopDeed(e *actionv1.ServiceStop) deed {
	return serviceDeed{w, e.GetService(), e.GetTimeout().AsDuration(), actionv1.ServiceStatus_SERVICE_STATUS_STOPPED,
		func(ctx context.Context, s host.Services, _ *actionv1.ServiceState) error {
			return s.Stop(ctx, e.GetService())
		}}
}

func (w work) startDeed(e *actionv1.ServiceStart) deed {
	return serviceDeed{w, e.GetService(), e.GetTimeout().AsDuration(), actionv1.ServiceStatus_SERVICE_STATUS_RUNNING,
		func(ctx context.Context, s host.Services, _ *actionv1.ServiceState) error {
			return s.Start(ctx, e.GetService())
		}}
}

func (w work) killDeed(e *actionv1.ServiceKill) deed {
	return serviceDeed{w, e.GetService(), e.GetTimeout().AsDuration(), actionv1.ServiceStatus_SERVICE_STATUS_STOPPED, kill}
}

// kill ends the process that was read just before, and no other.
func kill(ctx context.Context, s host.Services, before *actionv1.ServiceState) error {
	if before.GetPid() == 0 {
		return fmt.Errorf("service %q: has no process to end", before.GetService())
	}
	return s.Kill(ctx, before.GetService(), before.GetPid())
}

func (d serviceDeed) resource() string             { return resourceOf(d.service) }
func (d serviceDeed) check(*actionv1.Action) error { return nil }
func (d serviceDeed) timeout() time.Duration       { return d.limit }
func (d serviceDeed) inverse() actionv1.Inverse    { return actionv1.Inverse_INVERSE_COMPENSATING }

func (d serviceDeed) read(ctx context.Context) (*actionv1.State, error) {
	s, err := d.r.serviceState(ctx, d.service)
	return stateOf(s), err
}

func (d serviceDeed) rest(ctx context.Context, limit time.Duration) (*actionv1.State, error) {
	s, err := d.r.settled(ctx, d.service, limit)
	return stateOf(s), err
}

func (d serviceDeed) do(ctx context.Context, before *actionv1.State) (*actionv1.State, error) {
	return nil, d.carry(ctx, d.r.host.Services, before.GetService())
}

func (d serviceDeed) reached(now *actionv1.State) error {
	if status := now.GetService().GetStatus(); status != d.want {
		return fmt.Errorf("service %q: is %s, want %s", d.service, statusName(status), statusName(d.want))
	}
	return nil
}

// restore makes sure that a service that ran before runs. Running is the one state that counts: whoever started it meanwhile
// did what was wanted. A service that somebody has disabled or removed meanwhile is left alone.
func (d serviceDeed) restore(ctx context.Context, t touch) *actionv1.Undo {
	state, err := d.r.settled(ctx, d.service, settleTimeout)
	u := &actionv1.Undo{State: stateOf(state)}
	switch {
	case !mustRun(t.first.GetService()):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it was not running before"
	case err != nil:
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, fmt.Sprintf("its state cannot be read: %v", err)
	case running(state):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, "it is running"
	case !state.GetInstalled():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has removed it meanwhile"
	case state.GetDisabled():
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT, "somebody has disabled it meanwhile"
	case inTransition(state):
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, "it is still "+statusName(state.GetStatus())
	default:
		d.startAgain(ctx, u)
	}
	return u
}

func (d serviceDeed) startAgain(ctx context.Context, u *actionv1.Undo) {
	state, err := d.r.startService(ctx, d.service)
	if state != nil {
		u.State = stateOf(state)
	}
	u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	if err != nil {
		u.Outcome, u.Reason = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, err.Error()
	}
}

// mustRun says whether a service is to run in the end: it did before, or was on its way.
func mustRun(before *actionv1.ServiceState) bool {
	return before.GetInstalled() && !before.GetDisabled() && before.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}

// startService starts a service and makes sure that it runs. The state is what was read last, nil when none could be.
func (r *Runner) startService(ctx context.Context, service string) (*actionv1.ServiceState, error) {
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := contained(func() (struct{}, error) { return struct{}{}, r.host.Services.Start(start, service) })
	read, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	state, readErr := r.serviceState(read, service)
	switch {
	case readErr != nil:
		return nil, readErr
	case running(state):
		return state, nil
	case err != nil:
		return state, err
	}
	return state, fmt.Errorf("service %q: is %s right after it was started", service, statusName(state.GetStatus()))
}

// serviceState reads a service and contains a panic of the host.
func (r *Runner) serviceState(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	return contained(func() (*actionv1.ServiceState, error) { return r.host.Services.State(ctx, name) })
}

func stateOf(s *actionv1.ServiceState) *actionv1.State {
	if s == nil {
		return nil
	}
	return &actionv1.State{State: &actionv1.State_Service{Service: proto.CloneOf(s)}}
}

// resourceService begins the name of every service.
const resourceService = "service "

// resourceOf is what a service is called in a result and in the journal.
func resourceOf(service string) string { return fmt.Sprintf(resourceService+"%q", service) }
