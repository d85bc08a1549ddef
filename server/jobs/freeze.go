package jobs

import (
	"context"
	"fmt"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Freezes says where nothing starts that no person asked for.
type Freezes interface {
	// Frozen returns the freeze that holds at a site, its own or that of all sites; nil when there is none. It must not block.
	Frozen(site string) *fleetv1.FreezeState
}

// nowhere is no freeze at all.
type nowhere struct{}

// Frozen implements Freezes.
func (nowhere) Frozen(string) *fleetv1.FreezeState { return nil }

func orNowhere(f Freezes) Freezes {
	if f == nil {
		return nowhere{}
	}
	return f
}

// FreezeChanged tells that freezes were set or lifted. When it returns, what was permitted and has not started at a site that is frozen now
// is being taken back, and what waits at one that is not goes on.
func (e *Engine) FreezeChanged(ctx context.Context) error {
	return e.do(context.WithoutCancel(ctx), func() {
		for _, s := range e.sites {
			before := s.frozen
			if s.frozen = e.freezes.Frozen(s.name); before != nil || s.frozen != nil {
				e.freezeTurned(s)
			}
		}
	})
}

func (e *Engine) freezeTurned(s *site) {
	for _, j := range e.active {
		for _, q := range j.queues {
			if q.site == s && j.unasked {
				if s.frozen != nil {
					e.holdBack(j, q, frozenWait(s.frozen).GetDetail())
				}
				j.changedThroughout()
			}
		}
	}
}

// frozenWait names who has frozen what, and why.
func frozenWait(f *fleetv1.FreezeState) *fleetv1.Wait {
	where, lift := "everywhere", "fleetctl unfreeze"
	if f.GetSite() != "" {
		where, lift = "at site "+f.GetSite(), "fleetctl unfreeze --site "+f.GetSite()
	}
	return waitFor(fleetv1.WaitReason_WAIT_REASON_FROZEN, "%s", fmt.Sprintf("frozen %s by %s since %s: %s; `%s` lifts it",
		where, f.GetBy(), f.GetSince().AsTime().UTC().Format(time.RFC3339), f.GetReason(), lift))
}
