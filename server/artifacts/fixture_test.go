package artifacts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	jobA = "01JD00000000000000000000AA"
	jobB = "01JD00000000000000000000BB"
)

var (
	ada  = identity.Name{Kind: identity.KindOperator, ID: "ada"}
	noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

// world is what a keeper is among: job A runs on T-0001 at lyon and T-0002 at turin, job B on T-0001 alone.
type world struct {
	t     *testing.T
	store *store.Bolt
	dir   string
	// mu guards what tests change while the keeper works.
	mu   sync.Mutex
	now  time.Time
	free uint64
	*Keeper
}

func newWorld(t *testing.T, limits Limits) *world {
	t.Helper()
	w := &world{t: t, store: storetest.New(t), dir: filepath.Join(t.TempDir(), "files"), now: noon, free: math.MaxUint64 >> 1}
	for _, id := range []string{"T-0001", "T-0002"} {
		w.putTerminal(id, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	}
	w.open(limits)
	t.Cleanup(func() { w.Close() })
	return w
}

// open opens the keeper, again if it was closed.
func (w *world) open(limits Limits) {
	w.t.Helper()
	k, err := Open(w.t.Context(), Config{
		Store: w.store, Dir: w.dir, Tasks: tasks{}, Terminals: w, Limits: limits, Log: slog.New(slog.DiscardHandler),
		Now:  func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now },
		Free: func(string) (uint64, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.free, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Keeper = k
}

// restart is what a killed server leaves: nothing of the keeper but store and folder.
func (w *world) restart() {
	w.t.Helper()
	if err := w.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open(w.limits)
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) setFree(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = n
}

func (w *world) putTerminal(id string, state fleetv1.TerminalState) {
	w.t.Helper()
	rec := caller(id)
	rec.Terminal.State = state
	text, err := proto.Marshal(rec)
	if err == nil {
		err = w.store.Update(w.t.Context(), func(tx store.Writer) error { return tx.Put(store.TableTerminals, store.TerminalKey(id), text) })
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Terminal implements Terminals.
func (w *world) Terminal(_ context.Context, name string) (*storagev1.TerminalRecord, error) {
	switch name {
	case "T-0001", "line-1":
		return caller("T-0001"), nil
	case "T-0002", "line-2":
		return caller("T-0002"), nil
	}
	return nil, access.NotFound(access.Terminal, name)
}

func caller(id string) *storagev1.TerminalRecord {
	site := "lyon"
	if id == "T-0002" {
		site = "turin"
	}
	return &storagev1.TerminalRecord{
		Terminal:     &fleetv1.Terminal{Id: id, Name: strings.Replace(id, "T-000", "line-", 1), Site: site, State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE},
		TlsKeySha256: []byte("key of " + id),
	}
}

// tasks are the jobs of the world.
type tasks struct{}

func (tasks) TaskOf(_ context.Context, job, terminal string) (*fleetv1.Task, error) {
	t := caller(terminal).GetTerminal()
	if job == jobA || job == jobB && terminal == "T-0001" {
		return &fleetv1.Task{JobId: job, TerminalId: terminal, TerminalName: t.GetName(), Site: t.GetSite()}, nil
	}
	return nil, refusal.New(refusal.Denied, "FOREIGN_TASK", "job %q: terminal %q: no such task", job, terminal)
}

func (tasks) Sites(_ context.Context, job string) ([]string, error) {
	switch strings.ToUpper(job) {
	case jobA:
		return []string{"lyon", "turin"}, nil
	case jobB:
		return []string{"lyon"}, nil
	}
	return nil, access.NotFound(access.Job, job)
}

// content makes n bytes that are nowhere the same.
func content(n int) []byte {
	out := make([]byte, 0, n+sha256.Size)
	sum := sha256.Sum256([]byte{byte(n)})
	for len(out) < n {
		sum = sha256.Sum256(sum[:])
		out = append(out, sum[:]...)
	}
	return out[:n]
}

func header(job string, data []byte) *agentv1.ArtifactHeader {
	sum := sha256.Sum256(data)
	return &agentv1.ArtifactHeader{
		Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Kind: "output", Size: uint64(len(data)), Sha256: hex.EncodeToString(sum[:]),
	}
}

// errCut is how a line breaks.
var errCut = errors.New("cut")

// sent is what came of one upload.
type sent struct {
	// began is how much was here at its beginning.
	began    uint64
	id       string
	complete bool
}

// bring uploads data as an agent does, until it is complete, or the line breaks after so many chunks (negative: never).
func (w *world) bring(terminal string, h *agentv1.ArtifactHeader, data []byte, chunks int) (s sent, err error) {
	w.t.Helper()
	offset, first := uint64(0), true
	tell := func(m *agentv1.UploadArtifactResponse) error {
		if first {
			offset, s.began, first = m.GetReceived(), m.GetReceived(), false
		}
		s.id, s.complete = m.GetArtifactId(), m.GetComplete()
		return nil
	}
	next := func() (*agentv1.ArtifactChunk, error) {
		if chunks == 0 {
			return nil, errCut
		}
		chunks--
		end := min(offset+chunkSize, uint64(len(data)))
		c := &agentv1.ArtifactChunk{Offset: offset, Data: data[offset:end]}
		offset = end
		return c, nil
	}
	err = w.Receive(w.t.Context(), caller(terminal), h, tell, next)
	return s, err
}

// mustBring uploads data whole and returns the artefact's id.
func (w *world) mustBring(terminal, job string, data []byte) string {
	w.t.Helper()
	s, err := w.bring(terminal, header(job, data), data, -1)
	if err != nil || !s.complete {
		w.t.Fatalf("upload ended with %+v, %v; want it complete", s, err)
	}
	return s.id
}

// fetch downloads an artefact from an offset on.
func (w *world) fetch(id string, offset uint64) ([]byte, error) {
	var got bytes.Buffer
	err := w.Send(w.t.Context(), ada, id, offset, func(m *fleetv1.DownloadArtifactResponse) error {
		got.Write(m.GetData())
		return nil
	})
	return got.Bytes(), err
}

// verbs are what the audit record of a site says of artefacts, in order.
func (w *world) verbs(site string) (verbs []string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, store.Prefix(site), nil, func(_, text []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(text, r); err != nil {
				w.t.Error(err)
			}
			hash := ""
			for _, c := range r.GetChanges() {
				if c.GetName() == "sha256" {
					hash = c.GetNew()
				}
			}
			if len(hash) != 64 {
				w.t.Errorf("the audit record %v has no hash: it would not outlive the file", r)
			}
			verbs = append(verbs, r.GetVerb()+" by "+r.GetActor())
			return true
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return verbs
}

// files are the names in the folder.
func (w *world) files() (names []string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// wantSound verifies records and files.
func (w *world) wantSound() {
	w.t.Helper()
	if _, err := Verify(w.t.Context(), w.store); err != nil {
		w.t.Errorf("the records are not sound: %v", err)
	}
	if _, err := VerifyFiles(w.t.Context(), w.store, w.dir); err != nil {
		w.t.Errorf("the files are not sound: %v", err)
	}
}

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	var no *refusal.Error
	if !errors.As(err, &no) || no.Reason != reason {
		t.Errorf("error %v, want a refusal with reason %s", err, reason)
	}
}

func reader(sites ...string) *access.Principal {
	return &access.Principal{Name: ada, Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{
		{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: sites},
	}}}
}
