package hosttest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryConforms(t *testing.T) {
	hosttest.Conformance(t, func(*testing.T) hosttest.Fixture {
		m := hosttest.NewMemory()
		m.Install("stopped", hosttest.Script{StartDelay: 20 * time.Millisecond})
		m.Install("hangs", hosttest.Script{HangsOnStop: true})
		m.Install("crashes", hosttest.Script{FailStarts: -1, ExitCode: 7, StartDelay: 20 * time.Millisecond})
		m.Install("dies", hosttest.Script{DieAfter: 50 * time.Millisecond, ExitCode: 7})
		m.Install("disabled", hosttest.Script{Disabled: true})
		m.StartNow("hangs")
		m.SetFile("files", "x", "")
		m.RemoveFile("files", "x")
		return hosttest.Fixture{
			Host: m.Host(), Running: host.EndpointService, Stopped: "stopped", Hangs: "hangs", Crashes: "crashes", Dies: "dies",
			Disabled: "disabled", ExitCode: 7, FilesRoot: "files", Adapter: true, Reachable: hosttest.AgentAddress,
			Unreachable: "192.0.2.1:9", Registry: true,
			SignIn: func(_ *testing.T, user string, activity actionv1.UserActivity) { m.SignIn(user, activity) },
		}
	})
}

func TestMemoryInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hosttest.NewMemory()
		m.Install(host.EndpointService, hosttest.Script{StopDelay: 3 * time.Second, StartDelay: 2 * time.Second, DieAfter: time.Minute})
		services, begun := m.Host().Services, time.Now()
		if err := services.Stop(t.Context(), host.EndpointService); err != nil || time.Since(begun) != 3*time.Second {
			t.Errorf("Stop = %v after %s, want success after the scripted 3s", err, time.Since(begun))
		}
		if err := services.Start(t.Context(), host.EndpointService); err != nil || time.Since(begun) != 5*time.Second {
			t.Errorf("Start = %v after %s, want success after 2s more", err, time.Since(begun))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if pid := m.PID(host.EndpointService); pid != 0 {
			t.Errorf("process %d a minute after the start, want none: it dies after that time", pid)
		}
	})
}

func TestMemoryTimesOutInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hosttest.NewMemory()
		m.Install(host.AgentService, hosttest.Script{StartDelay: time.Hour})
		m.StopNow(host.AgentService)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := m.Host().Services.Start(ctx, host.AgentService)
		if !errors.Is(err, host.ErrTimeout) {
			t.Errorf("Start = %v, want ErrTimeout: it starts for an hour", err)
		}
	})
}

func TestMemoryRecordsCalls(t *testing.T) {
	m := hosttest.NewMemory()
	refused := errors.New("access denied")
	m.Interpose(func(call string) error {
		if call == `start "Nymi Agent"` {
			return refused
		}
		return nil
	})
	h := m.Host()
	if _, err := h.Services.State(t.Context(), host.AgentService); err != nil {
		t.Fatal(err)
	}
	if err := h.Services.Stop(t.Context(), host.AgentService); err != nil {
		t.Fatal(err)
	}
	if err := h.Services.Start(t.Context(), host.AgentService); !errors.Is(err, refused) {
		t.Errorf("Start = %v, want the interposed error", err)
	}
	if want := []string{`stop "Nymi Agent"`, `start "Nymi Agent"`}; !slices.Equal(m.Calls(), want) {
		t.Errorf("Calls = %q, want %q: what may change the machine, in order, and nothing else", m.Calls(), want)
	}
	if m.PID(host.AgentService) != 0 {
		t.Error("the service runs although its start was refused")
	}
}

func TestMemoryReboot(t *testing.T) {
	m := hosttest.NewMemory()
	m.Install("off", hosttest.Script{Disabled: true})
	before, pid := m.Host(), m.PID(host.EndpointService)
	first, err := before.System.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.Reboot()
	second, err := m.Host().System.Describe(t.Context())
	if err != nil || second.GetBootId() == first.GetBootId() {
		t.Errorf("boot id %q, then %q (%v), want another", first.GetBootId(), second.GetBootId(), err)
	}
	if now := m.PID(host.EndpointService); now == 0 || now == pid {
		t.Errorf("process %d before and %d after the reboot, want another", pid, now)
	}
	state, err := m.Host().Services.State(t.Context(), "off")
	if err != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		t.Errorf("disabled service after the reboot: %v, %v; want stopped", state, err)
	}
}
