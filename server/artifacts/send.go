package artifacts

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Send hands an artefact to send from an offset on, portion by portion; what it is comes first. The whole file is hashed on
// the way, and the last portion is held back until the hash is known to be right: nobody gets all of a file that is damaged.
func (k *Keeper) Send(ctx context.Context, by identity.Name, id string, offset uint64, send func(*fleetv1.DownloadArtifactResponse) error) error {
	a, err := k.get(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case !a.GetComplete():
		return refusal.New(refusal.Precondition, "NOT_COMPLETE", "artefact %q: is still coming from terminal %q", a.GetId(), a.GetTerminalName()).
			Then("try again when `fleetctl artifact list` shows it as complete")
	case offset > a.GetSize():
		return refusal.New(refusal.OutOfRange, "BEYOND_END", "artefact %q: offset %d lies beyond its %d bytes", a.GetId(), offset, a.GetSize()).At("offset")
	case offset == 0:
		if err := k.noteDownload(ctx, by, a); err != nil {
			return err
		}
	}
	if err := send(&fleetv1.DownloadArtifactResponse{Artifact: a}); err != nil {
		return err
	}
	return k.stream(ctx, a, offset, send)
}

// noteDownload records who fetches it, before anything is sent.
func (k *Keeper) noteDownload(ctx context.Context, by identity.Name, a *fleetv1.Artifact) error {
	return k.cfg.Store.Update(ctx, func(w store.Writer) error {
		return audit.Append(w, k.cfg.Now(), entryOf(a, "artifact.download", by))
	})
}

func (k *Keeper) stream(ctx context.Context, a *fleetv1.Artifact, offset uint64, send func(*fleetv1.DownloadArtifactResponse) error) error {
	f, err := k.root.Open(a.GetId())
	if errors.Is(err, fs.ErrNotExist) {
		return k.lost(a, "its file is gone")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	r := &checked{in: bufio.NewReaderSize(f, 2*chunkSize), sum: sha256.New(), want: a}
	if err := r.skip(offset); err != nil {
		return k.streamError(a, err)
	}
	for {
		portion, err := r.next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return k.streamError(a, err)
		}
		if len(portion) == 0 {
			return nil
		}
		if err := send(&fleetv1.DownloadArtifactResponse{Data: portion}); err != nil {
			return err
		}
	}
}

// errDamaged says that a file is not what was stored.
var errDamaged = errors.New("its file has another size or hash than it had")

func (k *Keeper) streamError(a *fleetv1.Artifact, err error) error {
	if errors.Is(err, errDamaged) {
		return k.lost(a, err.Error())
	}
	return err
}

func (k *Keeper) lost(a *fleetv1.Artifact, why string) error {
	k.cfg.Log.Error("an artefact is lost", "artifact", a.GetId(), "why", why)
	return refusal.New(refusal.Lost, "ARTIFACT_DAMAGED", "artefact %q: %s; nothing of it can be trusted", a.GetId(), why).
		Then("look at the server's disk, and ask for the job again if its output is needed")
}

// checked reads a file in portions, and the last of them only when the whole has its hash.
type checked struct {
	in   *bufio.Reader
	sum  hash.Hash
	want *fleetv1.Artifact
	size uint64
	buf  [chunkSize]byte
}

// skip reads what is not wanted: it counts for the hash all the same.
func (r *checked) skip(n uint64) error {
	got, err := io.CopyN(r.sum, r.in, int64(n))
	r.size += uint64(got)
	if errors.Is(err, io.EOF) {
		return errDamaged
	}
	if err == nil && r.size == r.want.GetSize() {
		return r.judge()
	}
	return err
}

// next returns the next portion, which is good until the next call, and nothing after the last.
func (r *checked) next() ([]byte, error) {
	n, err := io.ReadFull(r.in, r.buf[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("artefact %q: %w", r.want.GetId(), err)
	}
	r.size += uint64(n)
	_, _ = r.sum.Write(r.buf[:n]) // never fails: see hash.Hash
	if _, err := r.in.Peek(1); err == nil && r.size < r.want.GetSize() {
		return r.buf[:n], nil
	}
	return r.buf[:n], r.judge()
}

// judge compares what was read with what was stored. Nothing may follow.
func (r *checked) judge() error {
	_, err := r.in.Peek(1)
	if errors.Is(err, io.EOF) && r.size == r.want.GetSize() && hex.EncodeToString(r.sum.Sum(nil)) == r.want.GetSha256() {
		return nil
	}
	return errDamaged
}
