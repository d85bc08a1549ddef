package plugins

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

func TestPhaseOfAPluginProcess(t *testing.T) {
	proc := launch(t, "good")
	for range 2 {
		finish, err := proc.Phase(t.Context(), plan("nothing"), newMemory())
		if err != nil {
			t.Fatal(err)
		}
		if got := finish.GetPlan().GetReason(); got != "fine" {
			t.Errorf("plan's reason = %q, want the plugin's own: %q", got, "fine")
		}
	}
}

func TestPluginGetsNoEnvironmentOfTheAgent(t *testing.T) {
	t.Setenv("AGENT_SECRET", "hunter2")
	proc := launch(t, "good")
	seen := newMemory()
	if _, err := proc.Phase(t.Context(), plan("environment"), seen); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(seen.evidence["environment"]) {
		name, _, _ := strings.Cut(line, "=")
		if !expectedInEnvironment(name) {
			t.Errorf("the plugin's environment has %q; a plugin must inherit nothing from the agent", name)
		}
	}
	if here, _ := os.Getwd(); seen.evidence["folder"] == here {
		t.Errorf("the plugin runs in the agent's folder %q, want one of its own", here)
	}
	if strings.Contains(seen.evidence["environment"], "PRIVATE KEY") {
		t.Error("the plugin's key is in its environment, where other processes of the user can read it")
	}
}

// expectedInEnvironment says whether a variable is go-plugin's own, or one that Windows, or Wine, gives every process.
func expectedInEnvironment(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasPrefix(name, "PLUGIN_") || name == handshake.CookieKey ||
		runtime.GOOS == "windows" && (strings.HasPrefix(name, "SYSTEM") || strings.HasPrefix(name, "WINE"))
}

// TestMisbehaviourInAPhase holds that whatever a plugin does, the phase ends with an error that says what.
func TestMisbehaviourInAPhase(t *testing.T) {
	for do, want := range map[string]string{
		"die":      `it died in the middle of the phase (last output: "goodbye, cruel world")`,
		"huge":     "larger than max",
		"panic":    "panic in plan: out of coffee",
		"evidence": "more evidence than",
		"no-such":  `want one of nothing`,
	} {
		t.Run(do, func(t *testing.T) {
			proc := launch(t, "good")
			_, err := proc.Phase(t.Context(), plan(do), newMemory())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error = %v, want %q in it", err, want)
			}
		})
	}
}

func TestPhaseEndsWithItsContext(t *testing.T) {
	proc := launch(t, "good")
	ctx, cancel := context.WithCancel(t.Context())
	m := newMemory()
	go func() {
		<-m.waiting
		cancel()
	}()
	if _, err := proc.Phase(ctx, plan("stall"), m); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of the phase's context", err)
	}
}

// TestWaitEndsWithThePlugin holds that a long wait does not outlive the plugin that asked for it.
func TestWaitEndsWithThePlugin(t *testing.T) {
	proc := launch(t, "good")
	m := newMemory()
	go func() {
		<-m.waiting
		proc.child.tree.end()
	}()
	_, err := proc.Phase(t.Context(), plan("stall"), m)
	if err == nil || !strings.Contains(err.Error(), "died in the middle") {
		t.Errorf("error = %v, want that the plugin died", err)
	}
}

func TestCloseEndsGrandchildren(t *testing.T) {
	for _, how := range []string{"spawn", "spawn detached"} {
		t.Run(how, func(t *testing.T) {
			proc := launch(t, "good")
			m := newMemory()
			if _, err := proc.Phase(t.Context(), plan(how), m); err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(m.evidence["grandchild"])
			if err != nil {
				t.Fatal(err)
			}
			if !alive(t, pid) {
				t.Fatal("the plugin's child does not run, so this test would prove nothing")
			}
			if err := proc.Close(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the end of the process that the plugin started", func() bool { return !alive(t, pid) })
		})
	}
}

// TestPluginEndsWithAKilledAgent holds that an agent that is killed leaves no plugin behind.
func TestPluginEndsWithAKilledAgent(t *testing.T) {
	dir := install(t, "good", "doomed-agent")
	cmd := exec.Command(filepath.Join(dir, "doomed-agent"+executableSuffix))
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the agent was not killed, so this test would prove nothing")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("the agent did not start its plugin: %q", out)
	}
	waitFor(t, "the plugin's end after its agent's", func() bool { return !alive(t, pid) })
}

