package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// maxEffectTimeout bounds what an effect may wait.
	maxEffectTimeout = 10 * time.Minute
	// readTimeout bounds the reading of a state that must be known although the run's own time is over.
	readTimeout = 10 * time.Second
)

// do carries out an effect that was admitted: state before, intent to the journal, the deed, state after, outcome to the
// journal. An effect that does not come about is in the record; an error means that the record is not to be relied on.
func (c *course) do(ctx context.Context, req *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	if req.GetEffect().GetConfirm() != nil {
		return c.confirm(ctx, req)
	}
	d, err := c.deedOf(req.GetPlanId(), req.GetEffect())
	if err != nil {
		return nil, err
	}
	if h := c.r.holder(d.resource()); h != nil {
		return nil, fmt.Errorf("%s: lease %q holds it", d.resource(), h.lease.GetId())
	}
	before, err := look(ctx, d)
	if err != nil {
		return nil, err
	}
	record := &actionv1.RecordedEffect{
		PlanId: req.GetPlanId(), Effect: proto.CloneOf(req.GetEffect()), Before: before, Inverse: d.inverse(), Started: stamp(time.Now()),
	}
	if d, err = (work{r: c.r, key: c.key(), c: c}).begun(record); err != nil {
		return nil, err
	}
	return c.journalledDeed(record, func() error { return c.carryOut(ctx, d, record) })
}

// journalledDeed has a deed stand between the record of what is about to be done and that of what came of it. An error of the
// deed means that nothing may be recorded any more.
func (c *course) journalledDeed(record *actionv1.RecordedEffect, deed func() error) (*actionv1.RecordedEffect, error) {
	sequence, err := c.r.journal.EffectIntent(c.key(), c.rec.GetRuns(), record)
	if fail := c.journalled(err); fail != nil {
		return nil, err
	}
	entry := &storagev1.JournalEffect{Effect: record, Run: c.rec.GetRuns()}
	c.effects = append(c.effects, entry)
	if err := deed(); err != nil {
		return nil, err
	}
	entry.Finished = true
	if err := c.r.journal.EffectOutcome(c.key(), sequence, record); err != nil {
		c.journalled(err)
		return nil, err
	}
	return proto.CloneOf(record), nil
}

// carryOut does the deed and completes the record, unless it is to stay open.
func (c *course) carryOut(ctx context.Context, d deed, record *actionv1.RecordedEffect) error {
	limited, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	after, err := contained(func() (*actionv1.State, error) { return d.do(limited, proto.CloneOf(record.GetBefore())) })
	if errors.Is(err, errOpen) {
		return err
	}
	var readErr error
	if after == nil {
		after, readErr = look(context.WithoutCancel(ctx), d)
	}
	record.Finished, record.After = stamp(time.Now()), after
	record.Changed = didChange(record, readErr == nil)
	if err == nil && readErr == nil {
		err = notReached(d, after)
	}
	if err = errors.Join(err, readErr); err != nil {
		record.Error = clip(err.Error(), maxText)
	}
	return nil
}

// didChange says whether a record counts as a change. What cannot be read counts, so that it is put back; so does what nobody can
// undo, so that nobody says that it was.
func didChange(record *actionv1.RecordedEffect, known bool) bool {
	switch {
	case changesNothing(record.GetEffect()):
		return false
	case !known || record.GetInverse() == actionv1.Inverse_INVERSE_NONE:
		return true
	}
	return !same(record.GetBefore(), record.GetAfter())
}

func notReached(d deed, after *actionv1.State) error {
	if err := d.reached(after); err != nil {
		return fmt.Errorf("right after it was done: %w", err)
	}
	return nil
}
