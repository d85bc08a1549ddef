package collect

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// machine is a folder for each root, with files that were last written to so long before noon.
type machine struct {
	t     testing.TB
	dir   string
	files host.Files
}

func newMachine(t testing.TB) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir()}
	roots := map[string]string{}
	for _, root := range []string{"profiles", "programdata", "public", "nes", "nenrollment", "authenticationservice", "endpoint", "eventlogs"} {
		roots[root] = filepath.Join(m.dir, root)
		if err := os.MkdirAll(roots[root], 0o755); err != nil {
			t.Fatal(err)
		}
	}
	local, err := host.Local(host.LocalConfig{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	m.files = local.Files
	return m
}

func (m *machine) put(name, content string, before time.Duration) {
	m.t.Helper()
	path := filepath.Join(m.dir, filepath.FromSlash(name))
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, noon, noon.Add(-before)))
	if err != nil {
		m.t.Fatal(err)
	}
}

// collect makes an archive and reads it: its files by name, and its manifest.
func (m *machine) collect(c *actionv1.Collect) (map[string]string, manifest, *actionv1.Collection) {
	m.t.Helper()
	if c.MaxBytes == 0 {
		c.MaxBytes = 1 << 20
	}
	var out bytes.Buffer
	got, err := Archive(m.t.Context(), m.files, &out, c, About{Terminal: "lyon-01", Site: "lyon", Job: "j-1", Made: noon})
	if err != nil {
		m.t.Fatal(err)
	}
	content := unzip(m.t, out.Bytes())
	var told manifest
	if err := json.Unmarshal([]byte(content["manifest.json"]), &told); err != nil {
		m.t.Fatal(err)
	}
	delete(content, "manifest.json")
	return content, told, got
}

func unzip(t testing.TB, archive []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[f.Name] = string(text)
	}
	return content
}

const nem = "AppData/Roaming/Nymi/NEM/Logs/"

func TestEveryUsersLogsAreCollected(t *testing.T) {
	m := newMachine(t)
	m.put("profiles/ada/"+nem+"nem.log", "ada's\n", time.Hour)
	m.put("profiles/ada/"+nem+"nymi_api.log", "api\n", time.Hour)
	m.put("profiles/bob/"+nem+"nem.log", "bob's\n", time.Hour)
	m.put("profiles/ada/secret.txt", "private", time.Hour)
	m.put("profiles/ada/"+nem+"folder/deeper.log", "deeper", time.Hour)
	content, told, _ := m.collect(&actionv1.Collect{Sources: []string{"nba"}})
	want := []string{"nba/profiles/ada/" + nem + "nem.log", "nba/profiles/ada/" + nem + "nymi_api.log", "nba/profiles/bob/" + nem + "nem.log"}
	if got := slices.Sorted(maps.Keys(content)); !slices.Equal(got, want) {
		t.Errorf("the archive holds %q, want %q and nothing else of the profiles", got, want)
	}
	if content[want[2]] != "bob's\n" {
		t.Errorf("bob's log is %q", content[want[2]])
	}
	if !told.PersonalData || told.Terminal != "lyon-01" || len(told.Files) != 3 || told.Truncated {
		t.Errorf("the manifest is %+v, want three files of lyon-01 and that they are personal data", told)
	}
	for _, f := range told.Files {
		sum := sha256.Sum256([]byte(content[f.Name]))
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != uint64(len(content[f.Name])) {
			t.Errorf("the manifest's hash or size of %s is not that of what is in the archive", f.Name)
		}
	}
}

func TestLinksLeadNowhere(t *testing.T) {
	m := newMachine(t)
	outside := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(outside, []byte("root:x"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.put("profiles/ada/"+nem+"nem.log", "log\n", time.Hour)
	if err := os.Symlink(outside, filepath.Join(m.dir, "profiles/ada/"+nem+"api.log")); err != nil {
		t.Fatal(err)
	}
	content, _, _ := m.collect(&actionv1.Collect{Sources: []string{"nba"}})
	if len(content) != 1 {
		t.Errorf("the archive holds %q, want the log alone: a user may put a link into a log folder", slices.Collect(maps.Keys(content)))
	}
}

func TestWhatIsOlderStaysOut(t *testing.T) {
	m := newMachine(t)
	m.put("profiles/ada/"+nem+"nem.log", "new\n", time.Hour)
	m.put("profiles/ada/"+nem+"nem.1.log", "old\n", 48*time.Hour)
	m.put("nes/web.config", "<configuration/>", 1000*time.Hour)
	content, _, _ := m.collect(&actionv1.Collect{Sources: []string{"nba", "instance-config"}, Since: durationpb.New(24 * time.Hour), Redact: true})
	if len(content) != 2 || content["instance-config/nes/web.config"] == "" {
		t.Errorf("the archive holds %q, want the new log, and the configuration however old", slices.Collect(maps.Keys(content)))
	}
}

func TestTheLastLinesOfALog(t *testing.T) {
	long := strings.Repeat(strings.Repeat("x", 99)+"\n", 2000)
	for name, c := range map[string]struct {
		content string
		tail    uint32
		want    string
	}{
		"of many":             {"a\nb\nc\n", 2, "b\nc\n"},
		"unfinished":          {"a\nb\nc", 2, "b\nc"},
		"all there are":       {"a\nb\n", 9, "a\nb\n"},
		"empty":               {"", 3, ""},
		"windows":             {"a\r\nb\r\nc\r\n", 1, "c\r\n"},
		"over several blocks": {long, 1500, long[500*100:]},
		"two-byte characters": {utf16le("a\nb\nc\n"), 1, utf16le("c\n")[2:]},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.put("profiles/ada/"+nem+"nem.log", c.content, time.Hour)
			content, _, _ := m.collect(&actionv1.Collect{Sources: []string{"nba"}, Tail: c.tail})
			if got := content["nba/profiles/ada/"+nem+"nem.log"]; got != c.want {
				t.Errorf("the last %d lines are %.60q (%d bytes), want %.60q (%d bytes)", c.tail, got, len(got), c.want, len(c.want))
			}
		})
	}
}

