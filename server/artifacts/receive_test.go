package artifacts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestAFileComesWholeAndIsHandedOutAsItWas(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(3*chunkSize + 17)
	id := w.mustBring("T-0001", jobA, data)
	a, err := w.Get(t.Context(), strings.ToLower(id))
	if err != nil || !a.GetComplete() || a.GetReceived() != a.GetSize() || a.GetSize() != uint64(len(data)) || a.GetSite() != "lyon" ||
		a.GetTerminalName() != "line-1" || a.GetName() != "line-1-output-"+id+".log" {
		t.Errorf("artefact is %v, %v; want it complete, at its task's site, with a name for people", a, err)
	}
	if got := a.GetExpires().AsTime(); !got.Equal(noon.Add(DefaultRetention)) {
		t.Errorf("it expires at %s, want 90 days after it was complete", got)
	}
	for _, offset := range []int{0, 1, chunkSize, chunkSize + 1, 3 * chunkSize, len(data) - 1, len(data)} {
		if got, err := w.fetch(id, uint64(offset)); err != nil || !bytes.Equal(got, data[offset:]) {
			t.Errorf("from offset %d came %d bytes, %v; want the %d that are left, unchanged", offset, len(got), err, len(data)-offset)
		}
	}
	want := []string{"artifact.store by agent/T-0001", "artifact.download by operator/ada"}
	if got := w.verbs("lyon"); !slices.Equal(got, want) {
		t.Errorf("audited was %q, want %q: once for each download from its beginning", got, want)
	}
	w.wantSound()
}

func TestNamesSayWhatAFileIsAbout(t *testing.T) {
	w := newWorld(t, Limits{})
	for kind, want := range map[string]string{"logs": "line-1-logs-ID.zip", "firmware-log": "line-1-firmware-log-AAAH-00125-ID.bin"} {
		data := content(100)
		h := header(jobA, data)
		if h.Kind = kind; kind == "firmware-log" {
			h.Subject = "AAAH-00125"
		}
		s, err := w.bring("T-0001", h, data, -1)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Get(t.Context(), s.id)
		if got := strings.ReplaceAll(a.GetName(), s.id, "ID"); err != nil || got != want || a.GetSubject() != h.GetSubject() {
			t.Errorf("kind %s: name %q, subject %q, %v; want %q", kind, got, a.GetSubject(), err, want)
		}
	}
	w.wantSound()
}

// TestAnUploadGoesOnWhereItEnded cuts the line, and kills the server, after each chunk.
func TestAnUploadGoesOnWhereItEnded(t *testing.T) {
	data := content(4*chunkSize + 5)
	for _, killed := range []bool{false, true} {
		for cut := range 6 {
			w := newWorld(t, Limits{})
			s, err := w.bring("T-0001", header(jobA, data), data, cut)
			if cut < 5 && !errors.Is(err, errCut) {
				t.Fatalf("after %d chunks: %v, want the cut", cut, err)
			}
			if killed {
				w.restart()
			}
			again, err := w.bring("T-0001", header(jobA, data), data, -1)
			want := min(uint64(cut*chunkSize), uint64(len(data)))
			if err != nil || !again.complete || again.began != want || again.id != s.id && cut > 0 {
				t.Errorf("cut after %d chunks, killed %v: the second upload is %+v, %v; want it to go on at %d and to be complete", cut, killed, again, err, want)
			}
			if got, err := w.fetch(again.id, 0); err != nil || !bytes.Equal(got, data) {
				t.Errorf("cut after %d chunks, killed %v: %d bytes came back, %v; want the file unchanged", cut, killed, len(got), err)
			}
			if names := w.files(); len(names) != 1 {
				t.Errorf("the folder holds %q, want one file for one artefact", names)
			}
		}
	}
}

