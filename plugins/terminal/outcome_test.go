package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	rollbackFailed = actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED
	succeeded      = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	unchanged      = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	failed         = actionv1.TaskStatus_TASK_STATUS_FAILED
	rolledBack     = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
	taskRefused    = actionv1.TaskStatus_TASK_STATUS_REFUSED
)

// sample is an nbe.toml as people leave them: comments, a key of their own, CRLF, no end of the last line.
const sample = "# line 4, tuned by Ada\r\nagent_url = \"ws://127.0.0.1:9120/socket/websocket\"\r\nrssi_tap_threshold = 0   # off\r\n" +
	"rssi_cutoff_close = -70\r\nrssi_cutoff_far = -75\r\nown_key = \"rssi_tap_threshold = 0\""

// template is the vendor's nbe.default.toml.
const template = "agent_url = \"ws://127.0.0.1:9120/socket/websocket\"\nrssi_window_tap = 10\nrssi_window_long = 50\nrssi_tap_threshold = 0\n" +
	"rssi_cutoff_close = -70\nrssi_cutoff_far = -75\n"

// site is what the server knows.
func site() *actionv1.Surroundings {
	return &actionv1.Surroundings{
		NesHosts:   []*actionv1.NESHost{{Host: "nes-lyon-1.example", Url: nesURL, Used: true}},
		NbeProfile: map[string]string{keyTapThreshold: "-42"},
	}
}

func centralSite() *actionv1.Surroundings {
	s := site()
	s.CentralAgent, s.CentralAgentUrl = true, centralURL
	return s
}

// terminal is a healthy terminal with the sample nbe.toml, after it was changed.
func terminal(changes ...func(*hosttest.Memory)) func() *hosttest.Memory {
	return func() *hosttest.Memory {
		m := hosttest.NewMemory()
		m.SetFile(bleservice.Root, bleservice.ConfigFile, sample)
		m.SetFile(bleservice.Root, bleservice.TemplateFile, template)
		m.SetProbe("nes-lyon-1.example", 443, &actionv1.NetProbeResult{Connected: true, Handshake: true, Trusted: true, HttpStatus: 200})
		m.SetProbe("agent.lyon.example", 9120, &actionv1.NetProbeResult{Connected: true})
		m.SetReachable("agent.lyon.example:9120", true)
		m.SetRegistry(nesKey, nesValue, "https://old.example/nes/")
		for _, change := range changes {
			change(m)
		}
		return m
	}
}

// setup is a terminal with every action of the plugin, at a site.
func setup(s *actionv1.Surroundings, changes ...func(*hosttest.Memory)) runnertest.Setup {
	return runnertest.Setup{
		Plugins: runnertest.Actions(actions()...), Machine: terminal(changes...), Ready: runnertest.Knowing(s),
	}
}

// outcome is an action on a terminal and what must come of it.
type outcome struct {
	params map[string]string
	// site is nil for the usual one.
	site    *actionv1.Surroundings
	arrange func(m *hosttest.Memory)
	want    actionv1.TaskStatus
	// reason, next and warning must be in the result's texts.
	reason, next, warning string
	// file is what nbe.toml must hold in the end: "" means as before.
	file string
	// calls is what must have been asked of the machine, nil when it does not matter.
	calls []string
}

func checkOutcomes(t *testing.T, action string, outcomes map[string]outcome) {
	t.Helper()
	for name, o := range outcomes {
		t.Run(name, func(t *testing.T) {
			if o.site == nil {
				o.site = site()
			}
			if o.arrange == nil {
				o.arrange = func(*hosttest.Memory) {}
			}
			runnertest.In(t, setup(o.site, o.arrange), func(b *runnertest.Bench) { o.check(t, b, action) })
		})
	}
}

