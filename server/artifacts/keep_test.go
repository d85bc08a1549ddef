package artifacts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// TestADamagedFileIsNeverHandedOutWhole: of a file that changed on the disk the last portion is held back.
func TestADamagedFileIsNeverHandedOutWhole(t *testing.T) {
	data := content(2*chunkSize + 100)
	for name, harm := range map[string]func(path string) error{
		"a flipped bit at its beginning": func(path string) error { return flip(path, 3) },
		"a flipped bit at its end":       func(path string) error { return flip(path, int64(len(data)-1)) },
		"cut":                            func(path string) error { return os.Truncate(path, 2*chunkSize) },
		"longer":                         func(path string) error { return os.Truncate(path, int64(len(data)+1)) },
		"empty":                          func(path string) error { return os.Truncate(path, 0) },
		"gone":                           os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			id := w.mustBring("T-0001", jobA, data)
			if err := harm(filepath.Join(w.dir, id)); err != nil {
				t.Fatal(err)
			}
			for _, offset := range []int{0, chunkSize, len(data)} {
				got, err := w.fetch(id, uint64(offset))
				wantRefusal(t, err, "ARTIFACT_DAMAGED")
				if rest := len(data) - offset; rest > 0 && len(got) >= rest {
					t.Errorf("from offset %d all %d bytes came: a client could take them for good", offset, len(got))
				}
			}
			if _, err := VerifyFiles(t.Context(), w.store, w.dir); err == nil || !strings.Contains(err.Error(), id) {
				t.Errorf("the check says %v, want it to name artefact %s", err, id)
			}
		})
	}
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return err
}

func TestBadDownloads(t *testing.T) {
	w := newWorld(t, Limits{})
	id := w.mustBring("T-0001", jobA, content(100))
	_, err := w.fetch(id, 101)
	wantRefusal(t, err, "BEYOND_END")
	if err := os.WriteFile(filepath.Join(w.dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "secret", "../files/" + id, "../../../../etc/passwd", id + "/", id + "\x00", strings.Repeat("A", 25), "01JD00000000000000000000ZZ"} {
		_, err := w.fetch(bad, 0)
		wantRefusal(t, err, "NOT_FOUND")
		if _, err := w.Sites(t.Context(), bad); err == nil {
			t.Errorf("id %q has a site", bad)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = w.stream(ctx, &fleetv1.Artifact{Id: id, Size: 100, Sha256: header(jobA, content(100)).GetSha256()}, 0, func(*fleetv1.DownloadArtifactResponse) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a download whose caller has gone ended with %v", err)
	}
}

func TestListsAreOfTheCallersSites(t *testing.T) {
	w := newWorld(t, Limits{})
	a := w.mustBring("T-0001", jobA, content(1))
	b := w.mustBring("T-0002", jobA, content(2))
	c := w.mustBring("T-0001", jobB, content(3))
	for name, tc := range map[string]struct {
		sites   []string
		request *fleetv1.ListArtifactsRequest
		want    []string
		reason  string
	}{
		"all":                   {sites: []string{"*"}, want: []string{c, b, a}},
		"one site":              {sites: []string{"turin"}, want: []string{b}},
		"a job":                 {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{JobId: strings.ToLower(jobA)}, want: []string{b, a}},
		"a job, seen in part":   {sites: []string{"lyon"}, request: &fleetv1.ListArtifactsRequest{JobId: jobA}, want: []string{a}},
		"a terminal":            {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{Terminal: "line-1"}, want: []string{c, a}},
		"a job on a terminal":   {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{Terminal: "T-0001", JobId: jobA}, want: []string{a}},
		"an invisible job":      {sites: []string{"turin"}, request: &fleetv1.ListArtifactsRequest{JobId: jobB}, reason: "NOT_FOUND"},
		"an invisible terminal": {sites: []string{"turin"}, request: &fleetv1.ListArtifactsRequest{Terminal: "line-1"}, reason: "NOT_FOUND"},
		"no such job":           {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{JobId: "x"}, reason: "NOT_FOUND"},
		"no such terminal":      {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{Terminal: "x"}, reason: "NOT_FOUND"},
		"a made-up page token":  {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{PageToken: "../x"}, reason: "BAD_PAGE_TOKEN"},
		"a negative page size":  {sites: []string{"*"}, request: &fleetv1.ListArtifactsRequest{PageSize: -1}, reason: "BAD_PAGE_SIZE"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := w.List(t.Context(), reader(tc.sites...), tc.request)
			if tc.reason != "" {
				wantRefusal(t, err, tc.reason)
				return
			}
			if got := ids(answer.GetArtifacts()); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("list is %q, %v; want %q, the newest first", got, err, tc.want)
			}
		})
	}
}

func ids(list []*fleetv1.Artifact) (out []string) {
	for _, a := range list {
		out = append(out, a.GetId())
	}
	return out
}

func TestListsHavePages(t *testing.T) {
	w := newWorld(t, Limits{})
	var want []string
	for i := range 7 {
		w.pass(time.Second)
		want = append([]string{w.mustBring("T-0001", jobA, content(10+i))}, want...)
	}
	for _, r := range []*fleetv1.ListArtifactsRequest{{}, {JobId: jobA}, {Terminal: "line-1"}} {
		r.PageSize = 3
		var got []string
		for {
			answer, err := w.List(t.Context(), reader("lyon"), r)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(answer.GetArtifacts())...)
			if r.PageToken = answer.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the pages of %v hold %q, want each once: %q", r, got, want)
		}
	}
}

