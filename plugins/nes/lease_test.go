package main

import (
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	succeeded   = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	unchanged   = actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
	taskRefused = actionv1.TaskStatus_TASK_STATUS_REFUSED
)

// files reads the three files of a host.
func files(t *testing.T, m *hosttest.Memory) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range neshost.Names() {
		text, ok := m.File(name, neshost.WebConfig)
		if !ok {
			t.Fatalf("%s/%s is not there any more", name, neshost.WebConfig)
		}
		all[name] = text
	}
	return all
}

func wantFiles(t *testing.T, when string, m *hosttest.Memory, want map[string]string) {
	t.Helper()
	for name, text := range files(t, m) {
		if text != want[name] {
			t.Errorf("%s: %s/%s is\n%q, want\n%q", when, name, neshost.WebConfig, text, want[name])
		}
	}
}

// encodings are the forms in which a web.config may come.
func encodings() map[string]sample.Encoding {
	return map[string]sample.Encoding{"as Visual Studio writes": sample.Windows(), "plain": {}, "UTF-16": {CRLF: true, BOM: true, UTF16LE: true}}
}

// encoded has a host's files in an encoding.
func encoded(e sample.Encoding) func(*hosttest.Memory) {
	return func(m *hosttest.Memory) {
		for _, name := range neshost.Names() {
			m.SetFile(name, neshost.WebConfig, sample.WebConfig(name, e))
		}
	}
}

// TestVerboseLoggingGoesBackByItself: at the end of ttl the files have their earlier bytes, IIS was restarted, and nobody was needed for it:
// neither the server, nor the plugin, nor the process of the agent that raised the levels, nor the boot that it was in.
func TestVerboseLoggingGoesBackByItself(t *testing.T) {
	for name, e := range encodings() {
		for what, meanwhile := range map[string]func(*runnertest.Bench){
			"nothing happens":        func(*runnertest.Bench) {},
			"the agent is restarted": func(b *runnertest.Bench) { b.Stop(); b.Start() },
			"the machine is rebooted": func(b *runnertest.Bench) {
				b.Stop()
				b.Machine.Reboot()
				time.Sleep(time.Minute)
				b.Start()
			},
			"the agent is away over the end": func(b *runnertest.Bench) { b.Stop(); time.Sleep(3 * time.Hour); b.Start() },
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				bench(t, verboseLogging{}, onHost(encoded(e)), func(b *runnertest.Bench) {
					before := files(t, b.Machine)
					res := b.Run("verbose-logging", params("state", "on", "ttl", "2h")).Want(succeeded).WantNext("after 2h0m0s")
					if len(res.GetLeases()) != 1 || len(res.GetLeases()[0].GetResources()) != 3 {
						t.Errorf("the result has the leases %v, want one on the three files", res.GetLeases())
					}
					wantVerbose(t, b.Machine, before)
					b.Runner.SessionEnded()
					meanwhile(b)
					time.Sleep(2*time.Hour + time.Minute)
					wantFiles(t, "after the end", b.Machine, before)
					if b.Machine.PID(neshost.WebService) == 0 {
						t.Error("W3SVC does not run after the end, want it restarted")
					}
				})
			})
		}
	}
}

// wantVerbose wants that a file differs from what it was in the values of its switches alone.
func wantVerbose(t *testing.T, m *hosttest.Memory, before map[string]string) {
	t.Helper()
	for name, text := range files(t, m) {
		if text == before[name] {
			t.Errorf("%s/%s is as before, want its switches Verbose", name, neshost.WebConfig)
		}
	}
}

// TestAHandEditIsKept: what somebody has changed meanwhile stays, and the rest goes back.
func TestAHandEditIsKept(t *testing.T) {
	bench(t, verboseLogging{}, onHost(), func(b *runnertest.Bench) {
		before := files(t, b.Machine)
		b.Run("verbose-logging", params("state", "on", "ttl", "2h")).Want(succeeded)
		raised, _ := b.Machine.File("nes", neshost.WebConfig)
		edited := strings.Replace(raised, `"Verbose"`, `"Critical"`, 1)
		if edited == raised {
			t.Fatalf("no switch to edit by hand in %q", raised)
		}
		b.Machine.SetFile("nes", neshost.WebConfig, edited)
		time.Sleep(3 * time.Hour)
		now := files(t, b.Machine)
		if strings.Count(now["nes"], `"Critical"`) != strings.Count(before["nes"], `"Critical"`)+1 || strings.Contains(now["nes"], `"Verbose"`) {
			t.Errorf("the file with a hand edit is %q, want the edit kept and no switch left Verbose", now["nes"])
		}
		for _, name := range []string{neshost.Enrollment, neshost.Authentication} {
			if now[name] != before[name] {
				t.Errorf("%s is %q, want %q as before", name, now[name], before[name])
			}
		}
	})
}