func (o outcome) check(t *testing.T, b *runnertest.Bench, action string) {
	t.Helper()
	before := fileText(b.Machine)
	res := b.Run(action, o.params).Want(o.want).WantReason(o.reason)
	if !strings.Contains(res.GetNextStep(), o.next) {
		t.Errorf("next step is %q, want %q in it", res.GetNextStep(), o.next)
	}
	if warnings := strings.Join(res.GetPlan().GetWarnings(), "\n"); !strings.Contains(warnings, o.warning) {
		t.Errorf("warnings are %q, want %q in them", warnings, o.warning)
	}
	want := o.file
	if want == "" {
		want = before
	}
	if after := fileText(b.Machine); after != want {
		t.Errorf("nbe.toml is %q in the end, want %q", after, want)
	}
	if calls := b.Machine.Calls(); o.calls != nil && !slices.Equal(calls, o.calls) {
		t.Errorf("the machine was asked for %q, want %q", calls, o.calls)
	}
}

// fileText is what nbe.toml holds, and "none" when there is none.
func fileText(m *hosttest.Memory) string {
	if content, ok := m.File(bleservice.Root, bleservice.ConfigFile); ok {
		return content
	}
	return "none"
}

func removeFile(m *hosttest.Memory) { m.RemoveFile(bleservice.Root, bleservice.ConfigFile) }

const (
	stopBLE   = `stop "Nymi Bluetooth Endpoint"`
	startBLE  = `start "Nymi Bluetooth Endpoint"`
	writeFile = `write "endpoint/nbe.toml"`
)

func edited(old, text string) string { return strings.Replace(sample, old, text, 1) }

func TestNBEConfigSetOutcomes(t *testing.T) {
	tap := values(keyTapThreshold, "-42")
	checkOutcomes(t, "nbe-config-set", map[string]outcome{
		"one key": {
			params: tap, want: succeeded, next: "tap three times", file: edited("rssi_tap_threshold = 0 ", "rssi_tap_threshold = -42 "),
		},
		"no backup": {
			params: values(keyTapThreshold, "-42", "backup", "false"), want: succeeded, file: edited("rssi_tap_threshold = 0 ", "rssi_tap_threshold = -42 "),
			calls: []string{stopBLE, writeFile, startBLE},
		},
		"has it": {params: values(keyTapThreshold, "0"), want: unchanged, calls: []string{}},
		"no restart": {
			params: values(keyTapThreshold, "-42", "restart", "false", "backup", "false"), want: succeeded, next: "run ble-restart",
			file: edited("rssi_tap_threshold = 0 ", "rssi_tap_threshold = -42 "), calls: []string{writeFile},
		},
		"no file": {
			params: tap, arrange: removeFile, want: succeeded, file: strings.Replace(template, "threshold = 0", "threshold = -42", 1),
		},
		"no file at a central site": {
			params: tap, site: centralSite(), arrange: removeFile, want: taskRefused, reason: "is central", next: "agent_url=inventory", calls: []string{},
		},
		"central address": {
			params: values(keyAgentURL, urlInventory), site: centralSite(), want: succeeded, file: edited("ws://127.0.0.1:9120/socket/websocket", centralURL),
		},
		"central address that is not reached": {
			params: values(keyAgentURL, urlInventory), site: centralSite(), want: taskRefused, reason: "does not reach", next: "net-probe", calls: []string{},
			arrange: func(m *hosttest.Memory) {
				m.SetProbe("agent.lyon.example", 9120, &actionv1.NetProbeResult{ConnectProblem: "connection refused"})
			},
		},
		"central address whose port closes": {
			params: values(keyAgentURL, urlInventory), site: centralSite(), want: failed, reason: "port is reachable",
			arrange: func(m *hosttest.Memory) { m.SetReachable("agent.lyon.example:9120", false) },
		},
		"never back to the local one": {
			params: values(keyAgentURL, urlDefault), site: centralSite(), want: taskRefused, reason: "is central", calls: []string{},
			arrange: func(m *hosttest.Memory) {
				m.SetFile(bleservice.Root, bleservice.ConfigFile, edited("ws://127.0.0.1:9120/socket/websocket", centralURL))
			},
		},
		"far is not below close": {params: values(keyCutoffFar, "-70"), want: taskRefused, reason: "must be less than rssi_cutoff_close", next: "force=true", calls: []string{}},
		"both, wrong way round":  {params: values(keyCutoffFar, "-60", keyCutoffClose, "-65"), want: taskRefused, reason: "want less than rssi_cutoff_close", calls: []string{}},
		"far as wanted":          {params: values(keyCutoffFar, "-60", "force", "true", "backup", "false"), want: succeeded, warning: "must be less", file: edited("-75", "-60")},
		"close 0":                {params: values(keyCutoffClose, "0"), want: taskRefused, reason: "needs allow_proximity_bypass=true", calls: []string{}},
		"close 0, allowed":       {params: values(keyCutoffClose, "0", "allow_proximity_bypass", "true"), want: succeeded, warning: "proximity check", file: edited("-70", "0")},
		"broken file": {
			params: tap, want: taskRefused, reason: "nbe.toml cannot be read", next: "nbe-config-reset", calls: []string{},
			arrange: func(m *hosttest.Memory) {
				m.SetFile(bleservice.Root, bleservice.ConfigFile, "agent_url = “ws://x”\n")
			},
		},
		"does not stop": {
			params: tap, want: rollbackFailed, reason: "did not stop within 10s", next: "force_kill=true",
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{HangsOnStop: true}) },
		},
		"dies with the new values": {
			params: tap, want: failed, reason: "keeps running", next: "put back",
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{DieAfter: 5 * time.Second}) },
		},
	})
}

