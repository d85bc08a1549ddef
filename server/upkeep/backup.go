package upkeep

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/backupfile"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// portion is how many bytes are sent at a time.
const portion = 64 << 10

// Backups sends copies of the store of a running server.
type Backups struct {
	store *store.Bolt
	path  string
	now   func() time.Time
	// one is held by the backup that runs: each takes as much disk as the store.
	one sync.Mutex
}

// NewBackups makes the backups of the store that lies at path.
func NewBackups(st *store.Bolt, path string, now func() time.Time) *Backups {
	return &Backups{store: st, path: path, now: now}
}

// Send copies the store as it is now and hands the copy to send, portion by portion. Who took it is recorded first, so the
// record is in the copy too. send may be slow: the copy is made on the server's disk before anything is sent, so that nobody
// else waits for whoever reads it.
func (b *Backups) Send(ctx context.Context, by identity.Name, reason string, send func(portion []byte) error) (*fleetv1.BackupSummary, error) {
	if err := audit.CheckReason("reason", reason); err != nil {
		return nil, err
	}
	if !b.one.TryLock() {
		return nil, refusal.New(refusal.Exhausted, "BACKUP_RUNNING", "another backup is being taken").Then("wait for its end")
	}
	defer b.one.Unlock()
	tmp, err := besides(b.path, "backup")
	if err != nil {
		return nil, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	// Where an open file can be removed, a crash leaves nothing behind.
	_ = os.Remove(tmp.Name())
	at := b.now()
	err = b.store.Update(ctx, func(w store.Writer) error {
		return audit.Append(w, at, audit.Entry{Actor: by, Verb: "store.backup", Object: "store", Reason: reason})
	})
	if err != nil {
		return nil, err
	}
	if err := b.store.WriteTo(ctx, tmp); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refusal.New(refusal.Exhausted, "BACKUP_FAILED", "the server cannot write a copy of its store: %s", err).
			Then("free as much space on its disk as the store takes, then try again")
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	w := &sender{send: send, sum: sha256.New()}
	if _, err := io.CopyBuffer(w, onlyReader{tmp}, make([]byte, portion)); err != nil {
		return nil, err
	}
	return &fleetv1.BackupSummary{Size: w.size, Sha256: w.sum.Sum(nil), Time: timestamppb.New(at)}, nil
}

// sender hashes and sends what is written to it.
type sender struct {
	send func([]byte) error
	sum  hash.Hash
	size uint64
}

func (s *sender) Write(p []byte) (int, error) {
	_, _ = s.sum.Write(p) // never fails: see hash.Hash
	s.size += uint64(len(p))
	return len(p), s.send(p)
}

// onlyReader hides that a file can write itself out in portions of its own.
type onlyReader struct{ io.Reader }

// Backup copies the store of a stopped server to a file that is not there yet, and returns its size in bytes.
func Backup(ctx context.Context, dataDir, out string) (size uint64, err error) {
	st, err := open(Path(dataDir))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	file, err := backupfile.Create(out)
	if err != nil {
		return 0, err
	}
	defer file.Discard()
	if err := st.WriteTo(ctx, file); err != nil {
		return 0, fmt.Errorf("backup %q: %w", out, err)
	}
	return file.Size(), file.Keep()
}
