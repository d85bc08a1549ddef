package store

import (
	"context"
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	"github.com/bandfleet/bandfleet/proto/boltfile"
)

// compactStep is how many bytes of records one transaction of a compaction holds.
const compactStep = 16 << 20

// WriteTo writes everything as it is committed now, as a file that Open takes. An update that makes the file grow waits for
// it to end, so w must be no slower than a disk: never a network.
func (b *Bolt) WriteTo(ctx context.Context, w io.Writer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := guardFault(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			_, err := tx.WriteTo(whileAlive{ctx, w})
			return err
		})
	})
	// The engine does not wrap what a writer returns.
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// whileAlive stops a long copy when nobody waits for it any more.
type whileAlive struct {
	ctx context.Context
	w   io.Writer
}

func (a whileAlive) Write(p []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

// CompactInto writes every record into a new file at path, without the space between them.
func (b *Bolt) CompactInto(path string) error {
	dst, err := boltfile.Open(path, boltfile.Options{})
	if err != nil {
		return err
	}
	err = guardFault(func() error { return bbolt.Compact(dst, b.db, compactStep) })
	if closing := dst.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("store: compact into %q: %w", path, err)
	}
	return nil
}
