package install

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// runs checks which release is installed, runs and is pinned.
func (m *machine) runs(release string) {
	m.t.Helper()
	if got, want := m.read("program/"+ProgramFile()), "agent "+release; got != want || !m.up {
		m.t.Errorf("installed is %q and runs: %v; want %q, running", got, m.up, want)
	}
	if !samePins(m.path("data/pins.json"), m.path("program/plugins")) {
		m.t.Errorf("the pins are not those of the plugins in place: the agent would refuse to run them")
	}
	for _, left := range []string{"program.new", "program.old"} {
		if _, err := os.Stat(m.path(left)); err == nil {
			m.t.Errorf("%s is left behind, want nothing beside the program folder", left)
		}
	}
}

func TestFirstInstallation(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	m.runs("v1")
	if want := []string{"enroll", "install"}; !slices.Equal(m.seen, want) {
		t.Errorf("did %v, want %v", m.seen, want)
	}
	if m.read("program/install.cmd") != "" {
		t.Error("install.cmd was copied, want the programs alone")
	}
}

// TestAgainChangesNothing: software distribution runs it at each start of the machine.
func TestAgainChangesNothing(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	did, err := m.install(m.config(m.path("v1")))
	if err != nil || !strings.Contains(did, "nothing was changed") || len(m.seen) != 0 {
		t.Errorf("the second time: %q, %v, did %v; want success and that nothing was changed", did, err, m.seen)
	}
	m.up = false
	if did, err = m.install(m.config(m.path("v1"))); err != nil || !strings.Contains(did, "started") {
		t.Errorf("with the service stopped: %q, %v; want it started", did, err)
	}
	m.runs("v1")
}

func TestReplacement(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	did, err := m.install(m.config(m.release("v2")))
	if err != nil || !strings.Contains(did, "agent v1 by agent v2") {
		t.Errorf("replacement: %q, %v; want it to name both releases", did, err)
	}
	m.runs("v2")
	if want := []string{"stop", "start"}; !slices.Equal(m.seen, want) {
		t.Errorf("did %v, want %v: an enrolled machine is not enrolled again", m.seen, want)
	}
}

// TestAReleaseThatDoesNotComeUp: the earlier one runs again, with its pins, and the journal as it can read it.
func TestAReleaseThatDoesNotComeUp(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	c := m.config(m.release("broken"))
	c.Settings = m.write("given.yaml", "log_level: debug\n")
	c.Service.Args = append(c.Service.Args, "--config", Settings(c.DataDir))
	_, err := m.install(c)
	var taken *TakenBackError
	if !errors.As(err, &taken) {
		t.Fatalf("error is %v, want that the release was taken back", err)
	}
	m.runs("v1")
	if got := m.service.Args; len(got) != 2 {
		t.Errorf("the service has the arguments %q, want those of before", got)
	}
	if got := m.read("data/agent.yaml"); got != "" {
		t.Errorf("the settings are %q, want none, as before", got)
	}
}

// TestWhatIsFoundBeforeAnythingIsStopped: the agent that runs never notices.
func TestWhatIsFoundBeforeAnythingIsStopped(t *testing.T) {
	cases := map[string]func(m *machine, c *Config){
		"a plugin was changed": func(m *machine, _ *Config) { m.write("v2/plugins/endpoint", "another") },
		"no plugins.lock":      func(m *machine, _ *Config) { _ = os.Remove(m.path("v2/plugins/plugins.lock")) },
		"no program":           func(m *machine, _ *Config) { _ = os.Remove(m.path("v2/" + ProgramFile())) },
		"does not start":       func(m *machine, _ *Config) { m.write("v2/"+ProgramFile(), "blocked") },
		"others' files":        func(m *machine, _ *Config) { m.write("program/payroll.xlsx", "x") },
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.mustInstall(m.release("v1"))
			c := m.config(m.release("v2"))
			spoil(m, &c)
			_, err := m.install(c)
			var refused *RefusedError
			if !errors.As(err, &refused) || len(m.seen) != 0 {
				t.Errorf("error %v, did %v; want a refusal before anything is done", err, m.seen)
			}
			m.runs("v1")
		})
	}
}

// TestAFirstInstallationThatFails leaves no programs behind.
func TestAFirstInstallationThatFails(t *testing.T) {
	m := newMachine(t)
	m.enrollFails = errors.New("denied")
	if _, err := m.install(m.config(m.release("v1"))); !errors.Is(err, m.enrollFails) {
		t.Errorf("error is %v, want the enrolment's own", err)
	}
	if _, err := os.Stat(m.path("program")); err == nil || m.service != nil {
		t.Error("programs or a service are left behind, want neither")
	}
	m.enrollFails = nil
	m.mustInstall(m.path("v1"))
	m.runs("v1")
}