func TestWhatHasExpiredGoesAndStaysInTheAuditRecord(t *testing.T) {
	w := newWorld(t, Limits{Retention: 10 * 24 * time.Hour})
	for i := range sweepStep + 3 {
		w.mustBring("T-0001", jobA, content(i+1))
	}
	w.pass(9 * 24 * time.Hour)
	young := w.mustBring("T-0002", jobA, content(500))
	w.pass(24 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.files(); !slices.Equal(got, []string{young}) {
		t.Errorf("the folder holds %d files, want the young one alone", len(got))
	}
	expired := 0
	for _, verb := range w.verbs("lyon") {
		if verb == "artifact.expire by server" {
			expired++
		}
	}
	if expired != sweepStep+3 || w.used.total != 500 {
		t.Errorf("%d were audited as expired and %d bytes are in use; want %d and 500", expired, w.used.total, sweepStep+3)
	}
	w.wantSound()
}

func TestWhatIsNeverFinishedGoesAfterAWeek(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(2 * chunkSize)
	s, _ := w.bring("T-0001", header(jobA, data), data, 1)
	w.pass(7*24*time.Hour - time.Second)
	if err := w.Sweep(t.Context()); err != nil || len(w.files()) != 1 {
		t.Fatalf("a second too early: %v, files %q", err, w.files())
	}
	w.pass(time.Second)
	// While it comes it is not taken away.
	err := w.Receive(t.Context(), caller("T-0001"), header(jobA, data), func(*agentv1.UploadArtifactResponse) error { return nil },
		func() (*agentv1.ArtifactChunk, error) {
			if err := w.Sweep(t.Context()); err != nil || len(w.files()) != 1 {
				t.Errorf("swept while it comes: %v, files %q", err, w.files())
			}
			return nil, errCut
		})
	if !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if err := w.Sweep(t.Context()); err != nil || len(w.files()) != 0 || w.used.total != 0 {
		t.Errorf("after a week: %v, files %q, %d bytes in use; want nothing left", err, w.files(), w.used.total)
	}
	if _, err := w.Get(t.Context(), s.id); err == nil {
		t.Error("its record is still there")
	}
	w.wantSound()
}

// TestFilesThatNobodyNames: a restored store may know nothing of them, and the restore may be undone; so they stay for a week.
func TestFilesThatNobodyNames(t *testing.T) {
	w := newWorld(t, Limits{})
	named := w.mustBring("T-0001", jobA, content(10))
	const old, young = "01JD000000000000000000000D", "01JD000000000000000000000E"
	for name, age := range map[string]time.Duration{old: orphanGrace + time.Hour, young: time.Hour, "lost+found": 2 * orphanGrace} {
		path := filepath.Join(w.dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, noon.Add(-age), noon.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := VerifyFiles(t.Context(), w.store, w.dir); err != nil || found != "1 files, and 3 that belong to no artefact" {
		t.Errorf("the check says %q, %v; want the odd files counted", found, err)
	}
	if err := w.removeOrphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := w.files()
	if slices.Contains(got, old) || !slices.Contains(got, young) || !slices.Contains(got, named) || !slices.Contains(got, "lost+found") {
		t.Errorf("the folder holds %q, want only the old orphan gone", got)
	}
}

func TestVerifyFindsWhatDoesNotAgree(t *testing.T) {
	for name, spoil := range map[string]func(w store.Writer, a *fleetv1.Artifact) error{
		"no entry under its job": func(w store.Writer, a *fleetv1.Artifact) error {
			return w.Delete(store.TableArtifactJobs, store.ArtifactJobKey(a.GetJobId(), a.GetId()))
		},
		"no entry under its terminal": func(w store.Writer, a *fleetv1.Artifact) error {
			return w.Delete(store.TableArtifactTerminals, store.ArtifactTerminalKey(a.GetTerminalId(), a.GetId()))
		},
		"its file is not found again": func(w store.Writer, a *fleetv1.Artifact) error { return w.Delete(store.TableArtifactFiles, fileKey(a)) },
		"the record is gone": func(w store.Writer, a *fleetv1.Artifact) error {
			return w.Delete(store.TableArtifacts, store.ArtifactKey(a.GetId()))
		},
		"an entry too many": func(w store.Writer, a *fleetv1.Artifact) error {
			return w.Put(store.TableArtifactJobs, store.ArtifactJobKey(jobB, a.GetId()), nil)
		},
		"another's record": func(_ store.Writer, a *fleetv1.Artifact) error { a.Id = "01JD000000000000000000000E"; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			id := w.mustBring("T-0001", jobA, content(10))
			a, err := w.get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			err = w.store.Update(t.Context(), func(tx store.Writer) error {
				if err := spoil(tx, a); err != nil || a.GetId() == id {
					return err
				}
				text, err := proto.Marshal(a)
				if err != nil {
					return err
				}
				return tx.Put(store.TableArtifacts, store.ArtifactKey(id), text)
			})
			if err != nil {
				t.Fatal(err)
			}
			if found, err := Verify(t.Context(), w.store); err == nil {
				t.Errorf("it was found sound: %q", found)
			}
		})
	}
}

func TestAFolderThatIsGoneIsFound(t *testing.T) {
	w := newWorld(t, Limits{})
	nowhere := filepath.Join(w.dir, "nowhere")
	if found, err := VerifyFiles(t.Context(), w.store, nowhere); err != nil || found != "no files" {
		t.Errorf("a server that never had an artefact: %q, %v", found, err)
	}
	w.mustBring("T-0001", jobA, content(10))
	if _, err := VerifyFiles(t.Context(), w.store, nowhere); err == nil {
		t.Error("a folder that is gone was found sound")
	}
}

func TestManyComeTogether(t *testing.T) {
	w := newWorld(t, Limits{Uploads: 40})
	errs := make(chan error, 2)
	for i, terminal := range []string{"T-0001", "T-0002"} {
		go func() {
			for n := range 20 {
				data := content(1000*(i+1) + n)
				if _, err := w.bring(terminal, header(jobA, data), data, -1); err != nil {
					errs <- fmt.Errorf("%s: %w", terminal, err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(w.files()) != 40 {
		t.Errorf("%d files, want 40", len(w.files()))
	}
	w.wantSound()
}
