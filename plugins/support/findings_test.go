package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	good    = actionv1.FindingLevel_FINDING_LEVEL_GOOD
	unknown = actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN
)

// findings runs an action's verify phase on a machine and returns what it found and its verdict.
func findings(t *testing.T, a sdk.Action, params map[string]string, role string, m *sdktest.Machine) (found []*actionv1.Finding, verdict *actionv1.Verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if found, verdict, err = sdktest.Findings(context.Background(), a, params, role, m); err != nil {
			t.Fatalf("%s: %v, want that it never fails because something is bad", a.Manifest().GetName(), err)
		}
	})
	return found, verdict
}

// worst returns the findings that are neither good nor unknown, as "rule level".
func worst(found []*actionv1.Finding) (out []string) {
	for _, f := range found {
		if f.GetLevel() > unknown {
			out = append(out, fmt.Sprintf("%s %s", f.GetRule(), strings.TrimPrefix(f.GetLevel().String(), "FINDING_LEVEL_")))
		}
	}
	return out
}

func of(found []*actionv1.Finding, rule string) *actionv1.Finding {
	for _, f := range found {
		if f.GetRule() == rule {
			return f
		}
	}
	return nil
}

// TestNothingIsFoundWhereAllIsWell: no false alarm on any profile.
func TestNothingIsFoundWhereAllIsWell(t *testing.T) {
	for _, p := range []string{profileTerminal, profileNES, profileInstall, profileCA} {
		found, verdict := findings(t, diagnose{}, profile(p), neshost.Role, machine()())
		if bad := worst(found); len(bad) > 0 {
			t.Errorf("profile %s found %v on a machine where all is well, want nothing bad", p, bad)
		}
		for _, f := range found {
			if f.GetLevel() == unknown {
				t.Errorf("profile %s: %s is unknown (%s), want it told", p, f.GetRule(), f.GetMessage())
			}
		}
		if verdict.GetNextStep() != "" {
			t.Errorf("profile %s: next step %q, want none", p, verdict.GetNextStep())
		}
	}
}

func nbe(values ...string) func(*sdktest.Machine) {
	return func(m *sdktest.Machine) {
		m.Configs["endpoint/nbe.toml"] = config(append([]string{keyAgentURL, `"ws://127.0.0.1:9120/socket/websocket"`}, values...)...)
		m.Site.NbeProfile = nil
	}
}

