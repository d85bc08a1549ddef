package spool

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a spool on a real journal.
type rig struct {
	t       *testing.T
	dir     string
	journal *journal.Journal
	now     time.Time
	free    uint64
	log     bytes.Buffer
	*Spool
}

func newRig(t *testing.T, limits Limits) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "spool"), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), free: math.MaxUint64 >> 1}
	var err error
	if r.journal, err = journal.Open(filepath.Join(t.TempDir(), "journal.db")); err != nil {
		t.Fatal(err)
	}
	r.open(limits)
	t.Cleanup(func() { r.Close(); r.journal.Close() })
	return r
}

func (r *rig) open(limits Limits) {
	r.t.Helper()
	var err error
	r.Spool, err = Open(Config{
		Dir: r.dir, Journal: r.journal, Limits: limits, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Free: func(string) (uint64, error) { return r.free, nil }, Now: func() time.Time { return r.now },
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// restart is what an agent that was killed leaves: journal and folder.
func (r *rig) restart() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open(r.limits)
}

func key(job string) *agentv1.TaskKey { return &agentv1.TaskKey{JobId: job, Attempt: 1} }

// keep writes data in pieces and keeps it for a job.
func (r *rig) keep(job string, data []byte) {
	r.t.Helper()
	d := r.Begin("output")
	for piece := range slices.Chunk(data, 10_000) {
		if n, err := d.Write(piece); n != len(piece) || err != nil {
			r.t.Fatalf("Write = %d, %v; want that everything is taken", n, err)
		}
	}
	if _, err := d.Keep(key(job)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(file string) []byte {
	r.t.Helper()
	f, err := r.Open(file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

func (r *rig) jobs() (jobs []string) {
	r.t.Helper()
	for _, rec := range r.waiting {
		jobs = append(jobs, rec.GetKey().GetJobId())
	}
	return jobs
}

// wantFiles checks that folder, journal and memory hold the same number of files.
func (r *rig) wantFiles(n int) {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	recs, err := r.journal.Artifacts()
	if err != nil || len(entries) != n || len(recs) != n || len(r.waiting) != n {
		r.t.Errorf("%d files, %d in the journal (%v), %d waiting; want %d of each: nothing may be left behind", len(entries), len(recs), err, len(r.waiting), n)
	}
}

func text(n int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n] }

func TestAFileWaitsUntilItIsDelivered(t *testing.T) {
	r := newRig(t, Limits{})
	data := text(inMemory + 4321)
	d := r.Begin("output")
	_, _ = d.Write(data)
	ref, err := d.Keep(key("j-1"))
	sum := sha256.Sum256(data)
	if err != nil || ref.GetKind() != "output" || ref.GetSize() != uint64(len(data)) || ref.GetSha256() != hex.EncodeToString(sum[:]) || ref.GetTruncated() {
		t.Fatalf("Keep = %v, %v; want kind, size and hash of all %d bytes", ref, err, len(data))
	}
	r.restart()
	<-r.Changed()
	a, ok := r.Next()
	if !ok || a.GetKey().GetJobId() != "j-1" || a.GetReference().GetSha256() != ref.GetSha256() || !bytes.Equal(r.read(a.GetFile()), data) {
		t.Fatalf("after a restart %v, %v waits; want the file unchanged", a, ok)
	}
	if info, err := os.Stat(filepath.Join(r.dir, a.GetFile())); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("its mode is %v, %v; want 0600: an output may hold what others must not see", info.Mode(), err)
	}
	r.Delivered(a.GetFile())
	r.Delivered(a.GetFile())
	if _, ok := r.Next(); ok {
		t.Error("it still waits after it was delivered")
	}
	r.wantFiles(0)
	if r.log.Len() > 0 {
		t.Errorf("logged was %q, want nothing: nothing was lost", &r.log)
	}
}

func TestWhatIsShortNeedsNoFile(t *testing.T) {
	r := newRig(t, Limits{})
	d := r.Begin("output")
	_, _ = d.Write(text(inMemory))
	r.wantFiles(0)
	if d.Seen() != inMemory {
		t.Errorf("%d bytes were seen, want %d", d.Seen(), inMemory)
	}
	if err := d.Discard(); err != nil {
		t.Error(err)
	}
	r.wantFiles(0)
	// Invalid text may grow too long for a result although it is short.
	short := r.Begin("output")
	_, _ = short.Write([]byte("\xff\xff"))
	if ref, err := short.Keep(key("j-1")); err != nil || ref.GetSize() != 2 {
		t.Errorf("Keep = %v, %v; want both bytes", ref, err)
	}
	r.wantFiles(1)
}

func TestADiscardedFileIsGone(t *testing.T) {
	r := newRig(t, Limits{})
	d := r.Begin("output")
	_, _ = d.Write(text(inMemory + 1))
	if entries, err := os.ReadDir(r.dir); err != nil || len(entries) != 1 {
		t.Fatalf("folder %v, %v; want the file that is being written", entries, err)
	}
	if err := errors.Join(d.Discard(), d.Discard()); err != nil {
		t.Error(err)
	}
	if _, err := d.Write([]byte("late")); err != nil {
		t.Errorf("a late write: %v, want it ignored", err)
	}
	r.wantFiles(0)
}

// TestARunawayPluginDoesNotFillTheDisk: neither by one output nor by many.
func TestARunawayPluginDoesNotFillTheDisk(t *testing.T) {
	r := newRig(t, Limits{MaxFile: 200_000, MaxTotal: 450_000})
	data := text(1_000_000)
	d := r.Begin("output")
	for piece := range slices.Chunk(data, 7_777) {
		_, _ = d.Write(piece)
	}
	ref, err := d.Keep(key("j-1"))
	if err != nil || ref.GetSize() != 200_000 || !ref.GetTruncated() || d.Seen() != 1_000_000 {
		t.Fatalf("Keep = %v, %v of %d; want the first 200000 bytes, marked as cut, of 1000000", ref, err, d.Seen())
	}
	a, _ := r.Next()
	sum := sha256.Sum256(data[:200_000])
	if !bytes.Equal(r.read(a.GetFile()), data[:200_000]) || ref.GetSha256() != hex.EncodeToString(sum[:]) {
		t.Error("what is kept is not the beginning, or has not its hash")
	}
	r.keep("j-2", text(200_000))
	r.keep("j-3", text(200_000))
	if got := r.jobs(); !slices.Equal(got, []string{"j-2", "j-3"}) {
		t.Errorf("files of %q wait, want the oldest dropped", got)
	}
	if log := r.log.String(); !strings.Contains(log, "j-1") || !strings.Contains(log, "more than 450000 bytes") {
		t.Errorf("logged was %q, want what was dropped, and why", log)
	}
	r.wantFiles(2)
}

func TestFilesAreBoundedInNumberAndAge(t *testing.T) {
	r := newRig(t, Limits{MaxFiles: 2, MaxAge: time.Hour})
	for _, job := range []string{"j-1", "j-2", "j-3"} {
		r.keep(job, text(100))
		r.now = r.now.Add(10 * time.Minute)
	}
	if got := r.jobs(); !slices.Equal(got, []string{"j-2", "j-3"}) {
		t.Errorf("files of %q wait, want two", got)
	}
	r.now = r.now.Add(45 * time.Minute)
	if a, ok := r.Next(); !ok || a.GetKey().GetJobId() != "j-3" {
		t.Errorf("next is %v, want j-3: the other is older than an hour", a)
	}
	r.now = r.now.Add(time.Hour)
	r.restart()
	r.wantFiles(0)
	if log := r.log.String(); !strings.Contains(log, "has not taken it for 1h0m0s") || !strings.Contains(log, "more than 2 files") {
		t.Errorf("logged was %q, want why each was dropped", log)
	}
}

func TestANearlyFullDiskIsLeftAlone(t *testing.T) {
	r := newRig(t, Limits{MinFree: 10 << 20})
	r.free = 10 << 20
	d := r.Begin("output")
	_, _ = d.Write(text(inMemory + 1))
	if _, err := d.Keep(key("j-1")); !errors.Is(err, errNoRoom) {
		t.Errorf("Keep = %v, want that there was no room", err)
	}
	r.wantFiles(0)
	// It fills while the output comes: what is there already is kept.
	r.free = 12 << 20
	d = r.Begin("output")
	_, _ = d.Write(text(lookEvery))
	r.free = 0
	_, _ = d.Write(text(1000))
	_, _ = d.Write(text(1000))
	if ref, err := d.Keep(key("j-2")); err != nil || ref.GetSize() != lookEvery || !ref.GetTruncated() {
		t.Errorf("Keep = %v, %v; want what had come before the disk was full, marked as cut", ref, err)
	}
	r.wantFiles(1)
}

// TestAWriteThatFailsEndsTheFile closes the file behind the draft's back, as a disk that fails would.
func TestAWriteThatFailsEndsTheFile(t *testing.T) {
	r := newRig(t, Limits{})
	d := r.Begin("output").(*Draft)
	_, _ = d.Write(text(inMemory + 1))
	if err := d.file.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Write(text(10)); n != 10 || err != nil {
		t.Errorf("Write = %d, %v; want it taken: a plugin is not held up by a disk", n, err)
	}
	if _, err := d.Keep(key("j-1")); err == nil {
		t.Error("Keep of a file that cannot be synced succeeded")
	}
	r.wantFiles(0)
}

// TestAKilledAgentLeavesNoStrays: a file that was being written, and a record whose file is gone or changed, are both removed.
func TestAKilledAgentLeavesNoStrays(t *testing.T) {
	r := newRig(t, Limits{})
	r.keep("j-1", text(100))
	r.keep("j-2", text(200))
	r.keep("j-3", text(300))
	half := r.Begin("output").(*Draft)
	_, _ = half.Write(text(inMemory + 1))
	if err := half.file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, r.waiting[0].GetFile())); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(r.dir, r.waiting[1].GetFile()), 7); err != nil {
		t.Fatal(err)
	}
	r.restart()
	if got := r.jobs(); !slices.Equal(got, []string{"j-3"}) {
		t.Errorf("files of %q wait, want the whole one alone", got)
	}
	r.wantFiles(1)
}

// failing is a journal that cannot be written.
type failing struct{ Journal }

func (failing) PutArtifact(*storagev1.JournalArtifact) error { return errors.New("no journal") }

func TestWhatCannotBeJournalledIsNotKept(t *testing.T) {
	r := newRig(t, Limits{})
	r.cfg.Journal = failing{r.journal}
	d := r.Begin("output")
	_, _ = d.Write(text(inMemory + 1))
	if ref, err := d.Keep(key("j-1")); err == nil {
		t.Errorf("Keep = %v: a result must not promise what the next process would not know of", ref)
	}
	r.wantFiles(0)
}

// TestTwoPipesWriteAtOnce as standard output and standard error do.
func TestTwoPipesWriteAtOnce(t *testing.T) {
	r := newRig(t, Limits{})
	d := r.Begin("output")
	var writers sync.WaitGroup
	for range 2 {
		writers.Go(func() {
			for range 100 {
				_, _ = d.Write(text(1000))
			}
		})
	}
	writers.Wait()
	if ref, err := d.Keep(key("j-1")); err != nil || ref.GetSize() != 200_000 {
		t.Errorf("Keep = %v, %v; want all 200000 bytes", ref, err)
	}
}

func TestDroppingIsLogged(t *testing.T) {
	r := newRig(t, Limits{})
	r.keep("j-1", text(100))
	a, _ := r.Next()
	r.Drop(a.GetFile(), "the server refuses it")
	r.Drop("../../etc/passwd", "no file of ours")
	if !strings.Contains(r.log.String(), "the server refuses it") || strings.Contains(r.log.String(), "passwd") {
		t.Errorf("logged was %q, want why it was dropped, once", &r.log)
	}
	if _, err := r.Open("../journal.db"); err == nil {
		t.Error("a file outside of the spool was opened")
	}
	r.wantFiles(0)
}

func TestAddKeepsWhatAProgramWrote(t *testing.T) {
	r := newRig(t, Limits{MaxFile: 10})
	ref, err := r.Add(t.Context(), key("j"), "firmware-log", "NB-0007", strings.NewReader("longer than an output may be"))
	if err != nil || ref.GetKind() != "firmware-log" || ref.GetSubject() != "NB-0007" || ref.GetSize() != 28 || ref.GetTruncated() {
		t.Fatalf("got %v, %v; want a whole firmware log about NB-0007", ref, err)
	}
	if ref, err := r.Add(t.Context(), key("j"), "other", "", strings.NewReader("longer than others may be")); err != nil || ref.GetSize() != 10 || !ref.GetTruncated() {
		t.Errorf("another kind: got %v, %v; want its first 10 bytes, and that it was cut", ref, err)
	}
	r.restart()
	if next, ok := r.Next(); !ok || next.GetReference().GetSubject() != "NB-0007" {
		t.Errorf("after a restart %v waits, want what was added first", next)
	}
	for name, from := range map[string]io.Reader{"an empty one": strings.NewReader(""), "one that cannot be read": failingReader{}} {
		if ref, err := r.Add(t.Context(), key("j"), "firmware-log", "", from); err == nil {
			t.Errorf("%s: got %v, want an error", name, ref)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Add(over, key("j"), "firmware-log", "", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that there was no time", err)
	}
	if entries, err := os.ReadDir(r.dir); err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v; want the two files that were kept", entries, err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("a sector is gone") }
