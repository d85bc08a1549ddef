package detect_test

import (
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// scene is a machine, and what is around it.
type scene struct {
	*bench
	nes  *hosttest.Memory
	site *actionv1.Surroundings
}

// cause is one way to a value of a signal.
type cause struct {
	signal, subject, value string
	// do changes the machine, or what is around it. nil: it is so on a healthy one.
	do func(*scene)
}

// newTerminalScene is a healthy terminal of a site with a NES host that it reaches and trusts.
func newTerminalScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{bench: newBench(t, hosttest.NewMemory(), terminalRole), nes: hosttest.NewNESHost()}
	root := s.nes.Authority().Certificate
	s.machine.Reach(hosttest.NESHostname, s.nes)
	s.machine.Trust(root)
	s.machine.SetRegistry(`SOFTWARE\Nymi\NES`, "URL", nesURL)
	s.machine.SetDetail(func(m *actionv1.MachineState) { m.Domain, m.ClockOffset = "example", durationpb.New(0) })
	s.machine.SetPower(&actionv1.PowerState{Setting: hosttest.USBSuspendSetting()})
	s.setKey("rssi_tap_threshold = -42")
	s.site = &actionv1.Surroundings{
		NesHosts:      []*actionv1.NESHost{{Host: hosttest.NESHostname, Url: nesURL, Used: true}},
		ApprovedRoots: []*actionv1.ApprovedRoot{{Name: "lyon", Sha256: sample.SHA256(root.Raw)}},
		NbeProfile:    map[string]string{"rssi_tap_threshold": "-42"},
	}
	s.ownCertificate(time.Hour * 24 * 80)
	return s
}

// newNESScene is a healthy NES host with its CA.
func newNESScene(t *testing.T) *scene {
	t.Helper()
	nes := hosttest.NewNESHost()
	s := &scene{bench: newBench(t, nes, nesRole), nes: nes}
	s.provider("ECDSA_P256")
	nes.SetReachable("ad-1.example:389", true)
	nes.SetReachable("sql-1.example:1433", true)
	s.site = &actionv1.Surroundings{
		NesHosts:   []*actionv1.NESHost{{Host: hosttest.NESHostname, Url: nesURL, Self: true}},
		KnownHosts: []*actionv1.KnownHost{{Label: "ad", Address: "ad-1.example:389"}, {Label: "sql", Address: "sql-1.example:1433"}},
	}
	return s
}

// setKey adds a line to nbe.toml.
func (s *scene) setKey(line string) {
	content, _ := s.machine.File(host.EndpointRoot, "nbe.toml")
	s.machine.SetFile(host.EndpointRoot, "nbe.toml", content+line+"\n")
}

func (s *scene) setToml(content string) { s.machine.SetFile(host.EndpointRoot, "nbe.toml", content) }

// ownCertificate gives the agent one that has so long left of 90 days.
func (s *scene) ownCertificate(left time.Duration) {
	end := time.Now().Add(left)
	s.cfg.Certificate = func() *x509.Certificate {
		return &x509.Certificate{NotBefore: end.Add(-90 * 24 * time.Hour), NotAfter: end}
	}
}

func (s *scene) provider(algorithm string) {
	const key = `SYSTEM\CurrentControlSet\Services\CertSvc\Configuration`
	s.machine.SetRegistry(key, "Active", "NESL2CA")
	s.machine.SetRegistry(key+`\NESL2CA\CSP`, "Provider", "Microsoft Software Key Storage Provider")
	s.machine.SetRegistry(key+`\NESL2CA\CSP`, "CNGPublicKeyAlgorithm", algorithm)
}

// bind has the NES host serve another certificate.
func (s *scene) bind(w sample.Wanted) *sample.Identity {
	if len(w.Names) == 0 {
		w.Names = []string{hosttest.NESHostname}
	}
	identity := s.nes.Issue(w)
	s.nes.Bind(identity)
	return identity
}

// boundSubject stands for the hash of what the NES host serves, rootSubject for that of its CA certificate.
const (
	boundSubject = "(what is bound)"
	caSubject    = "(the CA certificate)"
)

// holdCA puts a CA certificate of NES with so long left into the host's store.
func (s *scene) holdCA(left time.Duration) {
	ca, err := s.nes.Authority().IntermediateUntil("NESL2CA", time.Now().Add(left))
	if err != nil {
		s.t.Fatal(err)
	}
	s.nes.Hold("CA", ca.Certificate, false)
}