// TestTerminalFindings: one thing is wrong with a terminal, and that one rule says so.
func TestTerminalFindings(t *testing.T) {
	adapter := bleservice.AdapterVendor + ":" + bleservice.AdapterProduct
	for name, c := range map[string]struct {
		change func(*sdktest.Machine)
		want   string
	}{
		"endpoint stopped": {func(m *sdktest.Machine) {
			m.Services[bleservice.Endpoint].Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
		}, "service-endpoint PROBLEM"},
		"endpoint disabled": {func(m *sdktest.Machine) { m.Services[bleservice.Endpoint].Disabled = true }, "service-endpoint PROBLEM"},
		"no nymi agent":     {func(m *sdktest.Machine) { delete(m.Services, bleservice.NymiAgent) }, "service-nymi-agent PROBLEM"},
		"no adapter":        {func(m *sdktest.Machine) { m.Devices = nil }, "adapter PROBLEM"},
		"two adapters":      {func(m *sdktest.Machine) { m.Devices[adapter] = append(m.Devices[adapter], m.Devices[adapter][0]) }, "adapter PROBLEM"},
		"adapter's code":    {func(m *sdktest.Machine) { m.Devices[adapter][0].ProblemCode = 10 }, "adapter PROBLEM"},
		"adapter's port":    {func(m *sdktest.Machine) { m.Devices[adapter][0].Port = "" }, "adapter PROBLEM"},
		"adapter off":       {func(m *sdktest.Machine) { m.Devices[adapter][0].Disabled = true }, "adapter PROBLEM"},
		"tap off":           {nbe(keyTap, "0"), "nbe-tap-threshold PROBLEM"},
		"tap by default":    {nbe(), "nbe-tap-threshold PROBLEM"},
		"tap positive":      {nbe(keyTap, "42"), "nbe-tap-threshold PROBLEM"},
		"tap no number":     {nbe(keyTap, `"-42"`), "nbe-tap-threshold PROBLEM"},
		"proximity off":     {nbe(keyTap, "-42", keyClose, "0"), "nbe-cutoff-close WARNING"},
		"close positive":    {nbe(keyTap, "-42", keyClose, "5"), "nbe-cutoff-close PROBLEM"},
		"far above close":   {nbe(keyTap, "-42", keyFar, "-60"), "nbe-cutoff-far PROBLEM"},
		"window of zero":    {nbe(keyTap, "-42", keyWindowTap, "0"), "nbe-window-tap PROBLEM"},
		"drift":             {func(m *sdktest.Machine) { m.Site.NbeProfile = map[string]string{keyTap: "-50"} }, "nbe-profile WARNING"},
		"broken nbe.toml":   {func(m *sdktest.Machine) { m.Configs["endpoint/nbe.toml"].Malformed = "line 2: no value" }, "nbe-file PROBLEM"},
		"agent_url missing": {func(m *sdktest.Machine) { m.Configs["endpoint/nbe.toml"] = config(keyTap, "-42") }, "nbe-agent-url PROBLEM"},
		"agent_url elsewhere": {func(m *sdktest.Machine) {
			m.Site.CentralAgent, m.Site.CentralAgentUrl = true, "ws://central.example:9120/socket/websocket"
		}, "nbe-agent-url PROBLEM"},
		"agent closed":   {func(m *sdktest.Machine) { m.Open = nil }, "agent-url-reachable PROBLEM"},
		"no NES URL":     {func(m *sdktest.Machine) { m.Registry = nil }, "nes-url WARNING"},
		"NES URL's form": {func(m *sdktest.Machine) { m.Registry[nesKey+`\URL`] = "http://nes-lyon-1.example/plant/" }, "nes-url-form PROBLEM"},
		"NES not found": {func(m *sdktest.Machine) {
			m.Net["nes-lyon-1.example:443"] = &actionv1.NetProbeResult{NameProblem: "no such host"}
		}, "nes-name PROBLEM"},
		"NES cut off": {func(m *sdktest.Machine) {
			m.Net["nes-lyon-1.example:443"] = &actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, ConnectProblem: "timed out after 3s"}
		}, "nes-connect PROBLEM"},
		"NES not trusted": {func(m *sdktest.Machine) { m.Net["nes-lyon-1.example:443"].Trusted = false }, "nes-trust PROBLEM"},
		"NES answers 404": {func(m *sdktest.Machine) { m.Net["nes-lyon-1.example:443"].HttpStatus = 404 }, "nes-http PROBLEM"},
		"root missing":    {func(m *sdktest.Machine) { m.Stores["Root"] = nil }, "root PROBLEM"},
		"root ends soon":  {func(m *sdktest.Machine) { m.Stores["Root"][0] = certificate("root", 10) }, "root-valid WARNING"},
		"USB suspend":     {func(m *sdktest.Machine) { m.Power[usbSuspend].Dc = 1 }, "usb-suspend WARNING"},
		"two readers":     {func(m *sdktest.Machine) { m.Machine.NfcReaders = proto.Uint32(2) }, "nfc-readers WARNING"},
		"no domain":       {func(m *sdktest.Machine) { m.Machine.Domain = "" }, "domain WARNING"},
		"reboot pending":  {func(m *sdktest.Machine) { m.Machine.RebootPending = true }, "reboot WARNING"},
		"disk":            {func(m *sdktest.Machine) { m.Machine.FreeBytes = 1 << 29 }, "disk PROBLEM"},
		"clock":           {func(m *sdktest.Machine) { m.Machine.ClockOffset = durationpb.New(-10 * time.Minute) }, "clock PROBLEM"},
	} {
		t.Run(name, func(t *testing.T) {
			found, verdict := findings(t, diagnose{}, profile("terminal"), "user-terminal", machine(c.change)())
			if got := strings.Join(worst(found), ", "); got != c.want {
				t.Errorf("found %q, want %q and nothing else that is bad", got, c.want)
			}
			rule, _, _ := strings.Cut(c.want, " ")
			if f := of(found, rule); f.GetMessage() == "" || f.GetValue() == "" || f.GetExpected() == "" || !strings.Contains(verdict.GetNextStep(), rule) {
				t.Errorf("finding %v, next step %q; want value, expectation, and what to do, and the next step about it", f, verdict.GetNextStep())
			}
		})
	}
}

