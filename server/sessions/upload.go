package sessions

import (
	"context"
	"errors"
	"io"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// chunkPatience is how long the next part of an upload may take to come.
	chunkPatience = 30 * time.Second
	// uploadPatience is how long one call may take in all: a line that is slower goes on with the next call, and does not keep a
	// place that others wait for.
	uploadPatience = 15 * time.Minute
)

// Artifacts keeps what agents upload.
type Artifacts interface {
	// Receive takes one file: tell says what is here, next returns the chunks that follow from there.
	Receive(ctx context.Context, caller *storagev1.TerminalRecord, h *agentv1.ArtifactHeader,
		tell func(*agentv1.UploadArtifactResponse) error, next func() (*agentv1.ArtifactChunk, error)) error
}

// uploadStream is what an upload needs of its gRPC stream.
type uploadStream interface {
	Send(m *agentv1.UploadArtifactResponse) error
	Recv() (*agentv1.UploadArtifactRequest, error)
	Context() context.Context
}

// UploadArtifact implements AgentService.
func (v *Service) UploadArtifact(st agentv1.AgentService_UploadArtifactServer) error {
	return v.upload(st)
}

func (v *Service) upload(st uploadStream) error {
	caller := v.Terminal(st.Context())
	if caller.GetTerminal() == nil {
		return errNoTerminal()
	}
	ctx, cancel := context.WithTimeout(st.Context(), uploadPatience)
	defer cancel()
	u := &upload{stream: st, ctx: ctx, came: make(chan arrival)}
	// It ends with the stream, which ends when this returns.
	go u.receive()
	first, err := u.next()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return refusal.New(refusal.Invalid, "ARTIFACT_MALFORMED", "artefact: the first message is no header")
	}
	return v.Artifacts.Receive(ctx, caller, header, st.Send, func() (*agentv1.ArtifactChunk, error) {
		m, err := u.next()
		return m.GetChunk(), err
	})
}

// upload receives from a stream without waiting for ever.
type upload struct {
	stream uploadStream
	ctx    context.Context
	came   chan arrival
}

type arrival struct {
	message *agentv1.UploadArtifactRequest
	err     error
}

func (u *upload) receive() {
	for {
		m, err := u.stream.Recv()
		select {
		case u.came <- arrival{m, err}:
		case <-u.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// next waits for a message. The other side's end in the middle is no error of this one.
func (u *upload) next() (*agentv1.UploadArtifactRequest, error) {
	timer := time.NewTimer(chunkPatience)
	defer timer.Stop()
	select {
	case a := <-u.came:
		if errors.Is(a.err, io.EOF) {
			return nil, errBrokenOff("the agent ended it before all had come")
		}
		return a.message, a.err
	case <-timer.C:
		return nil, errBrokenOff("nothing came for " + chunkPatience.String())
	case <-u.ctx.Done():
		if err := u.stream.Context().Err(); err != nil {
			return nil, err
		}
		return nil, errBrokenOff("it took longer than one call may")
	}
}

func errBrokenOff(why string) error {
	return refusal.New(refusal.Unavailable, "UPLOAD_BROKEN_OFF", "artefact: %s", why).Then("go on later where it ended")
}
