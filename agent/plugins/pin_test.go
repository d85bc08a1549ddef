package plugins

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestLockRoundTrip(t *testing.T) {
	dir := install(t, "good")
	if err := WriteLock(dir, ""); err != nil {
		t.Fatal(err)
	}
	lock := filepath.Join(dir, LockName)
	first, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(dir, ""); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(lock); !bytes.Equal(first, second) {
		t.Errorf("two locks of the same plugins differ, so a build could not be compared:\n%s\n%s", first, second)
	}
	pins, err := ReadLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Pin{pinOf(t, dir, "good")}, pins, protocmp.Transform()); diff != "" {
		t.Errorf("pins read from the lock differ from the plugins (-want +got):\n%s", diff)
	}
	copied := filepath.Join(t.TempDir(), "pins.json")
	if err := SavePins(copied, pins); err != nil {
		t.Fatal(err)
	}
	loaded, err := LoadPins(copied)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pins, loaded, protocmp.Transform()); diff != "" {
		t.Errorf("the agent's copy differs (-want +got):\n%s", diff)
	}
	if info, _ := os.Stat(copied); executableSuffix == "" && info.Mode().Perm() != 0o600 {
		t.Errorf("the agent's copy has mode %v, want 0600", info.Mode())
	}
}

// TestLockDescribesFromATwin holds that the hash is of the plugin in the folder and the manifest from the one that runs here.
func TestLockDescribesFromATwin(t *testing.T) {
	native, foreign := install(t, "good"), t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "good.exe"), []byte("for another system"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteLock(foreign, native); err != nil {
		t.Fatal(err)
	}
	pins, err := ReadLock(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if len(pins) != 1 || filepath.Base(pins[0].File) != "good.exe" || pins[0].Manifest.GetName() != "good" {
		t.Errorf("pins = %v, want good.exe with the manifest of its twin", pins)
	}
}

func TestWriteLockRefusals(t *testing.T) {
	for name, arrange := range map[string]func(dir string){
		"no plugins":     func(string) {},
		"not a plugin":   func(dir string) { write(t, dir, "README", "read me") },
		"does not start": func(dir string) { write(t, dir, "broken", "no program") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			arrange(dir)
			if err := WriteLock(dir, ""); err == nil {
				t.Error("a lock was written")
			}
			if _, err := os.Stat(filepath.Join(dir, LockName)); err == nil {
				t.Error("a failed lock left a file behind")
			}
		})
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestReadLockRefusals(t *testing.T) {
	hash := strings.Repeat("0", 64)
	manifest := `{"name":"good","version":"1.0.0","protocolVersion":1,"actions":[{"name":"test"}]}`
	entry := func(file, sum, manifest string) string {
		return `{"version":1,"plugins":[{"file":"` + file + `","sha256":"` + sum + `","manifest":` + manifest + `}]}`
	}
	for name, c := range map[string]struct{ lock, want string }{
		"none":                {"", "fleet-agent plugins lock"},
		"not JSON":            {"hello", "not a list of pinned plugins"},
		"other format":        {`{"version":2,"plugins":[]}`, "format version 2"},
		"unknown field":       {`{"version":1,"plugins":[],"sudo":true}`, "sudo"},
		"unknown capability":  {entry("good", hash, `{"name":"good","actions":[{"capabilities":[{"kind":"CAPABILITY_KIND_FORMAT_DISK"}]}]}`), "FORMAT_DISK"},
		"path":                {entry("../good", hash, manifest), "without a path"},
		"absolute path":       {entry("/bin/good", hash, manifest), "without a path"},
		"Windows path":        {entry(`..\\good`, hash, manifest), "without a path"},
		"Windows drive":       {entry(`c:good`, hash, manifest), "without a path"},
		"dots":                {entry("..", hash, manifest), "without a path"},
		"changed file":        {entry("good", hash, manifest), "pinned is 000"},
		"no hash":             {entry("good", "", manifest), "SHA-256"},
		"other name":          {entry("better", hash, manifest), `its file is named "better"`},
		"other protocol":      {entry("good", hash, strings.Replace(manifest, `n":1`, `n":2`, 1)), "speaks protocol 2, this agent speaks 1"},
		"offers nothing":      {entry("good", hash, `{"name":"good","protocolVersion":1}`), "offers no action"},
		"file is not there":   {strings.ReplaceAll(entry("good", hash, manifest), "good", "gone"), "is not there"},
		"two lists":           {`{"version":1,"plugins":[]}{"version":1,"plugins":[]}`, "something follows"},
		"huge":                {`{"version":1,"plugins":[]` + strings.Repeat(" ", maxPins) + "}", "is larger than"},
		"folder for a plugin": {strings.ReplaceAll(entry("good", hash, manifest), "good", "folder"), `plugin "folder": `},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "good", "changed")
			if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
				t.Fatal(err)
			}
			if c.lock != "" {
				write(t, dir, LockName, c.lock)
			}
			_, err := ReadLock(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestNewSetRefusals(t *testing.T) {
	root := t.TempDir()
	pin := func(name, action string) Pin {
		return Pin{File: filepath.Join(root, name), SHA256: strings.Repeat("a", 64), Manifest: &actionv1.Manifest{
			Name: name, ProtocolVersion: 1, Actions: []*actionv1.Action{{Name: action}}}}
	}
	relative := pin("good", "test")
	relative.File = "good"
	foreign := pin("good", "test")
	foreign.Manifest.ProtocolVersion = 2
	asker := func(spoil func(*actionv1.Action)) Pin {
		p := pin("good", "test")
		p.Manifest.Actions[0].Capabilities = []*actionv1.Capability{sdk.AskPerson()}
		spoil(p.Manifest.GetActions()[0])
		return p
	}
	for name, c := range map[string]struct {
		pins []Pin
		want string
	}{
		"relative path":    {[]Pin{relative}, "not absolute"},
		"foreign protocol": {[]Pin{foreign}, "speaks protocol 2"},
		"same plugin":      {[]Pin{pin("good", "a"), pin("good", "b")}, "pinned twice"},
		"same action":      {[]Pin{pin("good", "test"), pin("evil", "test")}, `action "test" is offered by plugin "good" already`},
		"bad name":         {[]Pin{pin("Good", "test")}, "lower case"},
		"asks for whom":    {[]Pin{asker(func(a *actionv1.Action) { a.Capabilities[0].Object = "ada" })}, `action "test": the right to ask a person has the object "ada"`},
		"asks and reads":   {[]Pin{asker(func(a *actionv1.Action) { a.ReadOnly = true })}, "which is an effect"},
		"asks in no time":  {[]Pin{asker(func(a *actionv1.Action) { a.MaxDuration = durationpb.New(10 * time.Second) })}, "want more than 10s"},
		"no manifest":      {[]Pin{{File: root + "/x", SHA256: strings.Repeat("a", 64)}}, "lower case"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewSet(c.pins, quiet()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
	set, err := NewSet([]Pin{pin("good", "a"), pin("better", "b")}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := set.Find("c"); ok {
		t.Error("an action that nobody offers was found")
	}
	if _, a, _ := set.Find("b"); a.GetName() != "b" || len(set.Report()) != 2 {
		t.Errorf("found %v among %v", a, set.Report())
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	out := new(tail)
	for i := range 10 * maxOutput {
		fmt.Fprintf(out, "%c", 'a'+i%26)
	}
	fmt.Fprint(out, "the end")
	text, cut := out.Text()
	if len(text) != maxOutput || !cut || !strings.HasSuffix(text, "the end") {
		t.Errorf("%d bytes kept, cut = %v, want the last %d and true", len(text), cut, maxOutput)
	}
	short := new(tail)
	fmt.Fprint(short, "line one\nline two\r\n\n")
	if text, cut := short.Text(); cut || text != "line one\nline two\r\n\n" || short.lastLine() != "line two" {
		t.Errorf("output %q, last line %q, want it whole", text, short.lastLine())
	}
}