func TestAnAgentThatDoesNotStopIsNotReplaced(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	m.stopFails = errors.New("takes too long")
	_, err := m.install(m.config(m.release("v2")))
	var down *DownError
	if !errors.As(err, &down) {
		t.Errorf("error is %v, want that the agent may not be running", err)
	}
	m.runs("v1")
}

// TestCutOff: a power cut at any step is mended by the next run.
func TestCutOff(t *testing.T) {
	cuts := map[string]func(m *machine) error{
		"while copying":          func(m *machine) error { return os.MkdirAll(m.path("program.new/plugins"), 0o755) },
		"between the renames":    func(m *machine) error { return os.Rename(m.path("program"), m.path("program.old")) },
		"before the pins":        func(m *machine) error { return m.swapFor("v2") },
		"before the program ran": func(m *machine) error { m.up = false; return nil },
	}
	for name, cut := range cuts {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.mustInstall(m.release("v1"))
			m.release("v2")
			if err := cut(m); err != nil {
				t.Fatal(err)
			}
			m.mustInstall(m.path("v2"))
			m.runs("v2")
		})
	}
}

// swapFor puts a release in place and does no more.
func (m *machine) swapFor(name string) error {
	m.up = false
	r, err := readRelease(m.path(name))
	if err != nil {
		return err
	}
	return errors.Join(stage(r, m.path("program")), swap(context.Background(), m.path("program")))
}

func TestNewSettingsAreTakenAndStay(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	c := m.config(m.path("v1"))
	c.Settings = m.write("given.yaml", "log_level: debug\n")
	if _, err := m.install(c); err != nil {
		t.Fatal(err)
	}
	m.runs("v1")
	m.mustInstall(m.release("v2"))
	if got := m.read("data/agent.yaml"); got != "log_level: debug\n" {
		t.Errorf("the settings are %q, want those that were given before", got)
	}
}

func TestOneAtATime(t *testing.T) {
	m := newMachine(t)
	c := m.config(m.release("v1"))
	inner := c.Enroll
	var second error
	c.Enroll = func(ctx context.Context, folder string) error {
		_, second = Install(ctx, m.config(m.path("v1")))
		return inner(ctx, folder)
	}
	if _, err := m.install(c); err != nil {
		t.Fatal(err)
	}
	if second == nil || !strings.Contains(second.Error(), "other installation") {
		t.Errorf("a second installation meanwhile: %v, want a refusal", second)
	}
}

func (m *machine) removal(purge bool) Removal {
	c := m.config("")
	return Removal{
		Program: c.Program, DataDir: c.DataDir, Purge: purge, Name: "agent", Services: m, Log: c.Log,
		Prepare: func(context.Context, []string) error { return nil },
	}
}

func TestUninstall(t *testing.T) {
	for _, purge := range []bool{false, true} {
		m := newMachine(t)
		m.mustInstall(m.release("v1"))
		for range 2 { // the second time there is nothing to remove
			if err := Uninstall(t.Context(), m.removal(purge)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(m.path("program")); err == nil || m.service != nil {
			t.Error("programs or a service are left behind, want neither")
		}
		if kept := m.read("data/agent.json") != ""; kept == purge {
			t.Errorf("purge %v: the identity is kept: %v", purge, kept)
		}
	}
}

// TestNothingIsRemovedWhenChangesStay: somebody has to put back what was to end by itself.
func TestNothingIsRemovedWhenChangesStay(t *testing.T) {
	m := newMachine(t)
	m.mustInstall(m.release("v1"))
	r := m.removal(true)
	r.Prepare = func(context.Context, []string) error { return errors.New("nbe.toml is held") }
	if err := Uninstall(t.Context(), r); err == nil || !strings.Contains(err.Error(), "nbe.toml") {
		t.Errorf("error is %v, want what could not be put back", err)
	}
	m.runs("v1")
}

func TestPurgeTakesOnlyAnAgentsFolder(t *testing.T) {
	m := newMachine(t)
	m.write("data/letters/one.txt", "dear")
	var refused *RefusedError
	if err := Uninstall(t.Context(), m.removal(true)); !errors.As(err, &refused) {
		t.Errorf("error is %v, want a refusal", err)
	}
	if m.read(filepath.Join("data", "letters", "one.txt")) == "" {
		t.Error("a folder of somebody else's was removed")
	}
}
