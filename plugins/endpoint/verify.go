package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// probeTimeout is how long one connection to agent_url may take, probeTries how often it is tried, probePause the pause between:
	// a port may open a moment after its service runs.
	probeTimeout = 5 * time.Second
	probeTries   = 3
	probePause   = 2 * time.Second
)

// verifyService checks that the service runs, as a new process when a restart was asked for, and keeps running.
func verifyService(ctx context.Context, r *sdk.VerifyRun, service string) ([]*actionv1.Check, error) {
	state, err := r.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	checks := []*actionv1.Check{sdk.Check(fmt.Sprintf("%q runs", service), "running", stateText(state), running(state))}
	if c := newProcess(r, state); c != nil {
		checks = append(checks, c)
	}
	r.Evidence("process after", "%d", state.GetPid())
	if !running(state) {
		return append(checks, sdk.Check("it keeps running", fmt.Sprintf("for %s", r.Duration("stable_for")), stateText(state), false)), nil
	}
	stable, err := keepsRunning(ctx, r, service, state.GetPid())
	if err != nil {
		return nil, err
	}
	return append(checks, stable), nil
}

// newProcess compares with the process before the first effect; nil when no restart was asked for and none was done.
func newProcess(r *sdk.VerifyRun, now *actionv1.ServiceState) *actionv1.Check {
	const name = "its process is new"
	if len(r.Effects()) == 0 {
		if r.String("mode") != modeRestart {
			return nil
		}
		return sdk.Check(name, "a restart was done", "no effect was recorded", false)
	}
	before := r.Effects()[0].GetBefore().GetService()
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

func keepsRunning(ctx context.Context, r *sdk.VerifyRun, service string, pid uint32) (*actionv1.Check, error) {
	d := r.Duration("stable_for")
	r.Progress("watching %q for %s", service, d)
	w, err := r.WatchService(ctx, service, pid, d)
	if err != nil {
		return nil, err
	}
	observed := fmt.Sprintf("%s for %s", stateText(w.GetState()), d)
	if !w.GetStable() {
		observed = fmt.Sprintf("%s after %s", stateText(w.GetState()), w.GetWatched().AsDuration().Round(100*time.Millisecond))
	}
	return sdk.Check("it keeps running", fmt.Sprintf("process %d running for %s", pid, d), observed, w.GetStable()), nil
}

// verifyReachable checks that the port of agent_url takes connections.
func verifyReachable(ctx context.Context, r *sdk.Run, url agentURL) (*actionv1.Check, error) {
	p, err := probe(ctx, r, url)
	if err != nil {
		return nil, err
	}
	observed := "reachable"
	if !p.GetReachable() {
		observed = p.GetReason()
	}
	return sdk.Check("the Nymi Agent's port is reachable", url.address()+" takes connections", observed, p.GetReachable()), nil
}

// probe connects to agent_url, a few times if need be.
func probe(ctx context.Context, r *sdk.Run, url agentURL) (*actionv1.TCPProbeResult, error) {
	for try := 1; ; try++ {
		p, err := r.ProbeTCP(ctx, url.Host, url.Port, probeTimeout)
		if err != nil || p.GetReachable() || try == probeTries {
			return p, err
		}
		if err := r.Wait(ctx, probePause); err != nil {
			return nil, err
		}
	}
}

// adapterState reads the Bluetooth adapter and says in words what is there and whether it works. One that cannot be read
// does not count as working.
func adapterState(ctx context.Context, r *sdk.Run) (text string, devices int, works bool) {
	d, err := r.Device(ctx, adapterVendor, adapterProduct)
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err), 0, false
	}
	if len(d.GetDevices()) == 0 {
		return "not present", 0, false
	}
	works = true
	var parts []string
	for _, dev := range d.GetDevices() {
		part := dev.GetName()
		if part == "" {
			part = dev.GetInstance()
		}
		if dev.GetProblemCode() != 0 {
			works = false
			part += fmt.Sprintf(", problem code %d", dev.GetProblemCode())
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; "), len(d.GetDevices()), works
}

func allHold(checks []*actionv1.Check) bool {
	for _, c := range checks {
		if !c.GetOk() {
			return false
		}
	}
	return true
}
