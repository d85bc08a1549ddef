package spool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// inMemory is how much of a draft is held in memory before there is a file, in bytes: most outputs never need one.
	inMemory = 64 << 10
	// lookEvery is after how many bytes the free space is looked at again.
	lookEvery = 1 << 20
)

var (
	errNoRoom = errors.New("the disk is nearly full")
	errClosed = errors.New("it is not being written any more")
)

// Draft is a file that is being written. It implements runner.Whole and is safe for concurrent use.
type Draft struct {
	spool *Spool
	// kind is what it is, subject what it is about; empty for the terminal.
	kind, subject string

	mu   sync.Mutex
	head []byte
	file *os.File
	name string
	sum  hash.Hash
	// size is how much is in the file, seen how much was written to the draft, looked where the free space was looked at.
	size   int64
	seen   uint64
	looked int64
	// stopped is why nothing more is taken: the file is as large as it may be, or cannot be written.
	stopped error
}

var (
	_ runner.Spool = (*Spool)(nil)
	_ runner.Whole = (*Draft)(nil)
)

// Begin begins a file of a kind. It ends with Keep or Discard.
func (s *Spool) Begin(kind string) runner.Whole {
	return s.begin(kind, "")
}

func (s *Spool) begin(kind, subject string) *Draft {
	return &Draft{spool: s, kind: kind, subject: subject, sum: sha256.New()}
}

// Add implements runner.Spool: it keeps what from holds, as much of it as a file of its kind may have.
func (s *Spool) Add(ctx context.Context, k *agentv1.TaskKey, kind, subject string, from io.Reader) (*actionv1.ArtifactReference, error) {
	d := s.begin(kind, subject)
	// One byte more than is kept tells that there was more.
	_, err := io.Copy(d, io.LimitReader(untilDone{ctx, from}, s.limits.most(kind)+1))
	if err != nil {
		return nil, errors.Join(err, d.Discard())
	}
	return d.Keep(k)
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx  context.Context
	from io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(p)
}

// Write implements io.Writer. It takes everything and never fails, so that whoever writes is not held up; what is kept of it
// is bounded.
func (d *Draft) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen += uint64(len(p))
	switch {
	case d.stopped != nil:
	case d.file == nil && len(d.head)+len(p) <= inMemory:
		d.head = append(d.head, p...)
	default:
		d.stopped = d.store(p)
	}
	return len(p), nil
}

// store writes to the file, which it makes with the first bytes that are too many for the memory.
func (d *Draft) store(p []byte) error {
	if d.file == nil {
		if err := d.create(); err != nil {
			return err
		}
		head := d.head
		d.head = nil
		if err := d.append(head); err != nil {
			return err
		}
	}
	return d.append(p)
}

func (d *Draft) create() (err error) {
	if err := d.room(); err != nil {
		return err
	}
	d.name = strings.ToLower(ulid.Make().String())
	d.file, err = d.spool.root.OpenFile(d.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

// append writes as much of p as the file may still take. What is hashed is what was written.
func (d *Draft) append(p []byte) error {
	var cut error
	most := d.spool.limits.most(d.kind)
	if room := most - d.size; int64(len(p)) > room {
		p, cut = p[:room], fmt.Errorf("it is larger than %d bytes", most)
	}
	if d.size-d.looked >= lookEvery {
		if err := d.room(); err != nil {
			return err
		}
		d.looked = d.size
	}
	n, err := d.file.Write(p)
	_, _ = d.sum.Write(p[:n]) // never fails: see hash.Hash
	d.size += int64(n)
	if err != nil {
		return err
	}
	return cut
}

// room wants enough free space for what comes until it is looked at again.
func (d *Draft) room() error {
	free, err := d.spool.cfg.Free(d.spool.cfg.Dir)
	if err == nil && free < d.spool.limits.MinFree+lookEvery {
		err = errNoRoom
	}
	return err
}

// Seen implements runner.Whole.
func (d *Draft) Seen() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// Keep implements runner.Whole: it makes the file durable and journals it before it says what it is.
func (d *Draft) Keep(k *agentv1.TaskKey) (*actionv1.ArtifactReference, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil && d.stopped == nil && len(d.head) > 0 {
		d.stopped = d.store(nil)
	}
	if d.size == 0 {
		err := d.stopped
		if err == nil {
			err = errors.New("nothing was written")
		}
		return nil, errors.Join(err, d.discard())
	}
	ref := &actionv1.ArtifactReference{
		Kind: d.kind, Subject: d.subject, Size: uint64(d.size), Sha256: hex.EncodeToString(d.sum.Sum(nil)), Truncated: d.stopped != nil,
	}
	if err := d.keep(k, ref); err != nil {
		return nil, errors.Join(err, d.discard())
	}
	return ref, nil
}

func (d *Draft) keep(k *agentv1.TaskKey, ref *actionv1.ArtifactReference) error {
	if err := errors.Join(d.file.Sync(), d.file.Close()); err != nil {
		return err
	}
	if err := private.SyncDir(d.spool.cfg.Dir); err != nil {
		return err
	}
	err := d.spool.add(&storagev1.JournalArtifact{Key: k, Reference: ref, File: d.name, Made: timestamppb.New(d.spool.cfg.Now())})
	if err == nil {
		d.file, d.stopped = nil, errClosed
	}
	return err
}

// Discard implements runner.Whole.
func (d *Draft) Discard() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.discard()
}

// discard throws the file away. After Keep it does nothing.
func (d *Draft) discard() error {
	d.head, d.stopped = nil, errClosed
	if d.file == nil {
		return nil
	}
	// It may be closed already.
	_ = d.file.Close()
	d.file = nil
	return d.spool.root.Remove(d.name)
}
