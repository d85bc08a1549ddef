package guided

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares every task with what leads to it, and every file with its hash's place. The error names the first that is not what it
// should be; found says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		c := &verifier{v: v}
		err := errors.Join(c.tasks(ctx), c.counts())
		found = fmt.Sprintf("%d guided tasks", c.n)
		return err
	})
	return found, err
}

type verifier struct {
	v            store.Snapshot
	n, open, due int
}

func (c *verifier) tasks(ctx context.Context) error {
	var bad error
	err := c.v.Scan(store.TableGuided, nil, nil, func(key, value []byte) bool {
		c.n++
		if bad = errors.Join(ctx.Err(), c.task(key, value)); bad != nil {
			bad = fmt.Errorf("guided task %q: %w", key[min(1, len(key)):], bad)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}

func (c *verifier) task(key, value []byte) error {
	rec := &storagev1.GuidedRecord{}
	if err := proto.Unmarshal(value, rec); err != nil {
		return err
	}
	t := rec.GetTask()
	if !bytes.Equal(key, store.GuidedKey(t.GetId())) {
		return fmt.Errorf("in its place lies %q", t.GetId())
	}
	if due := dueKey(rec); due != nil {
		c.due++
		if _, err := c.v.Get(store.TableGuidedDue, due); err != nil {
			return fmt.Errorf("it is not found when it is due: %w", err)
		}
	}
	if !isOpen(t) {
		return nil
	}
	c.open++
	text, err := c.v.Get(store.TableGuidedOpen, []byte(rec.GetSlot()))
	led := &fleetv1.GuidedTask{}
	if err = errors.Join(err, proto.Unmarshal(text, led)); err == nil && led.GetId() != t.GetId() {
		err = fmt.Errorf("%q is open for the same", led.GetId())
	}
	return err
}

// counts wants no more in the indexes than leads to tasks.
func (c *verifier) counts() error {
	for _, index := range []struct {
		table store.Table
		want  int
	}{{store.TableGuidedOpen, c.open}, {store.TableGuidedDue, c.due}} {
		n := 0
		err := c.v.Scan(index.table, nil, nil, func(_, _ []byte) bool { n++; return true })
		if err != nil {
			return err
		}
		if n != index.want {
			return fmt.Errorf("table %q: holds %d records, and %d belong there", index.table, n, index.want)
		}
	}
	return nil
}