// TestVerboseLoggingOff: state=off puts the levels back at once; on again is a new lease.
func TestVerboseLoggingOff(t *testing.T) {
	bench(t, verboseLogging{}, onHost(), func(b *runnertest.Bench) {
		before := files(t, b.Machine)
		on := params("state", "on", "ttl", "2h")
		b.Run("verbose-logging", on).Want(succeeded)
		b.Run("verbose-logging", on).Want(unchanged).WantNext("go back by themselves at ")
		b.Run("verbose-logging", params("state", "set", "level", "Error", "ttl", "1h")).Want(taskRefused).WantReason("held by lease").WantNext("state=off")
		b.Run("verbose-logging", params("state", "off")).Want(succeeded)
		wantFiles(t, "after state=off", b.Machine, before)
		b.Run("verbose-logging", params("state", "off")).Want(unchanged)
		b.Run("verbose-logging", on).Want(succeeded)
		time.Sleep(3 * time.Hour)
		wantFiles(t, "after the end of the second lease", b.Machine, before)
	})
}

// TestVerboseLoggingIsRefused: what is not right is refused, and not a byte is changed.
func TestVerboseLoggingIsRefused(t *testing.T) {
	numbers := strings.ReplaceAll(webConfig("nes"), `value="Information"`, `value="3"`)
	curly := strings.Replace(webConfig("nes"), `value="Information"`, "value=\u201cInformation\u201d", 1)
	unclosed := strings.Replace(webConfig("nes"), "</system.diagnostics>", "<system.diagnostics>", 1)
	for name, c := range map[string]struct {
		file   string
		params map[string]string
		reason string
	}{
		"no ttl":                        {webConfig("nes"), params("state", "on"), "needs ttl to be given"},
		"set, no level":                 {webConfig("nes"), params("state", "set", "ttl", "1h"), "needs level to be given"},
		"shorter than the agent allows": {webConfig("nes"), params("state", "on", "ttl", "1m"), "5m"},
		"longer than a day":             {webConfig("nes"), params("state", "on", "ttl", "25h"), "want 1s to 24h"},
		"numbers":                       {numbers, params("state", "on", "ttl", "1h"), "has the number 3"},
		"curly quotes":                  {curly, params("state", "on", "ttl", "1h"), "line "},
		"an end tag that is none":       {unclosed, params("state", "on", "ttl", "1h"), "line "},
	} {
		t.Run(name, func(t *testing.T) {
			setup := onHost(func(m *hosttest.Memory) { m.SetFile("nes", neshost.WebConfig, c.file) })
			bench(t, verboseLogging{}, setup, func(b *runnertest.Bench) {
				before := files(t, b.Machine)
				res := b.Run("verbose-logging", c.params).Want(taskRefused).WantReason(c.reason)
				if res.GetNextStep() == "" {
					t.Errorf("next step is empty, want what to do about %q", res.GetReason())
				}
				wantFiles(t, "after a refusal", b.Machine, before)
				if calls := b.Machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was asked for %v, want nothing", calls)
				}
			})
		})
	}
}

// TestVerboseLoggingWithoutServer: neither raising nor putting back needs the server; only the probes are left to a person.
func TestVerboseLoggingWithoutServer(t *testing.T) {
	setup := onHost()
	setup.Ready = runnertest.Knowing(nil)
	bench(t, verboseLogging{}, setup, func(b *runnertest.Bench) {
		b.Run("verbose-logging", params("state", "on", "ttl", "2h")).Want(succeeded).WantNext("see by hand that the NES applications answer")
	})
}

// TestVerboseLoggingThatBreaksAnApplicationIsUndone: an application that answers 5xx afterwards has the files put back.
func TestVerboseLoggingThatBreaksAnApplicationIsUndone(t *testing.T) {
	bench(t, verboseLogging{}, onHost(func(m *hosttest.Memory) { m.Answer("/nes/", 500) }), func(b *runnertest.Bench) {
		before := files(t, b.Machine)
		res := b.Run("verbose-logging", params("state", "on", "ttl", "2h")).WantReason("HTTP 500")
		if res.GetStatus() == succeeded || len(res.GetLeases()) > 0 {
			t.Errorf("result = %v, want a failure without a lease", res.TaskResult)
		}
		wantFiles(t, "after the failure", b.Machine, before)
	})
}

// TestLeasesOfAFewSeconds: a site may configure a lesser minimum, as for a trial.
func TestLeasesOfAFewSeconds(t *testing.T) {
	setup := onHost()
	setup.Configure = func(c *runner.Config) { c.MinLease = time.Second }
	bench(t, verboseLogging{}, setup, func(b *runnertest.Bench) {
		before := files(t, b.Machine)
		b.Run("verbose-logging", params("state", "on", "ttl", "20s")).Want(succeeded)
		time.Sleep(time.Minute)
		wantFiles(t, "after twenty seconds", b.Machine, before)
	})
}

// TestAsAProcess takes the whole way once in real time: lock, pins, a process over mutual TLS, the runner, a lease.
func TestAsAProcess(t *testing.T) {
	setup := onHost()
	offered, pin := runnertest.Program(t, "nes")
	setup.Plugins = offered
	runnertest.On(t, setup, func(b *runnertest.Bench) {
		res := b.Run("verbose-logging", params("state", "on", "ttl", "2h")).Want(succeeded)
		if res.GetPluginSha256() != pin.SHA256 || len(res.GetLeases()) != 1 {
			t.Errorf("result = %v, want a lease, by the pinned plugin %s", res.TaskResult, pin.SHA256)
		}
	})
}
