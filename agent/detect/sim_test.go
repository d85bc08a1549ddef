package detect_test

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/detect"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// TestMain is also the main of the processes of simulated machines: they are this program, started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "sim" && os.Args[2] == "service" {
		os.Exit(sim.ServiceMain(os.Args[3:]))
	}
	os.Exit(m.Run())
}

// lever is what `fleet-agent sim set` does to have a signal be something, and what takes it back.
type lever struct {
	signal, value string
	set, back     [][]string
}

func on(args ...string) [][]string { return [][]string{args} }

// simulated is a terminal and a NES host that run, with a detector on each.
type simulated struct {
	t                 *testing.T
	terminal, nes     string
	onTerminal, onNES *detect.Detector
}

func newSimulated(t *testing.T) *simulated {
	t.Helper()
	s := &simulated{t: t, terminal: filepath.Join(t.TempDir(), "terminal"), nes: filepath.Join(t.TempDir(), "nes")}
	s.init(s.nes, sim.Options{Role: sim.RoleNESHost, Hostname: "nes-1.lyon.example"})
	s.init(s.terminal, sim.Options{})
	const url = "https://nes-1.lyon.example/nes/"
	for _, args := range [][]string{
		{s.terminal, "reach", s.nes}, {s.terminal, "trust", s.nes}, {s.terminal, "nes-url", url}, {s.terminal, "root", "valid-for=100d"},
		{s.terminal, "domain", "lyon.example"}, {s.terminal, "usb-suspend", "off"}, {s.terminal, "nbe", "rssi_tap_threshold", "-42"}, {s.terminal, "clock", "1s"},
		{s.nes, "clock", "1s"}, {s.nes, "ca-provider", "ok"}, {s.nes, "ca-certificate", "valid-for=100d"},
		{s.nes, "auth-url", "https://nes-1.lyon.example/authenticationservice/"},
	} {
		s.do(args[0], args[1:]...)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	for _, name := range []string{"ad-1.example:389", "sql-1.example:1433"} {
		s.do(s.nes, "host", name, listener.Addr().String())
	}
	s.onTerminal = s.detector(s.terminal, terminalRole, &actionv1.Surroundings{
		NesHosts:      []*actionv1.NESHost{{Host: "nes-1.lyon.example", Url: url, Used: true}},
		ApprovedRoots: []*actionv1.ApprovedRoot{{Name: "lyon", Sha256: s.rootOf(filepath.Join(s.nes, "authority", "root.pem"))}},
		NbeProfile:    map[string]string{"rssi_tap_threshold": "-42"},
	})
	s.onNES = s.detector(s.nes, nesRole, &actionv1.Surroundings{
		NesHosts:   []*actionv1.NESHost{{Host: "nes-1.lyon.example", Url: url, Self: true}},
		KnownHosts: []*actionv1.KnownHost{{Label: "ad", Address: "ad-1.example:389"}, {Label: "sql", Address: "sql-1.example:1433"}},
	})
	return s
}

func (s *simulated) init(dir string, o sim.Options) {
	s.t.Helper()
	if err := sim.Init(dir, o); err != nil {
		s.t.Fatalf("Init = %v, want a machine", err)
	}
	s.t.Cleanup(func() {
		if err := sim.Shutdown(dir); err != nil {
			s.t.Errorf("Shutdown = %v: processes may be left over", err)
		}
	})
}

func (s *simulated) do(dir string, args ...string) {
	s.t.Helper()
	if err := sim.Set(dir, args...); err != nil {
		s.t.Fatalf("fleet-agent sim set %s %q = %v, want success", filepath.Base(dir), args, err)
	}
}

func (s *simulated) rootOf(file string) string {
	s.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	root, err := sample.ParseCertificatePEM(content)
	if err != nil {
		s.t.Fatal(err)
	}
	return sample.SHA256(root.Raw)
}

func (s *simulated) detector(dir, role string, site *actionv1.Surroundings) *detect.Detector {
	s.t.Helper()
	machine, err := sim.Open(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	b := &bench{t: s.t, sink: &sink{}, cfg: detect.Config{
		Host: machine, Role: role, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}}
	b.cfg.Sink = b.sink
	b.cfg.Timings.Web = 50 * time.Millisecond
	b.start()
	if err := b.d.Take(ordersOf("v1", site)); err != nil {
		s.t.Fatal(err)
	}
	return b.d
}

// await looks until a signal has a value.
func (s *simulated) await(d *detect.Detector, signal, value string) {
	s.t.Helper()
	const patience = 30 * time.Second
	var got []detect.Reading
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		d.Nudge(signal)
		got = nil
		for _, r := range d.Readings() {
			if r.Signal == signal {
				got = append(got, r)
				if r.Value == value {
					return
				}
			}
		}
	}
	s.t.Errorf("%s is %v, want %q", signal, got, value)
}

// serviceLevers are those of a service.
func serviceLevers(signal, name string) []lever {
	normal := [][]string{{"service", name, "normal"}, {"service", name, "stopped"}, {"service", name, "running"}}
	return []lever{
		{signal, "stopped", on("service", name, "stopped"), normal},
		{signal, "disabled", [][]string{{"service", name, "disabled"}, {"service", name, "stopped"}}, normal},
		{signal, "starting", on("service", name, "starting"), normal},
		{signal, "stopping", on("service", name, "stopping"), normal},
		{signal, "missing", on("service", name, "missing"), normal},
	}
}

func terminalLevers(nes string) []lever {
	file := on("nbe-file", "default")
	levers := append(serviceLevers("endpoint-service", host.EndpointService), serviceLevers("nymi-agent-service", host.AgentService)...)
	return append(levers, []lever{
		{"adapter", "missing", on("adapter", "absent"), on("adapter", "present")},
		{"adapter", "problem", on("adapter", "stuck"), on("adapter", "present")},
		{"adapter", "no-port", on("adapter", "updating"), on("adapter", "present")},
		{"adapter", "several", on("adapter", "several"), on("adapter", "present")},
		{"nbe-tap", "off", on("nbe", "rssi_tap_threshold", "0"), on("nbe", "rssi_tap_threshold", "-42")},
		{"nbe-drift", "drifted", on("nbe", "rssi_tap_threshold", "-50"), on("nbe", "rssi_tap_threshold", "-42")},
		{"nbe-config", "absent", on("nbe-file", "absent"), file},
		{"nbe-config", "invalid", on("nbe-file", "broken"), file},
		{"nbe-config", "unreadable", on("nbe-file", "too-long"), file},
		{"nbe-agent-url", "missing", on("nbe", "agent_url", "none"), file},
		{"nbe-agent-url", "malformed", on("nbe", "agent_url", `"http://x"`), file},
		{"nymi-agent-port", "closed", on("service", host.AgentService, "stopped"), on("service", host.AgentService, "running")},
		{"nes-url", "missing", on("nes-url", "none"), nil},
		{"nes-url", "not-https", on("nes-url", "http://nes-1.lyon.example/nes/"), nil},
		{"nes-url", "differs", on("registry", `SOFTWARE\Policies\Nymi\NES\URL`, "https://other.example/nes/"), on("registry", `SOFTWARE\Policies\Nymi\NES\URL`, "none")},
		{"nes-path", "name", [][]string{{"host", "nes-1.lyon.example:443", "none"}, {"host", "nes-1.lyon.example:80", "none"}}, on("reach", nes)},
		{"nes-path", "connect", on("host", "nes-1.lyon.example:443", "127.0.0.1:1"), on("reach", nes)},
		{"nes-path", "untrusted", on("distrust", nes), on("trust", nes)},
		{"root-certificate", "missing", on("distrust", nes), on("trust", nes)},
		{"pending-reboot", "yes", on("reboot-pending", "yes"), nil},
		{"usb-suspend", "on", on("usb-suspend", "policy"), nil},
		{"clock", "skewed", on("clock", "-10m"), nil},
		{"disk", "low", on("free", "900"), nil},
		{"domain", "other", on("domain", "paris.example"), nil},
		{"windows-7", "yes", on("windows", "6.1.7601"), on("windows", "none")},
	}...)
}

func nesLevers() []lever {
	good := on("certificate", "valid-for=300d")
	levers := append(serviceLevers("iis-service", "W3SVC"), serviceLevers("ca-service", "CertSvc")...)
	return append(levers, []lever{
		{"iis-site", "stopped", on("site", "Default Web Site", "stopped"), on("site", "Default Web Site", "started")},
		{"nes-path", "status", on("answer", "/nes/", "503"), on("answer", "/nes/", "none")},
		{"nes-path", "expired", on("certificate", "valid-for=-1d"), good},
		{"nes-path", "mismatch", on("certificate", "for=other.example"), good},
		{"nes-path", "handshake", on("bind", "none"), good},
		{"app-pool", "stopped", on("pool", "NES", "stopped"), on("pool", "NES", "started")},
		{"app-pool-identity", "local-service", on("pool-identity", "NES", "LocalService"), on("pool-identity", "NES", "LocalSystem")},
		{"ca-provider", "other", on("ca-provider", "other"), nil},
		{"crl", "forbidden", on("ssl-flags", "Default Web Site/crl", "Ssl"), on("ssl-flags", "Default Web Site/crl", "None")},
		{"crl", "failed", on("answer", "/crl/NESL1CA.crl", "404"), on("answer", "/crl/NESL1CA.crl", "none")},
		{"https-binding", "no-certificate", on("bind", "none"), good},
		{"https-binding", "missing", on("bind", "missing"), good},
		{"tls-certificate", "expiring", on("certificate", "valid-for=10d"), good},
		{"tls-certificate", "expired", on("certificate", "valid-for=-1d"), good},
		{"ca-certificate", "expiring", on("ca-certificate", "valid-for=10d"), nil},
		{"ca-certificate", "expired", on("ca-certificate", "valid-for=-1d"), nil},
		{"auth-url", "missing", on("auth-url", "none"), nil},
		{"auth-url", "unresolved", on("auth-url", "https://nowhere.example/"), nil},
		{"auth-url", "not-found", on("auth-url", "https://nes-1.lyon.example/gone/"), on("auth-url", "https://nes-1.lyon.example/authenticationservice/")},
		{"auth-url", "expired", on("certificate", "valid-for=-1d"), good},
		{"enrollment-service", "failed", on("answer", "/nenrollment/", "503"), on("answer", "/nenrollment/", "none")},
		{"console", "error-500-19", on("answer", "/nes/", "500.19"), nil},
		{"console", "error", on("answer", "/nes/", "500"), on("answer", "/nes/", "none")},
		{"windows-features", "missing", on("feature", "IIS-ISAPIFilter", "absent"), nil},
		{"dotnet", "old", on("dotnet", "461808"), nil},
		{"domain-controller", "yes", on("domain-role", "5"), nil},
		{"directory", "failed", on("host", "ad-1.example:389", "127.0.0.1:1"), nil},
		{"sql-server", "failed", on("host", "sql-1.example:1433", "127.0.0.1:1"), nil},
		{"verbose-logging", "on", on("log-level", "nes", "Global", "Verbose"), nil},
	}...)
}

func TestTheSimulatorHasALeverForEachValue(t *testing.T) {
	s := newSimulated(t)
	terminal, nes := terminalLevers(s.nes), nesLevers()
	s.wantHealthy(s.onTerminal, catalogue.Terminal)
	s.wantHealthy(s.onNES, catalogue.NESHost)
	for _, l := range terminal {
		s.pull(s.onTerminal, s.terminal, l)
	}
	for _, l := range nes {
		s.pull(s.onNES, s.nes, l)
	}
	pulled := map[string]bool{}
	for _, l := range append(terminal, nes...) {
		pulled[l.signal+" "+l.value] = true
	}
	for _, signal := range catalogue.Signals() {
		for _, value := range signal.Values[1:] {
			if !pulled[signal.Name+" "+value] && !elsewhere(signal.Name, value) {
				t.Errorf("nothing of `fleet-agent sim set` has %s be %q, and the proof of the catalogue needs it", signal.Name, value)
			}
		}
	}
}

// elsewhere says what no machine alone can be: a lease is the agent's own, as is its certificate, and which root is approved is the site's.
func elsewhere(signal, value string) bool {
	return signal == "agent-certificate" || signal == "verbose-logging" && value == "leased" || signal == "root-certificate" && value != "missing"
}

// wantHealthy waits until every signal of a machine has its first value.
func (s *simulated) wantHealthy(d *detect.Detector, target catalogue.Target) {
	s.t.Helper()
	for _, signal := range catalogue.Signals() {
		if (signal.Target == target || signal.Target == catalogue.Device) && signal.Name != "agent-certificate" && (signal.Name != "root-certificate" || target == catalogue.Terminal) {
			s.await(d, signal.Name, signal.Values[0])
		}
	}
}

func (s *simulated) pull(d *detect.Detector, dir string, l lever) {
	s.t.Helper()
	s.t.Logf("%s is to be %s", l.signal, l.value)
	for _, args := range l.set {
		s.do(dir, args...)
	}
	s.await(d, l.signal, l.value)
	for _, args := range l.back {
		s.do(dir, args...)
	}
}
