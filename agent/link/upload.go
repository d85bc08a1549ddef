package link

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// chunkSize is how much of a file goes in one message, in bytes.
const chunkSize = 64 << 10

var errStalled = errors.New("the server takes nothing and says nothing")

// Spool is what the link needs of the files that wait for the server. Package agent/spool implements it.
type Spool interface {
	// Next returns what has waited longest.
	Next() (*storagev1.JournalArtifact, bool)
	// Changed holds a token when something new waits.
	Changed() <-chan struct{}
	Open(file string) (io.ReadSeekCloser, error)
	// Delivered removes a file that the server has; Drop one that it will never have, and logs why.
	Delivered(file string)
	Drop(file, why string)
}

// keepUploads brings one waiting file after the other to the server until ctx, which is the session's, ends.
func (l *Link) keepUploads(ctx context.Context) {
	if l.config.Spool == nil {
		return
	}
	sleep(ctx, time.Duration(chance()*float64(l.timing.uploadStart)))
	failures := 0
	for ctx.Err() == nil {
		a, ok := l.config.Spool.Next()
		if !ok {
			select {
			case <-l.config.Spool.Changed():
			case <-ctx.Done():
			}
			continue
		}
		err := l.upload(ctx, a)
		if ctx.Err() != nil && err != nil {
			return
		}
		if l.settleUpload(a, err) {
			failures = 0
			continue
		}
		most := grow(l.timing.uploadRetry, l.timing.uploadRetryMost, failures)
		failures++
		sleep(ctx, most/2+time.Duration(chance()*float64(most/2)))
	}
}

// settleUpload says whether nothing more is to be done about a file: the server has it, or will never have it.
func (l *Link) settleUpload(a *storagev1.JournalArtifact, err error) bool {
	log := l.config.Log.With("job", a.GetKey().GetJobId(), "sha256", a.GetReference().GetSha256())
	if err == nil {
		log.Info("the server has the artefact", "bytes", a.GetReference().GetSize())
		l.config.Spool.Delivered(a.GetFile())
		return true
	}
	if why := l.hopelessUpload(a, err); why != "" {
		l.config.Spool.Drop(a.GetFile(), why)
		return true
	}
	log.Debug("an artefact was not uploaded; it is tried again", "error", explain(l.config.Identity.Record().Server, err))
	return false
}

// hopelessUpload says why trying again is pointless, empty when it is not.
func (l *Link) hopelessUpload(a *storagev1.JournalArtifact, err error) string {
	st, ok := status.FromError(err)
	if !ok {
		if errors.Is(err, errUnreadable) {
			return err.Error()
		}
		return ""
	}
	switch reason := reasonOf(st); {
	case reason == "HASH_DIFFERS" && l.whole(a):
		// The server's copy was spoilt; it has thrown it away.
		return ""
	case st.Code() == codes.InvalidArgument, reason == "FOREIGN_TASK", reason == "ARTIFACT_TOO_LARGE":
		return "the server refuses it: " + st.Message()
	}
	return ""
}

// reasonOf is the server's stable word for a refusal.
func reasonOf(st *status.Status) string {
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// whole says whether a file still has its hash.
func (l *Link) whole(a *storagev1.JournalArtifact) bool {
	f, err := l.config.Spool.Open(a.GetFile())
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return err == nil && hex.EncodeToString(sum.Sum(nil)) == a.GetReference().GetSha256()
}

// errUnreadable says that a file of the spool cannot be read.
var errUnreadable = errors.New("its file cannot be read")

// upload brings one file to the server, over a connection of its own: what waits on the session never waits for a file.
func (l *Link) upload(ctx context.Context, a *storagev1.JournalArtifact) error {
	f, err := l.config.Spool.Open(a.GetFile())
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	defer f.Close()
	conn, err := open(l.config.Identity.Record().Server, l.config.Identity.TLS(), l.dial)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	watchdog := time.AfterFunc(l.timing.stall, func() { cut(errStalled) })
	defer watchdog.Stop()
	st, err := agentv1.NewAgentServiceClient(conn).UploadArtifact(ctx)
	if err != nil {
		return err
	}
	u := &upload{stream: st, file: f, alive: func() { watchdog.Reset(l.timing.stall) }}
	err = u.run(a)
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// upload is one file on its way.
type upload struct {
	stream grpc.BidiStreamingClient[agentv1.UploadArtifactRequest, agentv1.UploadArtifactResponse]
	file   io.ReadSeeker
	// alive is called whenever the server has taken or said something.
	alive func()
}

// run says what comes, learns how much of it the server has, and sends the rest.
func (u *upload) run(a *storagev1.JournalArtifact) error {
	ref := a.GetReference()
	header := &agentv1.ArtifactHeader{Key: a.GetKey(), Kind: ref.GetKind(), Size: ref.GetSize(), Sha256: ref.GetSha256(), Subject: ref.GetSubject()}
	// A failed send is explained by the receive that follows.
	_ = u.stream.Send(&agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Header{Header: header}})
	answer, err := u.stream.Recv()
	if err != nil || answer.GetComplete() {
		return err
	}
	u.alive()
	if answer.GetReceived() > ref.GetSize() {
		return fmt.Errorf("the server has %d bytes of a file of %d", answer.GetReceived(), ref.GetSize())
	}
	if err := u.send(answer.GetReceived(), ref.GetSize()); err != nil {
		return err
	}
	// So that the server need not wait for what does not come.
	_ = u.stream.CloseSend()
	for {
		if answer, err = u.stream.Recv(); err != nil || answer.GetComplete() {
			return err
		}
		u.alive()
	}
}

// send sends the file from an offset up to its size. When the server takes no more, what it has against it is received
// afterwards.
func (u *upload) send(offset, size uint64) error {
	if _, err := u.file.Seek(int64(offset), io.SeekStart); err != nil {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	buf := make([]byte, chunkSize)
	for offset < size {
		data := buf[:min(chunkSize, size-offset)]
		if _, err := io.ReadFull(u.file, data); err != nil {
			return fmt.Errorf("%w: %w", errUnreadable, err)
		}
		chunk := &agentv1.ArtifactChunk{Offset: offset, Data: data}
		taken := u.stream.Send(&agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Chunk{Chunk: chunk}}) == nil
		if !taken {
			return nil
		}
		u.alive()
		offset += uint64(len(data))
	}
	return nil
}