// utf16le writes text of one-byte characters as Windows programs do.
func utf16le(text string) string {
	out := []byte{0xff, 0xfe}
	for i := range len(text) {
		out = append(out, text[i], 0)
	}
	return string(out)
}

func TestAnArchiveThatIsFullIsCutAndSaysSo(t *testing.T) {
	m := newMachine(t)
	m.put("profiles/ada/"+nem+"newest.log", strings.Repeat("n", 600), time.Hour)
	m.put("profiles/ada/"+nem+"newer.log", strings.Repeat("o", 500)+strings.Repeat("e", 400), 2*time.Hour)
	m.put("profiles/ada/"+nem+"oldest.log", "gone", 3*time.Hour)
	content, told, got := m.collect(&actionv1.Collect{Sources: []string{"nba"}, MaxBytes: 1000})
	if !got.GetTruncated() || !told.Truncated {
		t.Error("neither the answer nor the manifest says that something is missing")
	}
	if text := content["nba/profiles/ada/"+nem+"newer.log"]; text != strings.Repeat("e", 400) {
		t.Errorf("of the file that did not fit there is %q, want its end", text)
	}
	var notes []string
	for _, f := range told.Files {
		notes = append(notes, f.Note)
	}
	if want := []string{"", "cut: the last 400 of 900 bytes", "left out: the archive is full"}; !slices.Equal(notes, want) {
		t.Errorf("notes are %q, want %q", notes, want)
	}
}

func TestWhatIsNotThereIsNoted(t *testing.T) {
	content, told, _ := newMachine(t).collect(&actionv1.Collect{Sources: []string{"lock-control", "event-logs"}})
	if len(content) != 0 || len(told.Files) != 2 || told.Files[0].Note != "there is nothing of it on this machine" {
		t.Errorf("the archive is %v with %+v, want a note for each source", content, told.Files)
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for name, c := range map[string]*actionv1.Collect{
		"nothing":       {MaxBytes: 1},
		"unknown":       {Sources: []string{"../etc"}, MaxBytes: 1},
		"twice":         {Sources: []string{"nba", "nba"}, MaxBytes: 1},
		"no size":       {Sources: []string{"nba"}},
		"too large":     {Sources: []string{"nba"}, MaxBytes: MaxBytes + 1},
		"long tail":     {Sources: []string{"nba"}, MaxBytes: 1, Tail: MaxTail + 1},
		"in the future": {Sources: []string{"nba"}, MaxBytes: 1, Since: durationpb.New(-time.Hour)},
	} {
		if _, err := Archive(t.Context(), newMachine(t).files, io.Discard, c, About{}); err == nil {
			t.Errorf("%s: %v is taken, want it refused", name, c)
		}
	}
}

// A disk that is full, or a deadline, ends the archive with an error; it is never said to be whole.
func TestAnArchiveThatCannotBeWrittenFails(t *testing.T) {
	m := newMachine(t)
	m.put("profiles/ada/"+nem+"nem.log", strings.Repeat("random", 100_000), time.Hour)
	asked := &actionv1.Collect{Sources: []string{"nba"}, MaxBytes: 1 << 20}
	if _, err := Archive(t.Context(), m.files, fullDisk{}, asked, About{}); !errors.Is(err, errFull) {
		t.Errorf("error = %v, want the disk's", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Archive(ctx, m.files, io.Discard, asked, About{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that it was given up", err)
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// BenchmarkArchive compares an archive of logs with plain copies of the same files.
func BenchmarkArchive(b *testing.B) {
	const files, size = 16, 4 << 20
	m := newMachine(b)
	line := "2026-11-24 11:59:58.123 INFO - sending update to nea {\"operation\":\"presence\",\"exchange\":\"%d\",\"status\":0}\n"
	var text strings.Builder
	for i := 0; text.Len() < size; i++ {
		fmt.Fprintf(&text, line, i*7919)
	}
	for i := range files {
		m.put(fmt.Sprintf("profiles/user-%02d/%snem.log", i, nem), text.String(), time.Hour)
	}
	b.Run("copy", func(b *testing.B) {
		b.SetBytes(int64(files * text.Len()))
		for b.Loop() {
			for i := range files {
				f, err := m.files.Open(b.Context(), "profiles", fmt.Sprintf("user-%02d/%snem.log", i, nem))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(struct{ io.Writer }{io.Discard}, f); err != nil {
					b.Fatal(err)
				}
				_ = f.Close()
			}
		}
	})
	b.Run("archive", func(b *testing.B) {
		b.SetBytes(int64(files * text.Len()))
		for b.Loop() {
			if _, err := Archive(b.Context(), m.files, io.Discard, &actionv1.Collect{Sources: []string{"nba"}, MaxBytes: MaxBytes}, About{Made: noon}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
