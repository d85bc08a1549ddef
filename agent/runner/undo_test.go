package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// newStopper is a plugin that stops both Nymi services, calls meanwhile and then gives up.
func newStopper(meanwhile func()) *fakePlugin {
	p := newRestarter()
	p.action.Resources = []string{"ble", "nymi-agent"}
	p.action.Capabilities = append(p.action.Capabilities, &actionv1.Capability{
		Kind: actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, Object: host.AgentService,
	})
	p.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
		return ready(planned("one", stopEffect(service)), planned("two", stopEffect(host.AgentService))), nil
	}
	p.apply = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		for _, e := range start.GetPlan().GetEffects() {
			if _, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: e.GetId(), Effect: e.GetEffect()}); err != nil {
				return nil, err
			}
		}
		meanwhile()
		return finishApplied(false, "it was not to be"), nil
	}
	return p
}

func TestUndoGoesBackwards(t *testing.T) {
	inBench(t, func(b *bench) {
		b.plugins["restart"] = newStopper(func() {})
		b.wantStatus(b.do(b.task("j", "restart")), failedStatus)
		want := []string{
			`stop "Nymi Bluetooth Endpoint"`, `stop "Nymi Agent"`, `start "Nymi Agent"`, `start "Nymi Bluetooth Endpoint"`,
		}
		if got := b.machine.Calls(); !slices.Equal(got, want) {
			t.Errorf("the machine was told to %q, want %q: what was touched last is put back first", got, want)
		}
	})
}

// TestUndoGoesOn: what cannot be put back does not keep the rest from being put back.
func TestUndoGoesOn(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(m *hosttest.Memory)
		want      actionv1.TaskStatus
	}{
		"after a conflict": {func(m *hosttest.Memory) { m.Install(host.AgentService, hosttest.Script{Disabled: true}) }, conflict},
		"after a failure":  {func(m *hosttest.Memory) { m.Install(host.AgentService, hosttest.Script{FailStarts: -1}) }, rollbackFailed},
		"after a removal":  {func(m *hosttest.Memory) { m.Uninstall(host.AgentService) }, conflict},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.plugins["restart"] = newStopper(func() { tc.meanwhile(b.machine) })
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, tc.want)
				if len(res.GetUndone()) != 2 || !strings.Contains(res.GetUndone()[0].GetResource(), host.AgentService) {
					t.Errorf("undone is %v, want both services, the Nymi Agent first", res.GetUndone())
				}
				b.wantRunning()
			})
		})
	}
}

// blindServices are services whose state cannot be read while blind is set.
type blindServices struct {
	host.Services
	blind *atomic.Bool
}

func (b blindServices) State(ctx context.Context, name string) (*actionv1.ServiceState, error) {
	if b.blind.Load() {
		return nil, errors.New("access is denied")
	}
	return b.Services.State(ctx, name)
}

// TestUndoWithoutSight: a service whose state cannot be read is not taken for running; the agent keeps at it.
func TestUndoWithoutSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var blind atomic.Bool
		b.host.Services = blindServices{b.host.Services, &blind}
		b.plugins["restart"] = newStopper(func() { blind.Store(true) })
		b.start()
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, rollbackFailed)
		if undoOf(res) != actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION {
			t.Errorf("undone is %v, want obligations", res.GetUndone())
		}
		time.Sleep(time.Minute)
		blind.Store(false)
		time.Sleep(10 * time.Minute)
		b.wantRunning()
		if b.machine.PID(host.AgentService) == 0 {
			t.Error("the Nymi Agent was not put back")
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestLostSession: a task that runs goes on without the server, and its result waits for it.
func TestLostSession(t *testing.T) {
	inBench(t, func(b *bench) {
		task := b.task("j", "restart")
		b.dispatch(task)
		b.permit(task)
		b.server.until(time.Minute, func() bool { return len(b.server.started) == 1 })
		b.runner.SessionEnded()
		b.wantStatus(b.result(task), succeeded)
		if kept, err := b.runner.Unacknowledged(); err != nil || len(kept) != 1 {
			t.Errorf("kept results are %v, want the one", kept)
		}
	})
}
