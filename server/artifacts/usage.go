package artifacts

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// usage is how much room the records have taken: what was announced counts from the announcement on.
type usage struct {
	total     uint64
	terminals map[string]share
}

// share is one terminal's part.
type share struct {
	bytes uint64
	count int
}

// count adds up what the store has.
func (k *Keeper) count(ctx context.Context) error {
	k.used = usage{terminals: map[string]share{}}
	return k.each(ctx, "", func(a *fleetv1.Artifact) bool {
		k.used.add(a.GetTerminalId(), a.GetSize())
		return true
	})
}

func (u *usage) add(terminal string, size uint64) {
	u.total += size
	s := u.terminals[terminal]
	u.terminals[terminal] = share{s.bytes + size, s.count + 1}
}

func (u *usage) remove(terminal string, size uint64) {
	u.total -= size
	s := u.terminals[terminal]
	if s = (share{s.bytes - size, s.count - 1}); s.count == 0 {
		delete(u.terminals, terminal)
		return
	}
	u.terminals[terminal] = s
}

// reserve takes room for an artefact that is announced, or refuses it.
func (k *Keeper) reserve(terminal string, size uint64) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.used.terminals[terminal]
	switch {
	case k.used.total+size > k.limits.MaxTotal:
		return refusal.New(refusal.Exhausted, "ARTIFACTS_FULL", "artefacts: they take %d of %d bytes: there is no room for %d more", k.used.total, k.limits.MaxTotal, size).
			Then("give them more room with artifacts_max_total, or keep them for a shorter time with artifacts_retention")
	case s.bytes+size > k.limits.MaxPerTerminal || s.count+1 > k.limits.MaxCountPerTerminal:
		return refusal.New(refusal.Exhausted, "ARTIFACTS_OF_TERMINAL_FULL", "terminal %q: has %d artefacts of %d bytes: there is no room for %d more", terminal, s.count, s.bytes, size).
			Then("wait until old ones expire")
	}
	k.used.add(terminal, size)
	return nil
}

func (k *Keeper) release(terminal string, size uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.used.remove(terminal, size)
}

// wantRoom refuses when the disk is so full that the server's store would soon have no room.
func (k *Keeper) wantRoom(more uint64) error {
	left, err := k.cfg.Free(k.cfg.Dir)
	if err != nil {
		return err
	}
	if left >= k.limits.MinFree+more {
		return nil
	}
	return errNoRoom()
}

func errNoRoom() error {
	return refusal.New(refusal.Exhausted, "DISK_FULL", "artefacts: the server's disk is nearly full").Then("make room on the server's disk")
}

// admit lets one more upload in. The answer ends it.
func (k *Keeper) admit(terminal string) (leave func(), err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.uploading[terminal] {
		return nil, refusal.New(refusal.Unavailable, "UPLOADING", "terminal %q: is bringing another artefact", terminal).Then("try again later")
	}
	select {
	case k.slots <- struct{}{}:
	default:
		return nil, refusal.New(refusal.Unavailable, "UPLOADS_BUSY", "artefacts: %d are coming already", k.limits.Uploads).Then("try again later")
	}
	k.uploading[terminal] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.uploading, terminal)
		<-k.slots
	}, nil
}

func (k *Keeper) isUploading(terminal string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.uploading[terminal]
}
