package plugins

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// The test binary is a plugin too: under one of these names it behaves, or misbehaves, as the name says.
var personas = map[string]func(){
	"endpoint":      ofFirstRelease,
	"good":          func() { sdk.Serve("good", "1.0.0", testAction{}) },
	"mute":          func() { time.Sleep(time.Hour) },
	"mistaken":      func() { fmt.Println("hello, is this the plugin protocol?"); time.Sleep(time.Hour) },
	"quitter":       func() { fmt.Fprintln(os.Stderr, "cannot find my shoes"); os.Exit(3) },
	"other-version": func() { fmt.Println("1|2|unix|/nowhere|grpc|"); time.Sleep(time.Hour) },
	"flooder":       func() { flood(os.Stdout); flood(os.Stderr); sdk.Serve("flooder", "1.0.0", testAction{}) },
	"screamer":      func() { flood(os.Stderr); sdk.Serve("screamer", "1.0.0", testAction{}) },
	"grandchild":    func() { time.Sleep(time.Hour) },
	"doomed-agent":  doomedAgent,
}

func TestMain(m *testing.M) {
	if persona := personas[pluginName(os.Args[0])]; persona != nil {
		persona()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// doomedAgent starts the plugin beside it, says its process id and is killed without a chance to clean up.
func doomedAgent() {
	pin, err := unpinned(filepath.Join(filepath.Dir(os.Args[0]), "good"+executableSuffix))
	if err != nil {
		panic(err)
	}
	proc, err := start(context.Background(), pin, nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(proc.child.ID())
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	if err := self.Kill(); err != nil {
		panic(err)
	}
	time.Sleep(time.Hour)
}

// flood writes a gigabyte.
func flood(w io.Writer) {
	chunk := bytes.Repeat([]byte("all work and no play makes a plugin chatty...\n"), 1<<20/46)
	for range 1 << 10 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// megabyte is an output that is nowhere the same.
func megabyte() []byte {
	var b bytes.Buffer
	for n := 0; b.Len() < 1<<20; n++ {
		fmt.Fprintf(&b, "line %d\n", n)
	}
	return b.Bytes()
}

// testAction does in its Plan what the parameter "do" says.
type testAction struct{}

func (testAction) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "test", Version: "1.0.0", Summary: "Misbehave on request",
		Params: []*actionv1.Param{sdk.Enum("do", "nothing", "what to do",
			"nothing", "die", "huge", "panic", "environment", "spawn", "spawn detached", "stall", "print", "megabyte", "evidence")},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		MaxDuration:   durationpb.New(time.Minute),
	}
}

func (testAction) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	switch r.String("do") {
	case "die":
		fmt.Fprintln(os.Stderr, "goodbye, cruel world")
		os.Exit(7)
	case "huge":
		r.Evidence("huge", "%s", strings.Repeat("x", 5<<20))
	case "panic":
		panic("out of coffee")
	case "environment":
		dir, _ := os.Getwd()
		r.Evidence("environment", "%s", strings.Join(os.Environ(), "\n"))
		r.Evidence("folder", "%s", dir)
	case "spawn", "spawn detached":
		cmd := exec.Command(filepath.Join(filepath.Dir(os.Args[0]), "grandchild"+executableSuffix))
		if r.String("do") == "spawn detached" {
			detach(cmd)
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		r.Evidence("grandchild", "%d", cmd.Process.Pid)
	case "stall":
		return nil, r.Wait(ctx, time.Hour)
	case "print":
		flood(os.Stdout)
		fmt.Println("\xff that was all")
	case "megabyte":
		_, _ = os.Stdout.Write(megabyte())
	case "evidence":
		for range maxEvidence + 1 {
			r.Evidence("again", "and again")
		}
	}
	return sdk.NoChange("fine"), nil
}

func (testAction) Apply(context.Context, *sdk.ApplyRun) error { return nil }

func (testAction) Verify(context.Context, *sdk.VerifyRun) (*actionv1.Verdict, error) {
	return sdk.Verdict(sdk.Check("fine", "fine", "fine", true)), nil
}

// memory is a runner.Calls that remembers.
type memory struct {
	evidence map[string]string
	waiting  chan struct{}
}

func newMemory() *memory {
	return &memory{evidence: map[string]string{}, waiting: make(chan struct{}, 1)}
}

func (m *memory) Query(context.Context, *actionv1.Query) (*actionv1.QueryResult, error) {
	return nil, fmt.Errorf("nothing to see here")
}

func (m *memory) Effect(context.Context, *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	return &actionv1.RecordedEffect{}, nil
}

func (m *memory) Wait(ctx context.Context, _ time.Duration) error {
	m.waiting <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (m *memory) Progress(*actionv1.Progress)   {}
func (m *memory) Evidence(e *actionv1.Evidence) { m.evidence[e.GetName()] = e.GetValue() }

func (m *memory) Finding(*actionv1.Finding) {}

func (m *memory) Certificates(*actionv1.CertificateReport) {}

// install puts the test binary into a folder under the personas' names.
func install(t *testing.T, names ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range names {
		copyFile(t, self, filepath.Join(dir, name+executableSuffix))
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// pinOf pins a persona, with the manifest of a well-behaved one.
func pinOf(t *testing.T, dir, name string) Pin {
	t.Helper()
	p, err := unpinned(filepath.Join(dir, name+executableSuffix))
	if err != nil {
		t.Fatal(err)
	}
	p.Manifest = &actionv1.Manifest{Name: name, Version: "1.0.0", ProtocolVersion: 1, Actions: []*actionv1.Action{testAction{}.Manifest()}}
	return p
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func find(t *testing.T, pins ...Pin) *plugin {
	t.Helper()
	set, err := NewSet(pins, quiet())
	if err != nil {
		t.Fatal(err)
	}
	found, _, ok := set.Find("test")
	if !ok {
		t.Fatal("the pinned action was not found")
	}
	return found.(*plugin)
}

// launch starts a persona; the test fails when it does not start.
func launch(t *testing.T, name string) *process {
	t.Helper()
	dir := install(t, name, "grandchild")
	started, err := find(t, pinOf(t, dir, name)).Launch(t.Context(), nil)
	if err != nil {
		t.Fatalf("plugin %q did not start: %v", name, err)
	}
	proc := started.(*process)
	t.Cleanup(func() {
		if err := proc.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return proc
}

func plan(do string) *actionv1.Start {
	return &actionv1.Start{Phase: actionv1.Phase_PHASE_PLAN, Action: "test", Params: map[string]string{"do": do}}
}
