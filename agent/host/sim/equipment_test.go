package sim_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sim"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const nesName = "nes-lyon-1.example"

// newNES makes a simulated NES host whose processes end with the test.
func newNES(t *testing.T) string {
	t.Helper()
	return newTerminal(t, sim.Options{Role: sim.RoleNESHost, Hostname: nesName})
}

// shownNES is what Show says of a NES host.
type shownNES struct {
	Boots        int
	Registry     map[string]string
	Certificates map[string][]string
	Tools        map[string]string
	Web          struct {
		HTTPAddress  string `json:"http_address"`
		HTTPSAddress string `json:"https_address"`
		Bindings     []struct {
			SHA256 string `json:"certificate_sha256"`
			Store  string
			Port   uint32
		}
		WebConfigs map[string]string `json:"web_configs"`
	}
}

func showNES(t *testing.T, dir string) shownNES {
	t.Helper()
	content, err := sim.Show(dir)
	if err != nil {
		t.Fatalf("Show = %v, want the state", err)
	}
	var s shownNES
	if err := json.Unmarshal(content, &s); err != nil {
		t.Fatalf("Show = %s: %v; want JSON", content, err)
	}
	return s
}

// issue makes a PFX of the host's authority.
func issue(t *testing.T, dir string, o sim.IssueOptions) *sim.Issued {
	t.Helper()
	issued, err := sim.Issue(t.Context(), dir, o)
	if err != nil {
		t.Fatalf("Issue = %v, want a PFX", err)
	}
	return issued
}

func nesBinding(sha256 string) *actionv1.Binding {
	return &actionv1.Binding{Site: "Default Web Site", Address: "*", Port: 443, CertificateSha256: sha256, Store: "WebHosting", Exists: true}
}

func TestSimulatedTerminalConformsInEquipment(t *testing.T) {
	tools := []string{"writes", "hangs", "fails", "changed", "absent"}
	dir, nes, stranger := newTerminal(t, sim.Options{Tools: tools}), newNES(t), newTerminal(t, sim.Options{Role: sim.RoleNESHost, Hostname: "stranger.example"})
	for i, mode := range []string{"works", "hang", "crash", "changed", "missing"} {
		set(t, dir, "tool", tools[i], mode)
	}
	set(t, dir, "reach", nes)
	set(t, dir, "reach", stranger)
	set(t, dir, "trust", nes)
	hosttest.ConformanceOfEquipment(t, func(t *testing.T) hosttest.Equipment {
		emptyEndpoint(t, dir)
		set(t, dir, "adapter", "present")
		set(t, dir, "feature", "addable", "absent")
		return hosttest.Equipment{
			Host: open(t, dir), FilesRoot: host.EndpointRoot, ReplacesOpen: true, Store: "My", Power: hosttest.USBSuspendSetting(), Registry: true, Device: true,
			Detail: true, Reboot: true,
			Programs: &hosttest.ProgramEquipment{
				Writes: "writes", Hangs: "hangs", Fails: "fails", ExitCode: sim.ExitCode, Changed: "changed", Absent: "absent",
			},
			Features: &hosttest.FeatureEquipment{Installed: "IIS-ISAPIExtensions", Addable: "addable", Unknown: "unknown"},
			Peer:     &actionv1.ProbeTarget{Host: nesName, Port: 443},
			Stranger: &actionv1.ProbeTarget{Host: "stranger.example", Port: 443},
			Missing:  map[string]string{"Web": "a user terminal has no web server; see TestSimulatedNESHostConformsInEquipment"},
		}
	})
}