// TestOutputIsCappedAndNeverBlocks has a plugin print a gigabyte in each of the ways it can.
func TestOutputIsCappedAndNeverBlocks(t *testing.T) {
	check := func(t *testing.T, proc *process, want string) {
		text, truncated := proc.Output()
		if len(text) > maxOutput+16 || !truncated {
			t.Errorf("%d bytes of output were kept, truncated = %v; want at most %d and true", len(text), truncated, maxOutput)
		}
		if !strings.Contains(text, want) {
			t.Errorf("the end of the output is not there: want %q in it", want)
		}
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		if stats.HeapAlloc > 64<<20 {
			t.Errorf("the agent's heap has %d MiB after a chatty plugin", stats.HeapAlloc>>20)
		}
	}
	t.Run("before it serves", func(t *testing.T) {
		check(t, launch(t, "screamer"), "plugin chatty")
	})
	t.Run("while it serves", func(t *testing.T) {
		proc := launch(t, "good")
		if _, err := proc.Phase(t.Context(), plan("print"), newMemory()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the last line of output", func() bool {
			text, _ := proc.Output()
			return strings.HasSuffix(text, "\uFFFD that was all\n")
		})
		check(t, proc, "that was all")
	})
}

// TestEverythingIsWrittenToTheWhole: what a plugin wrote up to its end is there when Close has returned, to the byte.
func TestEverythingIsWrittenToTheWhole(t *testing.T) {
	var whole bytes.Buffer
	dir := install(t, "good")
	proc, err := find(t, pinOf(t, dir, "good")).Launch(t.Context(), &whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Phase(t.Context(), plan("megabyte"), newMemory()); err != nil {
		t.Fatal(err)
	}
	if err := proc.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole.Bytes(), megabyte()) {
		t.Errorf("%d bytes arrived, want the %d that were written, in their order", whole.Len(), len(megabyte()))
	}
	if text, cut := proc.Output(); !cut || !strings.HasSuffix(string(megabyte()), text) {
		t.Errorf("the end of the output has %d bytes, cut: %v; want the end, marked as cut", len(text), cut)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func TestLaunchRefusals(t *testing.T) {
	dir := install(t, "good", "mute", "mistaken", "quitter", "other-version", "flooder")
	for name, c := range map[string]struct {
		persona string
		spoil   func(*Pin)
		want    string
		refused bool // the runner must be able to tell that it was not allowed
	}{
		"never answers":             {persona: "mute", want: "it did not answer in time"},
		"other version":             {persona: "other-version", want: "speaks protocol 2, this agent speaks 1: update", refused: true},
		"not a plugin":              {persona: "mistaken", want: `something else than the plugin protocol`},
		"ends at once":              {persona: "quitter", want: `last output: "cannot find my shoes"`},
		"a gigabyte of non-plugin":  {persona: "flooder", want: "than the plugin protocol"},
		"other manifest":            {persona: "good", spoil: func(p *Pin) { p.Manifest.Version = "1.0.1" }, want: "describes itself other than when it was pinned", refused: true},
		"more rights in the binary": {persona: "good", spoil: func(p *Pin) { p.Manifest.Actions[0].ReadOnly = true }, want: "describes itself other than", refused: true},
		"file changed":              {persona: "good", spoil: func(p *Pin) { p.SHA256 = strings.Repeat("0", 64) }, want: "pinned is 0000", refused: true},
		"file gone":                 {persona: "good", spoil: func(p *Pin) { p.File = dir + "/gone/good" }, want: "is not there: reinstall the agent"},
	} {
		t.Run(name, func(t *testing.T) {
			pin := pinOf(t, dir, c.persona)
			if c.spoil != nil {
				c.spoil(&pin)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			proc, err := find(t, pin).Launch(ctx, nil)
			if err == nil {
				proc.Close()
				t.Fatal("the plugin was started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
			if _, refused := errors.AsType[*runner.RefusedError](err); refused != c.refused {
				t.Errorf("error %v is a refusal: %v, want %v", err, refused, c.refused)
			}
		})
	}
}

func TestLaunchLeavesNoFolderBehind(t *testing.T) {
	dir := install(t, "quitter", "good")
	// Not t.TempDir, whose name is too long for a socket in it.
	tmp, err := os.MkdirTemp("", "tmp") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	t.Setenv("TMPDIR", tmp)
	t.Setenv("TMP", tmp)
	if _, err := find(t, pinOf(t, dir, "quitter")).Launch(t.Context(), nil); err == nil {
		t.Fatal("the plugin was started")
	}
	proc, err := find(t, pinOf(t, dir, "good")).Launch(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := proc.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left in the temporary folder (%v), want nothing", left, err)
	}
}

var _ runner.Plugins = (*Set)(nil)