func (s *scene) service(name string, script hosttest.Script, start bool) {
	s.machine.StopNow(name)
	s.machine.Install(name, script)
	if start {
		go func() { _ = s.machine.Host().Services.Start(s.t.Context(), name) }() // it hangs on purpose, until the test ends
	}
}

// serviceCauses are the ways to each state of a service.
func serviceCauses(signal, name string) []cause {
	return []cause{
		{signal, "", "running", nil},
		{signal, "", "stopped", func(s *scene) { s.machine.Crash(name, 7) }},
		{signal, "", "disabled", func(s *scene) { s.service(name, hosttest.Script{Disabled: true}, false) }},
		{signal, "", "missing", func(s *scene) { s.machine.Uninstall(name) }},
		{signal, "", "starting", func(s *scene) { s.service(name, hosttest.Script{StartDelay: time.Hour}, true) }},
		{signal, "", "stopping", func(s *scene) {
			s.machine.Install(name, hosttest.Script{HangsOnStop: true})
			go func() { _ = s.machine.Host().Services.Stop(s.t.Context(), name) }() // as above
		}},
	}
}

func adapterWith(change func(*actionv1.Device)) func(*scene) {
	return func(s *scene) {
		d := &actionv1.Device{Instance: `USB\VID_2458&PID_0001\1`, Name: "Bluegiga Bluetooth Low Energy (COM3)", Port: "COM3", Class: "Ports"}
		change(d)
		s.machine.SetDevices(host.AdapterVendor, host.AdapterProduct, d)
	}
}

