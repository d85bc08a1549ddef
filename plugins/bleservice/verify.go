package bleservice

import (
	"context"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// VerifyRuns checks that the service runs and keeps running through stable_for (see Timing), and returns its state at first sight.
func VerifyRuns(ctx context.Context, r *sdk.VerifyRun, service string) ([]*actionv1.Check, *actionv1.ServiceState, error) {
	state, err := r.Service(ctx, service)
	if err != nil {
		return nil, nil, err
	}
	checks := []*actionv1.Check{sdk.Check(fmt.Sprintf("%q runs", service), "running", StateText(state), Running(state))}
	r.Evidence("process after", "%d", state.GetPid())
	if !Running(state) {
		return append(checks, sdk.Check("it keeps running", fmt.Sprintf("for %s", r.Duration("stable_for")), StateText(state), false)), state, nil
	}
	stable, err := keepsRunning(ctx, r, service, state.GetPid())
	if err != nil {
		return nil, nil, err
	}
	return append(checks, stable), state, nil
}

func keepsRunning(ctx context.Context, r *sdk.VerifyRun, service string, pid uint32) (*actionv1.Check, error) {
	d := r.Duration("stable_for")
	r.Progress("watching %q for %s", service, d)
	w, err := r.WatchService(ctx, service, pid, d)
	if err != nil {
		return nil, err
	}
	observed := fmt.Sprintf("%s for %s", StateText(w.GetState()), d)
	if !w.GetStable() {
		observed = fmt.Sprintf("%s after %s", StateText(w.GetState()), w.GetWatched().AsDuration().Round(100*time.Millisecond))
	}
	return sdk.Check("it keeps running", fmt.Sprintf("process %d running for %s", pid, d), observed, w.GetStable()), nil
}

// NewProcess checks that the service's process is another than before the first effect on it.
func NewProcess(r *sdk.VerifyRun, service string, now *actionv1.ServiceState) *actionv1.Check {
	const name = "its process is new"
	before := stateBefore(r, service)
	if before == nil {
		return sdk.Check(name, "a process other than before", "the process before is not known", false)
	}
	r.Evidence("process before", "%d", before.GetPid())
	expected := "a process"
	if before.GetPid() != 0 {
		expected = fmt.Sprintf("not process %d", before.GetPid())
	}
	return sdk.Check(name, expected, fmt.Sprintf("process %d", now.GetPid()), now.GetPid() != 0 && now.GetPid() != before.GetPid())
}

func stateBefore(r *sdk.VerifyRun, service string) *actionv1.ServiceState {
	for _, e := range r.Effects() {
		if s := e.GetBefore().GetService(); s.GetService() == service {
			return s
		}
	}
	return nil
}

// AllHold says whether every check held.
func AllHold(checks []*actionv1.Check) bool {
	for _, c := range checks {
		if !c.GetOk() {
			return false
		}
	}
	return true
}
