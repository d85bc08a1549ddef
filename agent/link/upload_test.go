package link

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// fakeSpool holds files in memory.
type fakeSpool struct {
	mu      sync.Mutex
	waiting []*storagev1.JournalArtifact
	files   map[string][]byte
	changed chan struct{}
	// events are what became of files: "delivered a", "dropped a: why".
	events chan string
}

func newFakeSpool(files ...string) *fakeSpool {
	s := &fakeSpool{files: map[string][]byte{}, changed: make(chan struct{}, 1), events: make(chan string, 16)}
	for _, name := range files {
		s.put(name, bytes.Repeat([]byte(name), 3*chunkSize+7))
	}
	return s
}

func (s *fakeSpool) put(name string, data []byte) { s.hold(name, data, data) }

// hold is put of a file that has become another since it was hashed; nil means that it is gone.
func (s *fakeSpool) hold(name string, data, now []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sha256.Sum256(data)
	if now != nil {
		s.files[name] = now
	}
	s.waiting = append(s.waiting, &storagev1.JournalArtifact{File: name, Key: key("j-" + name), Reference: &actionv1.ArtifactReference{
		Kind: "output", Size: uint64(len(data)), Sha256: hex.EncodeToString(sum[:]), Subject: "band-" + name,
	}})
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *fakeSpool) Next() (*storagev1.JournalArtifact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil, false
	}
	return s.waiting[0], true
}

func (s *fakeSpool) Changed() <-chan struct{} { return s.changed }

func (s *fakeSpool) Open(file string) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.files[file]
	if !ok {
		return nil, errors.New("no such file")
	}
	return closer{bytes.NewReader(data)}, nil
}

type closer struct{ io.ReadSeeker }

func (closer) Close() error { return nil }

func (s *fakeSpool) Delivered(file string) { s.gone(file, "delivered "+file) }
func (s *fakeSpool) Drop(file, why string) { s.gone(file, "dropped "+file+": "+why) }

func (s *fakeSpool) gone(file, event string) {
	s.mu.Lock()
	s.waiting = s.waiting[1:]
	delete(s.files, file)
	s.mu.Unlock()
	s.events <- event
}

// arrival is one upload as the test's server sees it.
type arrival struct {
	at     time.Time
	header *agentv1.ArtifactHeader
	// data is what the server has after it.
	data []byte
}

// answer is what becomes of one upload.
type answer func(u *uploads, s agentv1.AgentService_UploadArtifactServer, h *agentv1.ArtifactHeader) error

// uploads is the test server's end of UploadArtifact: it has what arrived before, and answers in turn as it is told.
type uploads struct {
	mu      sync.Mutex
	have    map[string][]byte
	running int
	most    int
	// answers are what becomes of the next calls, one each; then all is taken.
	answers []answer
	arrived chan arrival
}

func newUploads() *uploads {
	return &uploads{have: map[string][]byte{}, arrived: make(chan arrival, 64)}
}

func (f *fleet) UploadArtifact(s grpc.BidiStreamingServer[agentv1.UploadArtifactRequest, agentv1.UploadArtifactResponse]) error {
	return f.uploads.serve(s)
}

func (u *uploads) serve(s agentv1.AgentService_UploadArtifactServer) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	u.mu.Lock()
	u.running++
	u.most = max(u.most, u.running)
	next := answer(takeAll)
	if len(u.answers) > 0 {
		next, u.answers = u.answers[0], u.answers[1:]
	}
	u.mu.Unlock()
	begun := time.Now()
	err = next(u, s, m.GetHeader())
	u.mu.Lock()
	u.running--
	data := bytes.Clone(u.have[m.GetHeader().GetSha256()])
	u.mu.Unlock()
	u.arrived <- arrival{begun, m.GetHeader(), data}
	return err
}

// takeAll takes what is missing and checks the hash.
func takeAll(u *uploads, s agentv1.AgentService_UploadArtifactServer, h *agentv1.ArtifactHeader) error {
	if err := u.take(s, h, int(h.GetSize())); err != nil {
		return err
	}
	sum := sha256.Sum256(u.have[h.GetSha256()])
	if hex.EncodeToString(sum[:]) != h.GetSha256() {
		delete(u.have, h.GetSha256())
		return refuse(codes.InvalidArgument, "HASH_DIFFERS")
	}
	return s.Send(&agentv1.UploadArtifactResponse{Received: h.GetSize(), Complete: true})
}

// cutAt takes so many bytes and ends the call.
func cutAt(n int) answer {
	return func(u *uploads, s agentv1.AgentService_UploadArtifactServer, h *agentv1.ArtifactHeader) error {
		if err := u.take(s, h, n); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "cut")
	}
}

