package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestInitMakesAHealthyTerminal(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	state := show(t, dir)
	for _, service := range state.Services {
		if service.Status != "running" || service.PID == 0 || service.Behaviour != "normal" || service.Since.IsZero() {
			t.Errorf("%+v, want running, normal, with process and time", service)
		}
	}
	if len(state.Services) != 2 || state.Adapter != "present" {
		t.Errorf("Show = %+v, want both Nymi services and the adapter", state)
	}
	config, err := os.ReadFile(state.NBETomlPath)
	if err != nil || !strings.Contains(string(config), `agent_url = "ws://`+state.AgentAddress+`/socket/websocket"`) {
		t.Errorf("nbe.toml = %s, %v; want agent_url to name the Nymi Agent's address %s", config, err, state.AgentAddress)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(state.NBETomlPath), "nbe.default.toml")); err != nil {
		t.Errorf("nbe.default.toml: %v, want the vendor's template beside nbe.toml", err)
	}
}

func TestAgentListensWhileItRuns(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	addr, h := show(t, dir).AgentAddress, open(t, dir)
	for _, c := range []struct {
		state     string
		reachable bool
	}{{"running", true}, {"stopped", false}, {"running", true}} {
		set(t, dir, "service", host.AgentService, c.state)
		result, err := h.Network.ProbeTCP(t.Context(), addr, 2*time.Second)
		if err != nil || result.GetReachable() != c.reachable {
			t.Errorf("Nymi Agent %s: ProbeTCP = %v, %v; want reachable %v", c.state, result, err, c.reachable)
		}
	}
}

func TestServiceWhosePortIsTaken(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	set(t, dir, "service", host.AgentService, "stopped")
	listener, err := net.Listen("tcp", show(t, dir).AgentAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := sim.Set(dir, "service", host.AgentService, "running"); !errors.Is(err, host.ErrEnded) {
		t.Errorf("Set running = %v, want that it ended while starting: its port is taken", err)
	}
}

func TestStopBehaviourTakesEffectAtOnce(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	before, h := show(t, dir), open(t, dir)
	set(t, dir, "service", host.EndpointService, "hang-on-stop")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := h.Services.Stop(ctx, host.EndpointService); !errors.Is(err, host.ErrTimeout) {
		t.Fatalf("Stop = %v, want ErrTimeout: the running process was told to hang", err)
	}
	state, err := h.Services.State(t.Context(), host.EndpointService)
	if err != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPING || state.GetPid() != before.Services[1].PID {
		t.Fatalf("State = %v, %v; want stopping, still process %d", state, err, before.Services[1].PID)
	}
	set(t, dir, "service", host.EndpointService, "normal")
	if err := h.Services.Stop(t.Context(), host.EndpointService); err != nil {
		t.Errorf("Stop after `normal` = %v, want success", err)
	}
}

func TestSetStoppedKillsWhatHangs(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	set(t, dir, "service", host.EndpointService, "hang-on-stop")
	set(t, dir, "service", host.EndpointService, "stopped")
	state, err := open(t, dir).Services.State(t.Context(), host.EndpointService)
	if err != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED || state.GetExitCode() != 137 {
		t.Errorf("State = %v, %v; want stopped, with the exit code of a killed process", state, err)
	}
}

func TestStaleProcessIDIsNotBelieved(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	h := open(t, dir)
	old := show(t, dir).Services[1].PID
	set(t, dir, "service", host.EndpointService, "stopped")
	// The record of the last process names this test's process now, as if the id had been given away.
	record := filepath.Join(dir, "services", "NymiBluetoothEndpoint", "process.json")
	if err := os.WriteFile(record, []byte(`{"pid":`+strconv.Itoa(os.Getpid())+`,"status":"running"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := h.Services.State(t.Context(), host.EndpointService)
	if err != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED || state.GetPid() != 0 {
		t.Errorf("State = %v, %v; want stopped: no process holds the lock", state, err)
	}
	if err := h.Services.Kill(t.Context(), host.EndpointService, uint32(os.Getpid())); err != nil {
		t.Errorf("Kill = %v, want success without killing anybody", err)
	}
	set(t, dir, "service", host.EndpointService, "running")
	if now := show(t, dir).Services[1].PID; now == old || now == 0 || int(now) == os.Getpid() {
		t.Errorf("process %d after the start, want a new one", now)
	}
}

func TestAdapterUnplugged(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	set(t, dir, "adapter", "absent")
	state, err := open(t, dir).Devices.USB(t.Context(), host.AdapterVendor, host.AdapterProduct)
	if err != nil || len(state.GetDevices()) != 0 || show(t, dir).Adapter != "absent" {
		t.Errorf("USB = %v, %v; want no adapter", state, err)
	}
}

func TestChangedByAgentAndPersonAtOnce(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	h := open(t, dir)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for _, behaviour := range []string{"hang-on-stop", "normal", "die-after=1h", "normal"} {
				if err := sim.Set(dir, "service", host.EndpointService, behaviour); err != nil {
					t.Errorf("Set %s = %v, want success beside others", behaviour, err)
				}
			}
		})
		all.Go(func() {
			if err := h.Services.Start(t.Context(), host.EndpointService); err != nil {
				t.Errorf("Start = %v, want success beside others", err)
			}
		})
	}
	all.Wait()
	if behaviour := show(t, dir).Services[1].Behaviour; behaviour != "normal" {
		t.Errorf("behaviour %q, want normal, the last that each set", behaviour)
	}
}

// crowd signs people in until no more may be.
func crowd(t *testing.T, dir string) error {
	t.Helper()
	for i := range 16 {
		if err := sim.Set(dir, "user", fmt.Sprintf("user-%d", i), "away"); err != nil {
			t.Fatal(err)
		}
	}
	if err := sim.Set(dir, "user", "user-0", "active"); err != nil {
		t.Errorf("one of them is at work again: %v, want success", err)
	}
	return sim.Set(dir, "user", "one-more", "active")
}

func TestRefusals(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	other := t.TempDir()
	openOther := func() error { _, err := sim.Open(other); return err }
	showOther := func() error { _, err := sim.Show(other); return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"open another folder", openOther(), "fleet-agent sim init"},
		{"show another folder", showOther(), "fleet-agent sim init"},
		{"set another folder", sim.Set(other, "adapter", "absent"), "fleet-agent sim init"},
		{"init over a terminal", sim.Init(dir, sim.Options{}), "is not empty"},
		{"unknown service", sim.Set(dir, "service", "Nymi Agnet", "running"), `service "Nymi Agnet": is not installed: it has "Nymi`},
		{"unknown behaviour", sim.Set(dir, "service", host.AgentService, "sulk"), "hang-on-stop"},
		{"negative duration", sim.Set(dir, "service", host.AgentService, "die-after=-5s"), "above zero"},
		{"unknown adapter state", sim.Set(dir, "adapter", "purple"), "use present, absent or swapped"},
		{"unknown activity", sim.Set(dir, "user", "alice", "asleep"), `user "alice": "asleep" is no activity: use active, idle, away or none`},
		{"user without a name", sim.Set(dir, "user", "", "active"), "1 to 64 bytes"},
		{"user with a long name", sim.Set(dir, "user", strings.Repeat("x", 65), "active"), "1 to 64 bytes"},
		{"user with a control character", sim.Set(dir, "user", "a\x1b[2J", "active"), "control characters"},
		{"too many users", crowd(t, dir), "16 people are signed in already"},
		{"nothing to set", sim.Set(dir), "what to set"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, c.err, c.want)
		}
	}
}