// TestTapOffIsExplained: the usual reason why a tap does nothing, with the remedy in full.
func TestTapOffIsExplained(t *testing.T) {
	found, _ := findings(t, diagnose{}, profile("terminal", "config"), "user-terminal", machine(nbe(keyTap, "0"))())
	f := of(found, "nbe-tap-threshold")
	if f.GetValue() != "0 (nbe.toml): taps are off" || !strings.Contains(f.GetMessage(), "rssi_tap_threshold=-42") {
		t.Errorf("finding %v, want that taps are off, and the command's parameter", f)
	}
	wanted := func(m *sdktest.Machine) { m.Site.NbeProfile = map[string]string{keyTap: "0"} }
	found, _ = findings(t, diagnose{}, profile("terminal", "config"), "user-terminal", machine(nbe(keyTap, "0"), wanted)())
	if f := of(found, "nbe-tap-threshold"); f.GetLevel() != good {
		t.Errorf("finding %v where the site's profile wants 0, want it good", f)
	}
}

// TestNESHostFindings: one thing is wrong with a NES host.
func TestNESHostFindings(t *testing.T) {
	for name, c := range map[string]struct {
		profile string
		change  func(*sdktest.Machine)
		want    string
	}{
		"web server down": {profileNES, func(m *sdktest.Machine) {
			m.Services[neshost.WebService].Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
		}, "service-w3svc PROBLEM"},
		"pool stopped":      {profileNES, func(m *sdktest.Machine) { m.IIS.Pools[0].Started = false }, "pool-started PROBLEM"},
		"LocalService":      {profileInstall, func(m *sdktest.Machine) { m.IIS.Pools[0].Identity = "LocalService" }, "pool-identity PROBLEM"},
		"no enrolment":      {profileNES, func(m *sdktest.Machine) { m.IIS.Applications = append(m.IIS.Applications[:1], m.IIS.Applications[2]) }, "application-nenrollment PROBLEM"},
		"no binding":        {profileNES, func(m *sdktest.Machine) { m.Bindings = nil }, "binding PROBLEM"},
		"nothing bound":     {profileNES, func(m *sdktest.Machine) { m.Bindings[0].CertificateSha256 = "" }, "binding PROBLEM"},
		"not in its store":  {profileNES, func(m *sdktest.Machine) { m.Stores["WebHosting"] = nil }, "binding PROBLEM"},
		"no key":            {profileNES, func(m *sdktest.Machine) { m.Stores["WebHosting"][0].HasPrivateKey = false }, "binding-key PROBLEM"},
		"ends soon":         {profileNES, func(m *sdktest.Machine) { m.Stores["WebHosting"][0] = certificate("tls", 21) }, "binding-valid WARNING"},
		"expired":           {profileNES, func(m *sdktest.Machine) { m.Stores["WebHosting"][0] = certificate("tls", -1) }, "binding-valid PROBLEM"},
		"verbose":           {profileNES, func(m *sdktest.Machine) { m.Configs["nes/web.config"].Values[0].Value = "Verbose" }, "log-level WARNING"},
		"malformed":         {profileNES, func(m *sdktest.Machine) { m.Configs["nenrollment/web.config"].Malformed = "line 9: curly quote" }, "log-level PROBLEM"},
		"old .NET":          {profileNES, func(m *sdktest.Machine) { m.Machine.DotnetRelease = 461814 }, "dotnet48 PROBLEM"},
		"feature missing":   {profileInstall, func(m *sdktest.Machine) { m.Features["IIS-ISAPIFilter"].Installed = false }, "features PROBLEM"},
		"domain controller": {profileInstall, func(m *sdktest.Machine) { m.Machine.DomainRole = proto.Uint32(5) }, "domain-role PROBLEM"},
		"sql cut off": {profileInstall, func(m *sdktest.Machine) {
			m.Net["sql1.lyon.example:1433"] = &actionv1.NetProbeResult{Addresses: []string{"192.0.2.21"}, ConnectProblem: "connection refused"}
		}, "sql-connect PROBLEM"},
		"open files": {profileInstall, func(m *sdktest.Machine) {
			m.Holders = map[string][]*actionv1.HandleHolder{"nes": {{Pid: 7, Program: "notepad.exe"}}}
		}, "open-handles WARNING"},
		"crl behind SSL": {profileCA, func(m *sdktest.Machine) { m.IIS.SslFlags[crlLocation] = "Ssl" }, "crl-ssl PROBLEM"},
		"authority down": {profileCA, func(m *sdktest.Machine) {
			m.Services[neshost.CertificateService].Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
		}, "service-certsvc PROBLEM"},
	} {
		t.Run(name, func(t *testing.T) {
			found, _ := findings(t, diagnose{}, profile(c.profile), neshost.Role, machine(c.change)())
			if got := strings.Join(worst(found), ", "); got != c.want {
				t.Errorf("found %q, want %q and nothing else that is bad", got, c.want)
			}
		})
	}
}