func refuseWith(code codes.Code, reason string) answer {
	return func(*uploads, agentv1.AgentService_UploadArtifactServer, *agentv1.ArtifactHeader) error {
		return refuse(code, reason)
	}
}

func refuse(code codes.Code, reason string) error {
	s, err := status.New(code, "no").WithDetails(&errdetails.ErrorInfo{Domain: "bandfleet", Reason: reason})
	if err != nil {
		return err
	}
	return s.Err()
}

// take receives until there are so many bytes of a file.
func (u *uploads) take(s agentv1.AgentService_UploadArtifactServer, h *agentv1.ArtifactHeader, until int) error {
	have := u.have[h.GetSha256()]
	if err := s.Send(&agentv1.UploadArtifactResponse{Received: uint64(len(have))}); err != nil {
		return err
	}
	for len(have) < until {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.GetChunk().GetOffset() != uint64(len(have)) || len(m.GetChunk().GetData()) > chunkSize {
			return status.Error(codes.InvalidArgument, "a chunk that does not follow, or is too large")
		}
		have = append(have, m.GetChunk().GetData()...)
		u.have[h.GetSha256()] = have
	}
	return nil
}

// inUploads runs a link with a spool that holds these files, with a session open.
func inUploads(t *testing.T, files string, answers []answer, test func(f *fleet, c *conversation, s *fakeSpool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f, runner, s := newFleet(t), newFakeRunner(), newFakeSpool(strings.Fields(files)...)
		f.uploads.answers = answers
		startLink(t, f, runner, func(l *Link) { l.config.Spool = s })
		c := <-f.sessions
		c.welcome(t)
		test(f, c, s)
	})
}

func (s *fakeSpool) want(t *testing.T, events ...string) {
	t.Helper()
	for _, want := range events {
		if got := <-s.events; got != want && !strings.HasPrefix(got, want+": ") {
			t.Fatalf("a file is %q, want %q", got, want)
		}
	}
}

func TestFilesAreBroughtOneAfterTheOther(t *testing.T) {
	inUploads(t, "a b c", nil, func(f *fleet, _ *conversation, s *fakeSpool) {
		s.want(t, "delivered a", "delivered b", "delivered c")
		if f.uploads.most != 1 {
			t.Errorf("%d came at once, want one: the line is the terminal's only one", f.uploads.most)
		}
		for _, name := range []string{"a", "b", "c"} {
			if got := <-f.uploads.arrived; got.header.GetKey().GetJobId() != "j-"+name || !bytes.Equal(got.data, bytes.Repeat([]byte(name), 3*chunkSize+7)) {
				t.Errorf("%v arrived with %d bytes, want file %s unchanged", got.header, len(got.data), name)
			} else if got.header.GetSubject() != "band-"+name {
				t.Errorf("file %s arrived about %q, want what the agent has noted: a band's log must be found by its serial", name, got.header.GetSubject())
			}
		}
		s.put("d", []byte("late"))
		s.want(t, "delivered d")
	})
}

// TestAnUploadGoesOnWhereTheServerSays cuts it after each chunk and in the middle of one.
func TestAnUploadGoesOnWhereTheServerSays(t *testing.T) {
	for _, cut := range []int{0, chunkSize, 2 * chunkSize, 3 * chunkSize, 3*chunkSize + 7} {
		inUploads(t, "a", []answer{cutAt(cut), cutAt(cut)}, func(f *fleet, _ *conversation, s *fakeSpool) {
			s.want(t, "delivered a")
			first, second, third := <-f.uploads.arrived, <-f.uploads.arrived, <-f.uploads.arrived
			if len(first.data) != cut || len(second.data) != cut || !bytes.Equal(third.data, bytes.Repeat([]byte("a"), 3*chunkSize+7)) {
				t.Errorf("cut at %d: %d, %d and %d bytes had arrived; want nothing twice and the file unchanged", cut, len(first.data), len(second.data), len(third.data))
			}
			if a, b := second.at.Sub(first.at), third.at.Sub(second.at); a < 2*time.Second || a > 6*time.Second || b < 5*time.Second || b > 11*time.Second {
				t.Errorf("cut at %d: tried again after %s and %s, want a random pause that grows", cut, a, b)
			}
		})
	}
}