func terminalCauses() []cause {
	const agentPort = hosttest.AgentAddress
	const path = hosttest.NESHostname + ":443"
	causes := slices.Concat(serviceCauses("endpoint-service", host.EndpointService), serviceCauses("nymi-agent-service", host.AgentService))
	return append(causes, []cause{
		{"nymi-agent-service", "", "running", func(s *scene) { s.site.CentralAgent = true; s.machine.Uninstall(host.AgentService) }},
		{"nymi-agent-service", "", "running", func(s *scene) {
			s.setToml("agent_url = \"ws://agents.example:9120/socket/websocket\"\n")
			s.machine.StopNow(host.AgentService)
		}},
		{"adapter", "", "ok", nil},
		{"adapter", "", "missing", func(s *scene) { s.machine.SetAdapters(0) }},
		{"adapter", "", "several", func(s *scene) { s.machine.SetAdapters(2) }},
		{"adapter", "", "problem", adapterWith(func(d *actionv1.Device) { d.ProblemCode = 43 })},
		{"adapter", "", "problem", adapterWith(func(d *actionv1.Device) { d.Disabled = true })},
		{"adapter", "", "no-port", adapterWith(func(d *actionv1.Device) { d.Port, d.Class = "", "USB" })},
		{"nbe-config", "", "ok", nil},
		{"nbe-config", "", "absent", func(s *scene) { s.machine.RemoveFile(host.EndpointRoot, "nbe.toml") }},
		{"nbe-config", "", "invalid", func(s *scene) { s.setToml("agent_url = \n") }},
		{"nbe-config", "", "invalid", func(s *scene) { s.setKey("rssi_window_tap = 0") }},
		{"nbe-config", "", "invalid", func(s *scene) { s.setKey("rssi_cutoff_far = -60") }},
		{"nbe-config", "", "invalid", func(s *scene) { s.setKey("rssi_cutoff_close = \"near\"") }},
		{"nbe-config", "", "unreadable", func(s *scene) { s.setKey("# " + strings.Repeat("x", 300<<10)) }},
		{"nbe-agent-url", "", "ok", nil},
		{"nbe-agent-url", "", "ok", func(s *scene) { s.machine.RemoveFile(host.EndpointRoot, "nbe.toml") }},
		{"nbe-agent-url", "", "missing", func(s *scene) { s.setToml("rssi_window_tap = 10\n") }},
		{"nbe-agent-url", "", "malformed", func(s *scene) { s.setToml("agent_url = \"http://127.0.0.1:9120\"\n") }},
		{"nbe-tap", "", "on", nil},
		{"nbe-tap", "", "off", func(s *scene) { s.setToml("agent_url = \"ws://" + agentPort + "/\"\nrssi_tap_threshold = 0\n") }},
		{"nbe-tap", "", "off", func(s *scene) { s.machine.RemoveFile(host.EndpointRoot, "nbe.toml") }},
		{"nbe-tap", "", "on", func(s *scene) {
			s.machine.RemoveFile(host.EndpointRoot, "nbe.toml")
			s.machine.SetFile(host.EndpointRoot, "nbe.default.toml", "rssi_tap_threshold = -42\n")
		}},
		{"nbe-tap", "", "on", func(s *scene) {
			s.machine.RemoveFile(host.EndpointRoot, "nbe.toml")
			s.site.NbeProfile = map[string]string{"rssi_tap_threshold": "0"}
		}},
		{"nbe-drift", "", "none", nil},
		{"nbe-drift", "", "none", func(s *scene) { s.site.NbeProfile = nil }},
		{"nbe-drift", "", "drifted", func(s *scene) { s.site.NbeProfile["rssi_cutoff_far"] = "-80" }},
		{"nymi-agent-port", agentPort, "open", nil},
		{"nymi-agent-port", agentPort, "closed", func(s *scene) { s.machine.StopNow(host.AgentService) }},
		{"nes-url", "", "ok", nil},
		{"nes-url", "", "missing", func(s *scene) { s.machine.SetRegistry(`SOFTWARE\Nymi\NES`, "URL", "") }},
		{"nes-url", "", "not-https", func(s *scene) {
			s.machine.SetRegistry(`SOFTWARE\Nymi\NES`, "URL", "http://"+hosttest.NESHostname+"/nes/")
		}},
		{"nes-url", "", "differs", func(s *scene) { s.machine.SetRegistry(`SOFTWARE\Nymi\NES`, "URL", "https://other.example/nes/") }},
		{"nes-url", "", "differs", func(s *scene) {
			s.machine.SetRegistry(`SOFTWARE\Policies\Nymi\NES`, "URL", "https://other.example/nes/")
		}},
		{"nes-path", path, "ok", nil},
		{"nes-path", path, "name", func(s *scene) { s.machine.Reach(hosttest.NESHostname, nil) }},
		{"nes-path", path, "connect", func(s *scene) { s.nes.StopNow(hosttest.WebService) }},
		{"nes-path", path, "handshake", func(s *scene) { s.nes.SetBinding(s.nes.NESBinding("")) }},
		{"nes-path", path, "untrusted", func(s *scene) { s.machine.Drop("Root", s.nes.Authority().SHA256()) }},
		{"nes-path", path, "expired", func(s *scene) {
			s.bind(sample.Wanted{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		}},
		{"nes-path", path, "mismatch", func(s *scene) { s.bind(sample.Wanted{Names: []string{"other.example"}}) }},
		{"nes-path", path, "status", func(s *scene) { s.nes.SetPool(hosttest.NESPool, "LocalSystem", false) }},
		{"root-certificate", "lyon", "ok", nil},
		{"root-certificate", "lyon", "missing", func(s *scene) { s.machine.Drop("Root", s.nes.Authority().SHA256()) }},
		{"root-certificate", "lyon", "expiring", func(s *scene) { s.approve(10 * 24 * time.Hour) }},
		{"root-certificate", "lyon", "expired", func(s *scene) { s.approve(-time.Hour) }},
		{"pending-reboot", "", "no", nil},
		{"pending-reboot", "", "yes", func(s *scene) { s.machine.SetDetail(func(m *actionv1.MachineState) { m.RebootPending = true }) }},
		{"usb-suspend", "", "off", nil},
		{"usb-suspend", "", "on", func(s *scene) { s.machine.SetPower(&actionv1.PowerState{Setting: hosttest.USBSuspendSetting(), Dc: 1}) }},
		{"clock", "", "ok", nil},
		{"clock", "", "skewed", func(s *scene) { s.cfg.Offset = func() (time.Duration, bool) { return -6 * time.Minute, true } }},
		{"clock", "", "skewed", func(s *scene) {
			s.machine.SetDetail(func(m *actionv1.MachineState) { m.ClockOffset = durationpb.New(time.Hour) })
		}},
		{"disk", "system", "ok", nil},
		{"disk", "system", "low", func(s *scene) { s.machine.SetDetail(func(m *actionv1.MachineState) { m.FreeBytes = 900 << 20 }) }},
		{"domain", "", "same", nil},
		{"domain", "", "other", func(s *scene) { s.machine.SetDetail(func(m *actionv1.MachineState) { m.Domain = "paris.example" }) }},
		{"windows-7", "", "no", nil},
		{"windows-7", "", "yes", func(s *scene) { s.machine.SetHost(func(h *actionv1.HostState) { h.OsVersion = "6.1.7601" }) }},
		{"agent-certificate", "", "ok", nil},
		{"agent-certificate", "", "expiring", func(s *scene) { s.ownCertificate(10 * 24 * time.Hour) }},
	}...)
}

// approve has the site's root be another one, which is trusted and has so long left.
func (s *scene) approve(left time.Duration) {
	ca, err := s.nes.Authority().IntermediateUntil("Lyon Root CA 2", time.Now().Add(left))
	if err != nil {
		s.t.Fatal(err)
	}
	s.machine.Trust(ca.Certificate)
	s.site.ApprovedRoots[0].Sha256 = ca.SHA256()
}

// edit replaces a text in a web.config.
func edit(application, old, other string) func(*scene) {
	return func(s *scene) {
		content, _ := s.machine.File(application, "web.config")
		if !strings.Contains(content, old) {
			s.t.Fatalf("%s/web.config has no %q", application, old)
		}
		s.machine.SetFile(application, "web.config", strings.Replace(content, old, other, 1))
	}
}

func nesCauses() []cause {
	const (
		authURL   = "https://" + hosttest.NESHostname + "/authenticationservice/"
		crl       = "http://localhost/crl/NESL1CA.crl"
		own       = hosttest.NESHostname + ":443"
		globalOff = `name="Global" value="Information"`
		globalOn  = `name="Global" value="Verbose"`
	)
	causes := slices.Concat(serviceCauses("iis-service", hosttest.WebService), serviceCauses("ca-service", hosttest.CertService))
	return append(causes, []cause{
		{"iis-site", hosttest.DefaultSite, "started", nil},
		{"iis-site", hosttest.DefaultSite, "stopped", func(s *scene) { s.nes.SetSite(hosttest.DefaultSite, false) }},
		{"iis-site", hosttest.DefaultSite, catalogue.Unknown, func(s *scene) { s.nes.StopNow(hosttest.WebService) }},
		{"app-pool", hosttest.NESPool, "started", nil},
		{"app-pool", hosttest.NESPool, "stopped", func(s *scene) { s.nes.SetPool(hosttest.NESPool, "LocalSystem", false) }},
		{"app-pool", hosttest.NESPool, catalogue.Unknown, func(s *scene) { s.nes.StopNow(hosttest.ProcessService) }},
		{"app-pool-identity", hosttest.NESPool, "ok", nil},
		{"app-pool-identity", hosttest.NESPool, "local-service", func(s *scene) { s.nes.SetPool(hosttest.NESPool, "LocalService", true) }},
		{"ca-provider", "", "ok", nil},
		{"ca-provider", "", "other", func(s *scene) { s.provider("RSA") }},
		{"crl", crl, "ok", nil},
		{"crl", crl, "forbidden", func(s *scene) { s.nes.SetSSLFlags(hosttest.CRLLocation, "Ssl") }},
		{"crl", crl, "failed", func(s *scene) { s.nes.Answer("/crl/NESL1CA.crl", 404) }},
		{"crl", crl, "none", func(s *scene) { s.nes.Uninstall(hosttest.CertService) }},
		{"https-binding", hosttest.DefaultSite, "ok", nil},
		{"https-binding", hosttest.DefaultSite, "missing", func(s *scene) {
			b := s.nes.NESBinding("")
			b.Exists = false
			s.nes.SetBinding(b)
		}},
		{"https-binding", hosttest.DefaultSite, "no-certificate", func(s *scene) { s.nes.SetBinding(s.nes.NESBinding("")) }},
		{"https-binding", hosttest.DefaultSite, "no-certificate", func(s *scene) { s.nes.Drop("WebHosting", s.nes.Bound()) }},
		{"tls-certificate", boundSubject, "ok", nil},
		{"tls-certificate", boundSubject, "expiring", func(s *scene) { s.bind(sample.Wanted{NotAfter: time.Now().Add(10 * 24 * time.Hour)}) }},
		{"tls-certificate", boundSubject, "expired", func(s *scene) {
			s.bind(sample.Wanted{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		}},
		{"ca-certificate", caSubject, "ok", func(s *scene) { s.holdCA(100 * 24 * time.Hour) }},
		{"ca-certificate", caSubject, "expiring", func(s *scene) { s.holdCA(10 * 24 * time.Hour) }},
		{"ca-certificate", caSubject, "expired", func(s *scene) { s.holdCA(-time.Hour) }},
		{"auth-url", authURL, "ok", nil},
		{"auth-url", "", "missing", edit("nes", "<value>"+authURL, "<value>")},
		{"auth-url", "https://nowhere.example/as/", "unresolved", edit("nes", authURL, "https://nowhere.example/as/")},
		{"auth-url", "https://" + hosttest.NESHostname + "/gone/", "not-found", edit("nes", authURL, "https://"+hosttest.NESHostname+"/gone/")},
		{"auth-url", authURL, "expired", func(s *scene) {
			s.bind(sample.Wanted{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
		}},
		{"enrollment-service", own + "/nenrollment/", "ok", nil},
		{"enrollment-service", own + "/nenrollment/", "failed", func(s *scene) { s.nes.Answer("/nenrollment/", 503) }},
		{"enrollment-service", own + "/nenrollment/", "failed", func(s *scene) { s.nes.StopNow(hosttest.WebService) }},
		{"console", own + "/nes/", "ok", nil},
		{"console", own + "/nes/", "error", func(s *scene) { s.nes.Answer("/nes/", 500) }},
		{"console", own + "/nes/", "error-500-19", func(s *scene) { s.nes.AnswerSub("/nes/", 500, 19) }},
		{"windows-features", "", "ok", nil},
		{"windows-features", "", "missing", func(s *scene) { s.nes.SetFeature("IIS-ISAPIFilter", false) }},
		{"dotnet", "", "ok", nil},
		{"dotnet", "", "old", func(s *scene) { s.nes.SetDetail(func(m *actionv1.MachineState) { m.DotnetRelease = 461808 }) }},
		{"domain-controller", "", "no", nil},
		{"domain-controller", "", "yes", func(s *scene) { s.nes.SetDetail(func(m *actionv1.MachineState) { m.DomainRole = proto.Uint32(5) }) }},
		{"directory", "ad-1.example:389", "ok", nil},
		{"directory", "ad-1.example:389", "failed", func(s *scene) { s.nes.SetReachable("ad-1.example:389", false) }},
		{"sql-server", "sql-1.example:1433", "ok", nil},
		{"sql-server", "sql-1.example:1433", "failed", func(s *scene) { s.nes.SetReachable("sql-1.example:1433", false) }},
		{"verbose-logging", "nes/web.config", "off", nil},
		{"verbose-logging", "nes/web.config", "on", edit("nes", globalOff, globalOn)},
		{"verbose-logging", "nes/web.config", "leased", func(s *scene) {
			edit("nes", globalOff, globalOn)(s)
			s.cfg.Leases = func() []*actionv1.LeaseState {
				return []*actionv1.LeaseState{{Resources: []string{`file "nes/web.config"`}, Until: timestamppb.New(time.Now().Add(time.Hour))}}
			}
		}},
	}...)
}

func (c cause) name() string { return c.signal + " is " + c.value }

// run makes the scene, changes it and looks.
func (c cause) run(t *testing.T, newScene func(*testing.T) *scene) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t)
		if c.do != nil {
			c.do(s)
		}
		s.start()
		s.take(ordersOf("v1", s.site))
		s.pass(time.Second)
		if got := s.value(c.signal, s.subject(c)); got != c.value {
			t.Errorf("%s of %q is %q, want %q; all: %v", c.signal, s.subject(c), got, c.value, s.d.Readings())
		}
		s.stop()
	})
}

func (s *scene) subject(c cause) string {
	switch c.subject {
	case boundSubject:
		return s.nes.Bound()
	case caSubject:
		list, err := s.nes.Host().Certificates.List(s.t.Context(), "CA")
		if err != nil || len(list) != 1 {
			s.t.Fatalf("certificates of CA = %v, %v; want one", list, err)
		}
		return list[0].GetSha256()
	}
	return c.subject
}

func TestEverySignalHasEachOfItsValues(t *testing.T) {
	for _, c := range terminalCauses() {
		t.Run("terminal/"+c.name(), func(t *testing.T) { c.run(t, newTerminalScene) })
	}
	for _, c := range nesCauses() {
		t.Run("nes-host/"+c.name(), func(t *testing.T) { c.run(t, newNESScene) })
	}
}

// TestTheTableIsWhole fails when a signal or a value of the catalogue has no cause above.
func TestTheTableIsWhole(t *testing.T) {
	caused := map[string]bool{}
	for _, c := range slices.Concat(terminalCauses(), nesCauses()) {
		caused[c.signal+" "+c.value] = true
	}
	for _, s := range catalogue.Signals() {
		for _, value := range s.Values {
			if !caused[s.Name+" "+value] {
				t.Errorf("no cause makes %s be %q: add one, or nobody knows that it is ever read", s.Name, value)
			}
		}
	}
}