// TestWhatUsersTypeIsRefused holds the mistakes that people make to a refusal that changes nothing.
func TestWhatUsersTypeIsRefused(t *testing.T) {
	for typed, want := range map[string]string{
		"+42": "want a whole number", "-42abc": "want a whole number", "300": "want -127 to 0", "-128": "want -127 to 0", "-42.5": "want a whole number",
	} {
		checkOutcomes(t, "nbe-config-set", map[string]outcome{
			typed: {params: values(keyTapThreshold, typed), want: taskRefused, reason: want, calls: []string{}},
		})
	}
	for typed, want := range map[string]string{
		"http://nes-lyon-1.example/nes/": "want an https URL", "https://nes-lyon-1.example/nes": "want an https URL", "https://nes-lyon-1.example": "want an https URL",
		"https://user:pw@nes.example/nes/": "want an https URL", "https://nes.example/nes/?x=1/": "want an https URL",
	} {
		checkOutcomes(t, "nes-url-set", map[string]outcome{
			strings.ReplaceAll(typed, "/", "_"): {params: values("url", typed), want: taskRefused, reason: want, calls: []string{}},
		})
	}
}

// TestABackupIsKept holds that the earlier file is beside the new one, whole.
func TestABackupIsKept(t *testing.T) {
	runnertest.In(t, setup(site()), func(b *runnertest.Bench) {
		b.Run("nbe-config-set", values(keyTapThreshold, "-42")).Want(succeeded)
		names, err := b.Host().Files.List(t.Context(), bleservice.Root, ".")
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasSuffix(name, ".bak") })
		if i < 0 {
			t.Fatalf("the folder has %q, want a kept nbe.toml", names)
		}
		content, _ := b.Machine.File(bleservice.Root, names[i])
		if content != sample {
			t.Errorf("%s holds %q, want the earlier nbe.toml byte for byte", names[i], content)
		}
		b.Run("nbe-config-reset", values("source", fromBackup+names[i])).Want(succeeded)
		if got := fileText(b.Machine); got != sample {
			t.Errorf("after bringing it back nbe.toml is %q, want the earlier one byte for byte", got)
		}
	})
}