func TestSimulatedNESHostConformsInEquipment(t *testing.T) {
	dir := newNES(t)
	bound := showNES(t, dir).Web.Bindings[0].SHA256
	other := issue(t, dir, sim.IssueOptions{})
	if err := open(t, dir).Certificates.Import(t.Context(), "WebHosting", other.PFX, other.Password); err != nil {
		t.Fatalf("Import = %v, want success", err)
	}
	hosttest.ConformanceOfEquipment(t, func(t *testing.T) hosttest.Equipment {
		set(t, dir, "feature", "addable", "absent")
		return hosttest.Equipment{
			Host: open(t, dir), Store: "My", Power: hosttest.USBSuspendSetting(), Registry: true, Detail: true, Reboot: true,
			Web: &hosttest.WebEquipment{
				Bound: nesBinding(bound), Other: other.SHA256, Site: "Default Web Site", Pool: "NES", Location: "Default Web Site/crl",
			},
			Features: &hosttest.FeatureEquipment{Installed: "IIS-ISAPIExtensions", Addable: "addable", Unknown: "unknown"},
			Peer:     &actionv1.ProbeTarget{Host: nesName, Port: 443},
			Missing: map[string]string{
				"FilesRoot": "the files of a NES host are not to be emptied", "ReplacesOpen": "see the test of the user terminal", "Programs": "a NES host has no programs", "Device": "a NES host has no adapter",
				"Stranger": "see the test of the user terminal",
			},
		}
	})
}

func TestNESHostHasWhatItsAdministratorKnows(t *testing.T) {
	dir := newNES(t)
	h, state := open(t, dir), showNES(t, dir)
	for _, name := range []string{"W3SVC", "WAS", "CertSvc", "World Wide Web Publishing Service"} {
		s, err := h.Services.State(t.Context(), name)
		if err != nil || s.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING || s.GetService() != name {
			t.Errorf("service %q = %v, %v; want it running, by key and by display name", name, s, err)
		}
	}
	for _, application := range []string{"nes", "nenrollment", "authenticationservice"} {
		content, _, err := h.Files.Read(t.Context(), application, "web.config", 1<<20)
		if err != nil || !strings.Contains(string(content), `name="Global"`) {
			t.Errorf("web.config of %s = %q, %v; want one with switches", application, content, err)
		}
	}
	for file, root := range map[string]string{
		"NESg2.Admin/Default_Web_Site/nes_lyon/log": "programdata", "NESg2.install/log": "programdata",
		"NEnrollment/Default_Web_Site/nes_lyon_ES/log": "programdata", "AuthenticationService/Default_Web_Site/nes_lyon_AS/log": "programdata",
	} {
		if names, err := h.Files.List(t.Context(), root, file); err != nil || len(names) != 1 {
			t.Errorf("logs in %s = %q, %v; want one", file, names, err)
		}
	}
	key := filepath.Join(dir, "certificates", "WebHosting", state.Web.Bindings[0].SHA256+".key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file %v, %v; want it for its owner alone", info, err)
	}
}

func TestUserTerminalHasLogsAndTool(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	h := open(t, dir)
	for root, file := range map[string]string{
		"profiles": "operator/AppData/Roaming/Nymi/NEM/Logs/nem.log", "public": "unlock/Log/credential-provider.log",
	} {
		if s, err := h.Files.Stat(t.Context(), root, file); err != nil || !s.GetExists() || s.GetSize() == 0 {
			t.Errorf("log %s of root %s = %v, %v; want it there", file, root, s, err)
		}
	}
	if s, err := h.Programs.Look(t.Context(), sim.FirmwareLogTool); err != nil || !s.GetApproved() {
		t.Errorf("Look = %v, %v; want the tool approved", s, err)
	}
}

// get asks the host by HTTP, without TLS.
func get(t *testing.T, dir, path string) uint32 {
	t.Helper()
	r, err := open(t, dir).Network.Probe(t.Context(), &actionv1.ProbeTarget{Host: "localhost", Port: 80, HttpPath: path}, probeTimeout)
	if err != nil {
		t.Fatalf("Probe = %v, want a result", err)
	}
	return r.GetHttpStatus()
}