// TestAPieceOfAChunkIsGoneOnFrom: a crash in the middle of a write leaves any number of bytes.
func TestAPieceOfAChunkIsGoneOnFrom(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(2*chunkSize + 5)
	s, _ := w.bring("T-0001", header(jobA, data), data, 1)
	for _, size := range []int64{chunkSize - 1, 1, 0} {
		if err := os.Truncate(filepath.Join(w.dir, s.id), size); err != nil {
			t.Fatal(err)
		}
		again, err := w.bring("T-0001", header(jobA, data), data, 0)
		if !errors.Is(err, errCut) || again.began != uint64(size) {
			t.Errorf("with %d bytes on the disk the server says %d, %v; want what is on the disk", size, again.began, err)
		}
	}
	w.mustBring("T-0001", jobA, data)
	w.wantSound()
}

// TestKilledBeforeItAnswered: what the agent never heard is not done twice.
func TestKilledBeforeItAnswered(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(100)
	answers := 0
	err := w.Receive(t.Context(), caller("T-0001"), header(jobA, data), func(*agentv1.UploadArtifactResponse) error {
		if answers++; answers == 2 {
			return errCut
		}
		return nil
	}, func() (*agentv1.ArtifactChunk, error) { return &agentv1.ArtifactChunk{Data: data}, nil })
	if !errors.Is(err, errCut) {
		t.Fatalf("error %v, want the answer cut", err)
	}
	w.restart()
	if s, err := w.bring("T-0001", header(jobA, data), data, 0); err != nil || !s.complete {
		t.Errorf("the file announced again: %+v, %v; want it complete at once, without another byte", s, err)
	}
	if got := w.verbs("lyon"); len(got) != 1 {
		t.Errorf("audited was %q, want that it was stored, once", got)
	}
}

func TestWhatWasAnnouncedWronglyIsThrownAway(t *testing.T) {
	data := content(chunkSize + 9)
	other := header(jobA, content(chunkSize+9))
	other.Sha256 = strings.Repeat("0", 64)
	short := header(jobA, data)
	short.Size = chunkSize + 3
	for name, c := range map[string]struct {
		header *agentv1.ArtifactHeader
		data   []byte
		reason string
	}{
		"another hash":                   {other, data, "HASH_DIFFERS"},
		"more bytes than were announced": {short, data, "ARTIFACT_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			s, err := w.bring("T-0001", c.header, c.data, -1)
			wantRefusal(t, err, c.reason)
			if _, err := w.Get(t.Context(), s.id); err == nil || len(w.files()) != 0 || w.used.total != 0 {
				t.Errorf("%v, files %q, %d bytes in use; want no trace of it", err, w.files(), w.used.total)
			}
			if got := w.verbs("lyon"); len(got) != 0 {
				t.Errorf("audited was %q, want nothing: nothing came into being", got)
			}
			w.mustBring("T-0001", jobA, data)
		})
	}
}

func TestRefusedHeaders(t *testing.T) {
	data := content(100)
	for name, c := range map[string]struct {
		spoil  func(h *agentv1.ArtifactHeader)
		reason string
	}{
		"unknown kind":            {func(h *agentv1.ArtifactHeader) { h.Kind = "../etc" }, "UNKNOWN_KIND"},
		"too large":               {func(h *agentv1.ArtifactHeader) { h.Size = 16<<20 + 1 }, "ARTIFACT_TOO_LARGE"},
		"logs that are too large": {func(h *agentv1.ArtifactHeader) { h.Kind, h.Size = "logs", 1<<30+1 }, "ARTIFACT_TOO_LARGE"},
		"firmware log, too large": {func(h *agentv1.ArtifactHeader) { h.Kind, h.Size = "firmware-log", 256<<20+1 }, "ARTIFACT_TOO_LARGE"},
		"a path for a subject":    {func(h *agentv1.ArtifactHeader) { h.Subject = "../AAAH-1" }, "ARTIFACT_MALFORMED"},
		"empty":                   {func(h *agentv1.ArtifactHeader) { h.Size = 0 }, "ARTIFACT_MALFORMED"},
		"hash in capitals":        {func(h *agentv1.ArtifactHeader) { h.Sha256 = strings.ToUpper(h.Sha256) }, "ARTIFACT_MALFORMED"},
		"a path for a hash":       {func(h *agentv1.ArtifactHeader) { h.Sha256 = "../../etc/passwd" }, "ARTIFACT_MALFORMED"},
		"no attempt":              {func(h *agentv1.ArtifactHeader) { h.Key.Attempt = 0 }, "ARTIFACT_MALFORMED"},
		"another terminal's task": {func(h *agentv1.ArtifactHeader) { h.Key.JobId = jobB }, "FOREIGN_TASK"},
		"a path for a job":        {func(h *agentv1.ArtifactHeader) { h.Key.JobId = "../../x" }, "FOREIGN_TASK"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			h := header(jobA, data)
			c.spoil(h)
			_, err := w.bring("T-0002", h, data, -1)
			wantRefusal(t, err, c.reason)
			if len(w.files()) != 0 || w.used.total != 0 || len(w.uploading) != 0 || len(w.slots) != 0 {
				t.Errorf("files %q, %d bytes and %d slots in use; want that a refusal changes nothing", w.files(), w.used.total, len(w.slots))
			}
		})
	}
}