func TestNBEConfigResetOutcomes(t *testing.T) {
	brokenFile := func(m *hosttest.Memory) {
		m.SetFile(bleservice.Root, bleservice.ConfigFile, "rssi_tap_threshold = “-42”\n")
	}
	atCentral := func(m *hosttest.Memory) {
		m.SetFile(bleservice.Root, bleservice.ConfigFile, edited("ws://127.0.0.1:9120/socket/websocket", centralURL))
	}
	checkOutcomes(t, "nbe-config-reset", map[string]outcome{
		"profile":              {params: values("source", fromProfile), want: succeeded, file: edited("rssi_tap_threshold = 0 ", "rssi_tap_threshold = -42 ")},
		"profile, broken file": {params: values("source", fromProfile), arrange: brokenFile, want: succeeded, file: strings.Replace(template, "threshold = 0", "threshold = -42", 1)},
		"default":              {params: values("source", fromDefault), want: succeeded, warning: "BLE tap is off", file: template},
		"default, central": {
			params: values("source", fromDefault), site: centralSite(), arrange: atCentral, want: succeeded,
			file: strings.Replace(template, "ws://127.0.0.1:9120/socket/websocket", centralURL, 1),
		},
		"broken at a central site": {
			params: values("source", fromProfile), site: centralSite(), arrange: brokenFile, want: taskRefused, reason: "is central", next: "agent_url=inventory", calls: []string{},
		},
		"absent":          {params: values("source", fromNothing), want: succeeded, file: "none"},
		"absent, central": {params: values("source", fromNothing), site: centralSite(), arrange: atCentral, want: taskRefused, reason: "is central", calls: []string{}},
		"absent already":  {params: values("source", fromNothing), arrange: removeFile, want: unchanged, calls: []string{}},
		"no such file":    {params: values("source", "backup:nbe.toml.000000000000.bak"), want: taskRefused, reason: "there is no nbe.toml.000000000000.bak", calls: []string{}},
		"a way out":       {params: values("source", "backup:../../x.bak"), want: taskRefused, reason: "want site-profile, default, absent, or backup:", calls: []string{}},
		"dies with it": {
			params: values("source", fromDefault), want: failed, reason: "keeps running",
			arrange: func(m *hosttest.Memory) { m.Install(bleservice.Endpoint, hosttest.Script{DieAfter: 5 * time.Second}) },
		},
	})
}

func TestNESURLSetOutcomes(t *testing.T) {
	probe := func(r *actionv1.NetProbeResult) func(*hosttest.Memory) {
		return func(m *hosttest.Memory) { m.SetProbe("nes-lyon-1.example", 443, r) }
	}
	checkOutcomes(t, "nes-url-set", map[string]outcome{
		"another url": {params: values("url", nesURL), want: succeeded, next: "Nymi Band Application"},
		"both views":  {params: values("url", nesURL, "view", viewBoth), want: succeeded},
		"has it": {
			params: values("url", nesURL), want: unchanged, calls: []string{},
			arrange: func(m *hosttest.Memory) { m.SetRegistry(nesKey, nesValue, nesURL) },
		},
		"NES is away": {
			params: values("url", nesURL), want: rolledBack, reason: "NES answers", next: "net-probe", warning: "does not answer there now",
			arrange: probe(&actionv1.NetProbeResult{ConnectProblem: "timed out after 10s"}),
		},
		"NES is not trusted": {
			params: values("url", nesURL), want: rolledBack, reason: "not trusted",
			arrange: probe(&actionv1.NetProbeResult{Connected: true, Handshake: true, TrustProblem: "an unknown root"}),
		},
		"NES is away, not asked": {
			params: values("url", nesURL, "probe", "false"), want: succeeded, arrange: probe(&actionv1.NetProbeResult{ConnectProblem: "timed out"}),
		},
		"host of no site": {params: values("url", "https://nes-x.example/nes/"), want: succeeded, warning: "does not know this host"},
		"policy": {
			params: values("url", nesURL, "policy_value", `SOFTWARE\Policies\Nymi\URL`), want: taskRefused, reason: "group policy", next: "change the policy", calls: []string{},
			arrange: func(m *hosttest.Memory) { m.SetRegistry(`SOFTWARE\Policies\Nymi`, "URL", "https://policy.example/") },
		},
		"a way to other keys": {
			params: values("url", nesURL, "policy_value", `SYSTEM\x\y`), want: taskRefused, reason: `want a registry value below SOFTWARE\Policies`, calls: []string{},
		},
	})
}