func TestListsOfRevokedCertificates(t *testing.T) {
	dir := newNES(t)
	for _, step := range []struct {
		flags string
		want  uint32
	}{{"None", 200}, {"Ssl", 403}, {"None", 200}} {
		set(t, dir, "ssl-flags", "Default Web Site/crl", step.flags)
		if status := get(t, dir, "/crl/NymiInfraRootCA.crl"); status != step.want {
			t.Errorf("with SSL flags %s: status %d, want %d", step.flags, status, step.want)
		}
	}
	if status := get(t, dir, "/nes/"); status != 403 {
		t.Errorf("application by HTTP: status %d, want 403: TLS is required", status)
	}
}

func TestRebootStartsTheMachineAnew(t *testing.T) {
	dir := newNES(t)
	h := open(t, dir)
	pid := func() uint32 {
		s, err := h.Services.State(t.Context(), "W3SVC")
		if err != nil {
			t.Fatal(err)
		}
		return s.GetPid()
	}
	set(t, dir, "reboot-pending", "yes")
	set(t, dir, "service", "CertSvc", "disabled")
	before := pid()
	set(t, dir, "reboot", "now")
	if now := pid(); now == 0 || now == before {
		t.Errorf("process %d before and %d after, want another", before, now)
	}
	if s, err := h.Services.State(t.Context(), "CertSvc"); err != nil || s.GetPid() != 0 {
		t.Errorf("disabled service = %v, %v; want it stopped", s, err)
	}
	if d, err := h.System.Detail(t.Context()); err != nil || d.GetRebootPending() || d.GetBootTime() == nil {
		t.Errorf("Detail = %v, %v; want nothing pending, and when it started", d, err)
	}
	if boots := showNES(t, dir).Boots; boots != 1 {
		t.Errorf("boots = %d, want 1", boots)
	}
}

func TestToolThatHangsIsEndedByTheNextAgent(t *testing.T) {
	dir := newTerminal(t, sim.Options{})
	set(t, dir, "tool", sim.FirmwareLogTool, "hang")
	h := open(t, dir)
	ran := make(chan error, 1)
	go func() {
		_, err := h.Programs.Run(t.Context(), sim.FirmwareLogTool)
		ran <- err
	}()
	record := filepath.Join(dir, "tools", sim.FirmwareLogTool, "process.json")
	awaitCondition(t, "the tool runs", func() bool { _, err := os.Stat(record); return err == nil })
	if err := open(t, dir).Programs.EndAll(t.Context()); err != nil {
		t.Fatalf("EndAll = %v, want success", err)
	}
	if err := <-ran; err != nil {
		t.Errorf("Run = %v, want how the tool ended", err)
	}
}

func TestRefusalsOfNESHosts(t *testing.T) {
	nes, terminal := newNES(t), newTerminal(t, sim.Options{})
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"unknown role", sim.Init(filepath.Join(t.TempDir(), "x"), sim.Options{Role: "band"}), "use user-terminal or nes-host"},
		{"bind on a terminal", sim.Set(terminal, "bind", "none"), `"bind" is not known here`},
		{"bind of what is not there", sim.Set(nes, "bind", "abc"), "fleet-agent sim show"},
		{"a certificate without time", sim.Set(nes, "certificate", "21d"), "valid-for=21d"},
		{"reach of a terminal", sim.Set(terminal, "reach", terminal), "is no NES host"},
		{"trust of nothing", sim.Set(terminal, "trust", "none.pem"), "none.pem"},
		{"unknown mode of a tool", sim.Set(terminal, "tool", sim.FirmwareLogTool, "sulk"), "works, hang, crash"},
		{"unknown tool", sim.Set(terminal, "tool", "hammer", "hang"), "does not exist"},
		{"unknown pool", sim.Set(nes, "pool", "none", "stopped"), "does not exist"},
		{"state of a pool", sim.Set(nes, "pool", "NES", "paused"), "use started or stopped"},
		{"no status", sim.Set(nes, "answer", "/nes/", "fine"), "an HTTP status"},
		{"too few words", sim.Set(nes, "answer", "/nes/"), "use `answer PATH STATUS[.SUBSTATUS]|none`"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, c.err, c.want)
		}
	}
}
