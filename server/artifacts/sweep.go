package artifacts

import (
	"context"
	"errors"
	"io"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// sweepEvery is how often is looked for what has expired.
	sweepEvery = time.Hour
	// sweepStep is how many records are removed before others are looked for: so memory and time of a step are bounded.
	sweepStep = 64
	// orphanGrace is how old a file without a record must be to be removed: it may belong to a store that comes back when a
	// restore is undone.
	orphanGrace = 7 * 24 * time.Hour
)

// Run removes what has expired until ctx ends. Its first look also finds files that no record names.
func (k *Keeper) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	err := k.removeOrphans(ctx)
	for {
		if err = errors.Join(err, k.Sweep(ctx)); err != nil && ctx.Err() == nil {
			k.cfg.Log.Warn("old artefacts were not all removed", "error", err)
		}
		select {
		case <-ticker.C:
			err = nil
		case <-ctx.Done():
			return
		}
	}
}

// Sweep removes what has expired, and what was never finished.
func (k *Keeper) Sweep(ctx context.Context) error {
	from := ""
	for {
		gone, next, err := k.expired(ctx, from)
		if err != nil {
			return err
		}
		for _, a := range gone {
			if err := k.expire(ctx, a); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		from = next
	}
}

// expired returns some of what is to be removed, and where to look on; an empty next says that there is no more.
func (k *Keeper) expired(ctx context.Context, from string) (gone []*fleetv1.Artifact, next string, err error) {
	now := k.cfg.Now()
	err = k.each(ctx, from, func(a *fleetv1.Artifact) bool {
		if now.Before(a.GetExpires().AsTime()) {
			return true
		}
		if len(gone) == sweepStep {
			next = a.GetId()
			return false
		}
		gone = append(gone, a)
		return true
	})
	return gone, next, err
}

func (k *Keeper) expire(ctx context.Context, a *fleetv1.Artifact) error {
	if !a.GetComplete() {
		if k.isUploading(a.GetTerminalId()) {
			return nil
		}
		k.cfg.Log.Info("an artefact that was never finished is removed", "artifact", a.GetId(), "terminal", a.GetTerminalId(), "job", a.GetJobId())
		return k.remove(ctx, a, nil)
	}
	entry := entryOf(a, "artifact.expire", identity.Name{})
	return k.remove(ctx, a, &entry)
}

// remove deletes an artefact, with an audit record when it was one. The record goes first: a crash in between leaves a file
// that nobody sees.
func (k *Keeper) remove(ctx context.Context, a *fleetv1.Artifact, entry *audit.Entry) error {
	err := k.cfg.Store.Update(ctx, func(w store.Writer) error {
		// Whoever removed it before has audited it.
		if _, err := read(w, a.GetId()); err != nil {
			return err
		}
		if err := drop(w, a); err != nil || entry == nil {
			return err
		}
		return audit.Append(w, k.cfg.Now(), *entry)
	})
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	k.release(a.GetTerminalId(), a.GetSize())
	return k.unlink(a.GetId())
}

// removeOrphans removes files that no record names, when they are old enough. What has no name of ours is left alone.
func (k *Keeper) removeOrphans(ctx context.Context) error {
	return k.eachFile(ctx, func(id string, modified time.Time) error {
		if !validID(id) || k.cfg.Now().Sub(modified) < orphanGrace {
			return nil
		}
		_, err := k.get(ctx, id)
		if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Kind != refusal.NotFound {
			return err
		}
		k.cfg.Log.Info("a file that no artefact names is removed", "file", id)
		return k.unlink(id)
	})
}

// eachFile calls fn for each file of the folder.
func (k *Keeper) eachFile(ctx context.Context, fn func(name string, modified time.Time) error) error {
	d, err := k.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		infos, err := d.Readdir(scanChunk)
		for _, info := range infos {
			if err := errors.Join(ctx.Err(), fn(info.Name(), info.ModTime())); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
