package sessions

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// uploadPipe is an upload whose other end is the test.
type uploadPipe struct {
	ctx      context.Context
	toServer chan *agentv1.UploadArtifactRequest
}

func (p *uploadPipe) Context() context.Context                   { return p.ctx }
func (p *uploadPipe) Send(*agentv1.UploadArtifactResponse) error { return nil }
func (p *uploadPipe) Recv() (*agentv1.UploadArtifactRequest, error) {
	select {
	case m, ok := <-p.toServer:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// receiver takes as many chunks as it is told to.
type receiver struct {
	chunks int
	taken  int
	header *agentv1.ArtifactHeader
	caller *storagev1.TerminalRecord
}

func (r *receiver) Receive(_ context.Context, caller *storagev1.TerminalRecord, h *agentv1.ArtifactHeader,
	_ func(*agentv1.UploadArtifactResponse) error, next func() (*agentv1.ArtifactChunk, error),
) error {
	r.header, r.caller = h, caller
	for range r.chunks {
		c, err := next()
		if err != nil {
			return err
		}
		if c == nil {
			return errors.New("no chunk")
		}
		r.taken++
	}
	return nil
}

func headerMessage() *agentv1.UploadArtifactRequest {
	return &agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Header{Header: &agentv1.ArtifactHeader{Kind: "output"}}}
}

func chunkMessage() *agentv1.UploadArtifactRequest {
	return &agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Chunk{Chunk: &agentv1.ArtifactChunk{Data: []byte("x")}}}
}

// inUpload runs an upload of a terminal against what agent sends, and returns what the handler returned.
func inUpload(t *testing.T, r *receiver, terminal *storagev1.TerminalRecord, agent func(p *uploadPipe)) (took time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// As gRPC does: the stream's context ends when the handler returns.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p := &uploadPipe{ctx: ctx, toServer: make(chan *agentv1.UploadArtifactRequest)}
		v := New(Config{Artifacts: r, Terminal: func(context.Context) *storagev1.TerminalRecord { return terminal }})
		began := time.Now()
		var talking sync.WaitGroup
		if agent != nil {
			talking.Go(func() { agent(p) })
		}
		err = v.upload(p)
		took = time.Since(began)
		cancel()
		talking.Wait()
	})
	return took, err
}

func press() *storagev1.TerminalRecord {
	return &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: "T-0001"}}
}

func (p *uploadPipe) say(messages ...*agentv1.UploadArtifactRequest) {
	for _, m := range messages {
		select {
		case p.toServer <- m:
		case <-p.ctx.Done():
			return
		}
	}
}

func reasonOf(err error) string {
	var no *refusal.Error
	errors.As(err, &no)
	if no == nil {
		return ""
	}
	return no.Reason
}

func TestAnUploadIsHandedOn(t *testing.T) {
	r := &receiver{chunks: 2}
	_, err := inUpload(t, r, press(), func(p *uploadPipe) { p.say(headerMessage(), chunkMessage(), chunkMessage()) })
	if err != nil || r.taken != 2 || r.header.GetKind() != "output" || r.caller.GetTerminal().GetId() != "T-0001" {
		t.Errorf("%v after %d chunks of %v by %v; want the header, both chunks and the caller handed on", err, r.taken, r.header, r.caller)
	}
}

// TestASilentUploadDoesNotKeepItsPlace: who sends nothing, or hardly anything, must not keep others out for ever.
func TestASilentUploadDoesNotKeepItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		agent func(p *uploadPipe)
		took  time.Duration
	}{
		"no header": {nil, chunkPatience},
		"no chunk":  {func(p *uploadPipe) { p.say(headerMessage()) }, chunkPatience},
		"drip by drip": {func(p *uploadPipe) {
			p.say(headerMessage())
			for p.ctx.Err() == nil {
				time.Sleep(chunkPatience - time.Second)
				p.say(chunkMessage())
			}
		}, uploadPatience},
	} {
		t.Run(name, func(t *testing.T) {
			took, err := inUpload(t, &receiver{chunks: 1 << 20}, press(), c.agent)
			if reasonOf(err) != "UPLOAD_BROKEN_OFF" || took != c.took {
				t.Errorf("it ended with %v after %s, want it broken off after %s", err, took, c.took)
			}
		})
	}
}

func TestBadUploads(t *testing.T) {
	_, err := inUpload(t, &receiver{}, nil, nil)
	if reasonOf(err) != "NOT_A_TERMINAL" {
		t.Errorf("an upload of nobody ended with %v", err)
	}
	_, err = inUpload(t, &receiver{}, press(), func(p *uploadPipe) { p.say(chunkMessage()) })
	if reasonOf(err) != "ARTIFACT_MALFORMED" {
		t.Errorf("an upload that begins with a chunk ended with %v", err)
	}
	_, err = inUpload(t, &receiver{chunks: 2}, press(), func(p *uploadPipe) { p.say(headerMessage(), chunkMessage()); close(p.toServer) })
	if reasonOf(err) != "UPLOAD_BROKEN_OFF" {
		t.Errorf("an agent that leaves in the middle ends it with %v, want that it goes on later", err)
	}
}