func TestRefusedChunks(t *testing.T) {
	data := content(3 * chunkSize)
	for name, chunk := range map[string]*agentv1.ArtifactChunk{
		"none":         nil,
		"empty":        {Offset: 0},
		"too large":    {Data: data[:chunkSize+1]},
		"out of order": {Offset: 7, Data: data[:10]},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, Limits{})
			err := w.Receive(t.Context(), caller("T-0001"), header(jobA, data), func(*agentv1.UploadArtifactResponse) error { return nil },
				func() (*agentv1.ArtifactChunk, error) { return chunk, nil })
			wantRefusal(t, err, "ARTIFACT_MALFORMED")
		})
	}
}

func TestTheSameHashWithAnotherSizeIsRefused(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(100)
	w.mustBring("T-0001", jobA, data)
	h := header(jobA, data)
	h.Size = 99
	_, err := w.bring("T-0001", h, data[:99], -1)
	wantRefusal(t, err, "ARTIFACT_MALFORMED")
}

func TestRoomIsBounded(t *testing.T) {
	w := newWorld(t, Limits{MaxTotal: 1000, MaxPerTerminal: 600, MaxCountPerTerminal: 3})
	w.mustBring("T-0001", jobA, content(500))
	_, err := w.bring("T-0001", header(jobA, content(200)), content(200), -1)
	wantRefusal(t, err, "ARTIFACTS_OF_TERMINAL_FULL")
	w.mustBring("T-0002", jobA, content(450))
	_, err = w.bring("T-0001", header(jobA, content(90)), content(90), -1)
	wantRefusal(t, err, "ARTIFACTS_FULL")
	w.restart()
	_, err = w.bring("T-0001", header(jobA, content(90)), content(90), -1)
	wantRefusal(t, err, "ARTIFACTS_FULL")
	w.mustBring("T-0001", jobA, content(20))
	w.mustBring("T-0001", jobB, content(21))
	_, err = w.bring("T-0001", header(jobA, content(1)), content(1), -1)
	wantRefusal(t, err, "ARTIFACTS_OF_TERMINAL_FULL")
}

// TestAnUnfinishedUploadHoldsItsRoom: else many that are announced together would overfill the disk together.
func TestAnUnfinishedUploadHoldsItsRoom(t *testing.T) {
	w := newWorld(t, Limits{MaxTotal: 1000})
	_, err := w.bring("T-0001", header(jobA, content(900)), content(900), 0)
	if !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	_, err = w.bring("T-0002", header(jobA, content(200)), content(200), -1)
	wantRefusal(t, err, "ARTIFACTS_FULL")
}

func TestTheDiskIsNotFilled(t *testing.T) {
	w := newWorld(t, Limits{MinFree: 100 << 20})
	data := content(3 << 20)
	w.setFree(102 << 20)
	_, err := w.bring("T-0001", header(jobA, data), data, -1)
	wantRefusal(t, err, "DISK_FULL")
	w.setFree(103 << 20)
	if _, err := w.bring("T-0001", header(jobA, data), data, 10); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	// Somebody else fills it while the file comes.
	w.setFree(100 << 20)
	s, err := w.bring("T-0001", header(jobA, data), data, -1)
	wantRefusal(t, err, "DISK_FULL")
	w.setFree(110 << 20)
	again, err := w.bring("T-0001", header(jobA, data), data, -1)
	if err != nil || !again.complete || again.began <= s.began {
		t.Errorf("after room was made: %+v, %v; want it to go on behind what had come", again, err)
	}
}