func TestWhatTheServerWillNeverHaveIsDropped(t *testing.T) {
	for name, c := range map[string]answer{
		"unknown kind": refuseWith(codes.InvalidArgument, "UNKNOWN_KIND"),
		"foreign task": refuseWith(codes.PermissionDenied, "FOREIGN_TASK"),
		"too large":    refuseWith(codes.ResourceExhausted, "ARTIFACT_TOO_LARGE"),
	} {
		t.Run(name, func(t *testing.T) {
			inUploads(t, "a b", []answer{c}, func(_ *fleet, _ *conversation, s *fakeSpool) {
				s.want(t, "dropped a: the server refuses it: no", "delivered b")
			})
		})
	}
}

func TestWhatMayWorkLaterIsKept(t *testing.T) {
	for name, c := range map[string]answer{
		"busy":           refuseWith(codes.Unavailable, "UPLOADS_BUSY"),
		"full":           refuseWith(codes.ResourceExhausted, "ARTIFACTS_FULL"),
		"older server":   refuseWith(codes.Unimplemented, ""),
		"not in service": refuseWith(codes.PermissionDenied, "TERMINAL_RE_ENROLLING"),
		"internal":       refuseWith(codes.Internal, "INTERNAL"),
		"silent": func(_ *uploads, s agentv1.AgentService_UploadArtifactServer, _ *agentv1.ArtifactHeader) error {
			<-s.Context().Done()
			return s.Context().Err()
		},
		"takes nothing": func(_ *uploads, s agentv1.AgentService_UploadArtifactServer, _ *agentv1.ArtifactHeader) error {
			_ = s.Send(&agentv1.UploadArtifactResponse{})
			<-s.Context().Done()
			return s.Context().Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inUploads(t, "a", []answer{c}, func(_ *fleet, _ *conversation, s *fakeSpool) {
				s.want(t, "delivered a")
			})
		})
	}
}

// TestASpoiltCopyIsSentAgain: when the server's disk lost what it had, the file here is still good; when it is not, it is dropped.
func TestASpoiltCopyIsSentAgain(t *testing.T) {
	spoil := func(u *uploads, s agentv1.AgentService_UploadArtifactServer, h *agentv1.ArtifactHeader) error {
		u.have[h.GetSha256()] = []byte("zeros")
		return takeAll(u, s, h)
	}
	inUploads(t, "a", []answer{spoil}, func(_ *fleet, _ *conversation, s *fakeSpool) {
		s.want(t, "delivered a")
	})
	inUploads(t, "", nil, func(_ *fleet, _ *conversation, s *fakeSpool) {
		s.hold("a", []byte("whole"), []byte("whelk"))
		s.want(t, "dropped a: the server refuses it")
		s.hold("b", []byte("whole"), nil)
		s.want(t, "dropped b: its file cannot be read")
	})
}

// TestNothingIsUploadedWithoutASession: the server may be telling this terminal to stay away.
func TestNothingIsUploadedWithoutASession(t *testing.T) {
	wait := func(_ *uploads, st agentv1.AgentService_UploadArtifactServer, _ *agentv1.ArtifactHeader) error {
		<-st.Context().Done()
		return st.Context().Err()
	}
	inUploads(t, "", []answer{wait}, func(f *fleet, c *conversation, s *fakeSpool) {
		time.Sleep(time.Minute)
		s.put("a", []byte("x"))
		synctest.Wait()
		begun := time.Now()
		c.over <- status.Error(codes.Unavailable, "cut")
		<-f.uploads.arrived
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the upload went on for %s after the session had ended", took)
		}
		next := <-f.sessions
		time.Sleep(10 * time.Second)
		if len(f.uploads.arrived) > 0 {
			t.Error("a file came before the next session was open")
		}
		next.welcome(t)
		s.want(t, "delivered a")
	})
}

// TestASessionIsNotHeldUpByAnUpload: an upload that nobody reads takes nothing of the session's window.
func TestASessionIsNotHeldUpByAnUpload(t *testing.T) {
	unread := func(_ *uploads, st agentv1.AgentService_UploadArtifactServer, _ *agentv1.ArtifactHeader) error {
		if err := st.Send(&agentv1.UploadArtifactResponse{}); err != nil {
			return err
		}
		<-st.Context().Done()
		return st.Context().Err()
	}
	inUploads(t, "a", []answer{unread}, func(_ *fleet, c *conversation, _ *fakeSpool) {
		time.Sleep(10 * time.Second)
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_PluginsRequest{PluginsRequest: &agentv1.PluginsRequest{Sha256: []string{"bb"}}}})
		begun := time.Now()
		if got := c.receive(t).GetPlugins(); len(got.GetPlugins()) != 1 || time.Since(begun) > time.Second {
			t.Errorf("the session answered %v after %s, want at once", got, time.Since(begun))
		}
	})
}
