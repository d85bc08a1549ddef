package hosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestMemoryConformsInEquipment(t *testing.T) {
	hosttest.ConformanceOfEquipment(t, func(*testing.T) hosttest.Equipment {
		m, stranger := hosttest.NewNESHost(), hosttest.NewNESHost()
		m.SetAdapters(1)
		m.SetFile("files", "x", "")
		m.RemoveFile("files", "x")
		m.Reach("stranger.example", stranger)
		other := m.Issue(sample.Wanted{Names: []string{hosttest.NESHostname}})
		m.Hold("WebHosting", other.Certificate, true)
		m.SetFeature("addable", false)
		m.SetProgram("writes", hosttest.Program{NewFiles: map[string]string{"log.bin": "content"}})
		m.SetProgram("hangs", hosttest.Program{Hangs: true})
		m.SetProgram("fails", hosttest.Program{ExitCode: 7})
		m.SetProgram("changed", hosttest.Program{Unapproved: true})
		m.SetProgram("absent", hosttest.Program{Missing: true})
		return hosttest.Equipment{
			Host: m.Host(), FilesRoot: "files", ReplacesOpen: true, Store: "My", Power: hosttest.USBSuspendSetting(), Registry: true, Device: true, Detail: true, Reboot: true,
			Web: &hosttest.WebEquipment{
				Bound: m.NESBinding(m.Bound()), Other: other.SHA256(), Site: hosttest.DefaultSite, Pool: hosttest.NESPool, Location: hosttest.CRLLocation,
			},
			Programs: &hosttest.ProgramEquipment{Writes: "writes", Hangs: "hangs", Fails: "fails", ExitCode: 7, Changed: "changed", Absent: "absent"},
			Features: &hosttest.FeatureEquipment{Installed: "Web-ISAPI-Ext", Addable: "addable", Unknown: "unknown"},
			Peer:     &actionv1.ProbeTarget{Host: hosttest.NESHostname, Port: 443},
			Stranger: &actionv1.ProbeTarget{Host: "stranger.example", Port: 443},
		}
	})
}

// probe connects from a terminal to the NES host.
func probe(t *testing.T, m *hosttest.Memory, target *actionv1.ProbeTarget) *actionv1.NetProbeResult {
	t.Helper()
	target.Host = hosttest.NESHostname
	result, err := m.Host().Network.Probe(t.Context(), target, time.Second)
	if err != nil {
		t.Fatalf("Probe = %v, want a result", err)
	}
	return result
}

func TestTerminalSeesWhatTheNESHostServes(t *testing.T) {
	nes, terminal := hosttest.NewNESHost(), hosttest.NewMemory()
	tls := func() *actionv1.ProbeTarget { return &actionv1.ProbeTarget{Port: 443, Tls: true, HttpPath: "/nes/"} }
	if r := probe(t, terminal, tls()); r.GetNameProblem() == "" {
		t.Errorf("before Reach: %v, want no such name", r)
	}
	terminal.Reach(hosttest.NESHostname, nes)
	if r := probe(t, terminal, tls()); !r.GetHandshake() || r.GetTrusted() {
		t.Errorf("before Trust: %v, want a handshake that is not trusted", r)
	}
	terminal.Trust(nes.Authority().Certificate)
	if r := probe(t, terminal, tls()); !r.GetTrusted() || r.GetHttpStatus() != 200 || r.GetChain()[0].GetSha256() != nes.Bound() {
		t.Errorf("after Trust: %v, want the bound certificate, trusted, and 200", r)
	}
	next := nes.Issue(sample.Wanted{Names: []string{hosttest.NESHostname}, NotAfter: time.Now().Add(time.Hour)})
	nes.Bind(next)
	if r := probe(t, terminal, tls()); r.GetChain()[0].GetSha256() != next.SHA256() {
		t.Errorf("after Bind: %v, want the new certificate served", r)
	}
	nes.Bind(nes.Issue(sample.Wanted{Names: []string{"other.example"}}))
	if r := probe(t, terminal, tls()); r.GetTrusted() {
		t.Errorf("with a certificate of another name: %v, want it not trusted", r)
	}
	nes.SetPool(hosttest.NESPool, "LocalSystem", false)
	nes.Bind(next)
	if r := probe(t, terminal, tls()); r.GetHttpStatus() != 503 {
		t.Errorf("with its pool stopped: %v, want 503", r)
	}
	nes.StopNow(hosttest.WebService)
	if r := probe(t, terminal, tls()); r.GetConnected() || r.GetConnectProblem() == "" {
		t.Errorf("with the web server stopped: %v, want the connection refused", r)
	}
}

func TestNESHostRefusesHTTPWhereTLSIsRequired(t *testing.T) {
	nes := hosttest.NewNESHost()
	crl := func() uint32 {
		r, err := nes.Host().Network.Probe(t.Context(), &actionv1.ProbeTarget{Host: "localhost", Port: 80, HttpPath: "/crl/NESL1CA.crl"}, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return r.GetHttpStatus()
	}
	if status := crl(); status != 200 {
		t.Errorf("list of revoked certificates: %d, want 200", status)
	}
	nes.SetSSLFlags(hosttest.CRLLocation, "Ssl")
	if status := crl(); status != 403 {
		t.Errorf("list of revoked certificates where TLS is required: %d, want 403", status)
	}
}

func TestMemoryFindsServicesByKey(t *testing.T) {
	nes := hosttest.NewNESHost()
	state, err := nes.Host().Services.State(t.Context(), hosttest.WebService)
	if err != nil || !state.GetInstalled() || state.GetKey() != "W3SVC" || state.GetService() != "W3SVC" || nes.PID("W3SVC") == 0 {
		t.Errorf("State = %v, %v; want the service, under the name that was asked for", state, err)
	}
}

func TestMemoryRebootsWithItsHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := hosttest.NewMemory()
		m.LeaveRunning(hosttest.FirmwareLogTool)
		var seen []string
		m.OnReboot(
			func() {
				if m.PID(host.AgentService) == 0 && !m.ProgramRuns(hosttest.FirmwareLogTool) {
					seen = append(seen, "down")
				}
			},
			func() {
				if m.PID(host.AgentService) != 0 {
					seen = append(seen, "up")
				}
			})
		if err := m.Host().System.Reboot(t.Context(), time.Minute, ""); err != nil || len(seen) != 0 {
			t.Fatalf("Reboot = %v, hooks %q; want success before the start", err, seen)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(seen) != 2 || seen[0] != "down" || seen[1] != "up" {
			t.Errorf("hooks saw %q, want down with nothing running, then up with the services", seen)
		}
	})
}

func TestMemoryEndsWhatAnEarlierAgentLeft(t *testing.T) {
	m := hosttest.NewMemory()
	m.LeaveRunning(hosttest.FirmwareLogTool)
	if err := m.Host().Programs.EndAll(t.Context()); err != nil || m.ProgramRuns(hosttest.FirmwareLogTool) {
		t.Errorf("EndAll = %v, want success and nothing running", err)
	}
	if calls := m.Calls(); len(calls) != 1 || calls[0] != `end "firmware-log-tool"` {
		t.Errorf("Calls = %q, want the end of the tool alone", calls)
	}
}