// TestVerboseUnderALeaseIsNoFault: levels that will go back by themselves are as somebody wanted them.
func TestVerboseUnderALeaseIsNoFault(t *testing.T) {
	leased := func(m *sdktest.Machine) {
		m.Configs["nes/web.config"].Values[0].Value = "Verbose"
		m.Leases = []*actionv1.LeaseState{{Id: "l", Resources: []string{`file "nes/web.config"`}}}
	}
	found, _ := findings(t, diagnose{}, profile(profileNES, "config"), neshost.Role, machine(leased)())
	if f := of(found, "log-level"); f.GetLevel() != good || !strings.Contains(f.GetValue(), "until") {
		t.Errorf("finding %v, want it good, with the end of the lease", f)
	}
}

// TestWhatCannotBeToldIsUnknown: a machine that tells nothing has no fault for that.
func TestWhatCannotBeToldIsUnknown(t *testing.T) {
	m := nothing()
	m.Machine = &actionv1.MachineState{Unknown: []string{"domain", "domain_role", "free_bytes", "clock_offset", "nfc_readers", "dotnet_release", "reboot_pending"}}
	found, _ := findings(t, diagnose{}, profile("terminal", "domain", "disk", "clock", "nfc", "reboot", "root"), "user-terminal", m)
	for _, f := range found {
		if f.GetLevel() != unknown || f.GetMessage() == "" {
			t.Errorf("finding %v, want UNKNOWN with the reason", f)
		}
	}
	if len(found) != 6 {
		t.Errorf("%d findings, want one for each of the six checks", len(found))
	}
}

// TestNetProbeTellsNetworkTrustAndApplicationApart: what went wrong is the last finding, and all before it are good.
func TestNetProbeTellsNetworkTrustAndApplicationApart(t *testing.T) {
	for name, c := range map[string]struct {
		result *actionv1.NetProbeResult
		want   []string
	}{
		"all well":       {answers(200), nil},
		"asks who it is": {answers(401), nil},
		"no name":        {&actionv1.NetProbeResult{NameProblem: "no such host"}, []string{"nes-name PROBLEM"}},
		"no connection":  {&actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, ConnectProblem: "connection refused"}, []string{"nes-connect PROBLEM"}},
		"no TLS":         {&actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, Connected: true, TlsProblem: "closed"}, []string{"nes-tls PROBLEM"}},
		"no trust": {&actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, Connected: true, Handshake: true, TrustProblem: "unknown authority"},
			[]string{"nes-trust PROBLEM"}},
		"broken": {answers(500), []string{"nes-http PROBLEM"}},
		"silent": {&actionv1.NetProbeResult{Addresses: []string{"192.0.2.9"}, Connected: true, Handshake: true, Trusted: true, HttpProblem: "closed"}, []string{"nes-http PROBLEM"}},
	} {
		m := machine(func(m *sdktest.Machine) { m.Net["nes-lyon-1.example:443"] = c.result })()
		found, verdict := findings(t, netProbe{}, targetsAre("nes"), "user-terminal", m)
		if got := worst(found); strings.Join(got, ",") != strings.Join(c.want, ",") {
			t.Errorf("%s: found %v, want %v", name, got, c.want)
		}
		if !verdict.GetChecks()[0].GetOk() {
			t.Errorf("%s: the verdict is bad, want that a host which does not answer is a finding and no failure", name)
		}
	}
}