func TestOnlySoManyComeAtOnce(t *testing.T) {
	w := newWorld(t, Limits{Uploads: 1})
	data := content(100)
	waiting, goOn := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		err := w.Receive(t.Context(), caller("T-0001"), header(jobA, data), func(*agentv1.UploadArtifactResponse) error { return nil },
			func() (*agentv1.ArtifactChunk, error) {
				close(waiting)
				<-goOn
				return &agentv1.ArtifactChunk{Data: data}, nil
			})
		if err != nil {
			t.Errorf("the first upload ended with %v", err)
		}
	})
	<-waiting
	_, err := w.bring("T-0001", header(jobB, data), data, -1)
	wantRefusal(t, err, "UPLOADING")
	_, err = w.bring("T-0002", header(jobA, data), data, -1)
	wantRefusal(t, err, "UPLOADS_BUSY")
	close(goOn)
	first.Wait()
	w.mustBring("T-0002", jobA, data)
}

// TestAFleetThatComesAtOnce: 40 terminals come together; 32 are served, the others are told to come later, and do.
func TestAFleetThatComesAtOnce(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(100)
	goOn := make(chan struct{})
	inside, turnedAway := make(chan string, 40), make(chan string, 40)
	var fleet sync.WaitGroup
	for i := range 40 {
		id := fmt.Sprintf("T-1%03d", i)
		w.putTerminal(id, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
		fleet.Go(func() {
			err := w.Receive(t.Context(), caller(id), header(jobA, data), func(*agentv1.UploadArtifactResponse) error { return nil },
				func() (*agentv1.ArtifactChunk, error) {
					inside <- id
					<-goOn
					return &agentv1.ArtifactChunk{Data: data}, nil
				})
			if err != nil {
				wantRefusal(t, err, "UPLOADS_BUSY")
				turnedAway <- id
			}
		})
	}
	for range 32 {
		<-inside
	}
	var later []string
	for range 8 {
		later = append(later, <-turnedAway)
	}
	close(goOn)
	fleet.Wait()
	for _, id := range later {
		w.mustBring(id, jobA, data)
	}
	if len(w.files()) != 40 || len(w.slots) != 0 {
		t.Errorf("%d files are here and %d places taken, want 40 and none", len(w.files()), len(w.slots))
	}
	w.wantSound()
}

// TestATerminalThatWentMeanwhileStoresNothing: revocation reaches what is under way.
func TestATerminalThatWentMeanwhileStoresNothing(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(100)
	if _, err := w.bring("T-0001", header(jobA, data), data, 0); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	w.putTerminal("T-0001", fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED)
	s, err := w.bring("T-0001", header(jobA, data), data, -1)
	wantRefusal(t, err, "TERMINAL_DECOMMISSIONED")
	if a, err := w.Get(t.Context(), s.id); err != nil || a.GetComplete() {
		t.Errorf("artefact is %v, %v; want it unfinished", a, err)
	}
}

func TestUnfinishedShowsHowMuchHasCome(t *testing.T) {
	w := newWorld(t, Limits{})
	data := content(2 * chunkSize)
	s, _ := w.bring("T-0001", header(jobA, data), data, 1)
	a, err := w.Get(t.Context(), s.id)
	if err != nil || a.GetComplete() || a.GetReceived() != chunkSize || !a.GetExpires().AsTime().Equal(noon.Add(7*24*time.Hour)) {
		t.Errorf("artefact is %v, %v; want one chunk of it, and a week to finish", a, err)
	}
	_, err = w.fetch(s.id, 0)
	wantRefusal(t, err, "NOT_COMPLETE")
}
