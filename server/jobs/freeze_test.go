package jobs

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// freezes are those that a test sets.
type freezes struct {
	mu     sync.Mutex
	bySite map[string]*fleetv1.FreezeState
}

// Frozen implements Freezes.
func (f *freezes) Frozen(site string) *fleetv1.FreezeState {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all := f.bySite[""]; all != nil {
		return all
	}
	return f.bySite[site]
}

// freeze freezes a site, or (an empty one) everything; lift lifts all that is frozen.
func (r *rig) freeze(site string) {
	r.t.Helper()
	r.freezes.mu.Lock()
	r.freezes.bySite = map[string]*fleetv1.FreezeState{site: {Site: site, By: "ada", Reason: "stocktaking", Since: timestamppb.New(time.Now())}}
	r.freezes.mu.Unlock()
	r.turned()
}

func (r *rig) lift() {
	r.t.Helper()
	r.freezes.mu.Lock()
	r.freezes.bySite = nil
	r.freezes.mu.Unlock()
	r.turned()
}

func (r *rig) turned() {
	r.t.Helper()
	if err := r.engine.FreezeChanged(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// ofPolicy is a job of a policy for one terminal.
func (r *rig) ofPolicy(i int) *fleetv1.Job {
	r.t.Helper()
	job, err := r.engine.CreateRemedy(r.t.Context(), admin(), Remedy{FaultID: "F-1", Policy: "start", Entry: "nbe-missing", Step: 1, Request: "r"}, &fleetv1.JobSpec{
		Action: "ble-restart", Selection: &fleetv1.Selection{Terminals: []string{terminalID(i)}}, Rollout: rollout.AllAtOnce(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	return job
}

// A freeze holds what no person asked for, and says who froze what, why and how it is lifted; what a person asks for goes on.
func TestAFreezeHoldsWhatNobodyAskedForUntilItIsLifted(t *testing.T) {
	for name, site := range map[string]string{"of its site": "lyon", "of all sites": ""} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.freeze(site)
				r.connect(0)
				job := r.ofPolicy(0)
				expect(t, "sent while frozen", r.dispatched(), 0)
				words := "frozen everywhere by ada since 2000-01-01T00:00:00Z: stocktaking; `fleetctl unfreeze` lifts it"
				if site != "" {
					words = "frozen at site lyon by ada since 2000-01-01T00:00:00Z: stocktaking; `fleetctl unfreeze --site lyon` lifts it"
				}
				r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_FROZEN, words)
				r.lift()
				expect(t, "sent when the freeze is lifted", r.dispatched(), 1)
			}, "lyon")
		})
	}
}

func TestAFreezeOfAnotherSiteAndAPersonsJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.freeze("turin")
		r.connect(0)
		r.ofPolicy(0)
		expect(t, "sent while another site is frozen", r.dispatched(), 1)
	}, "lyon", "turin")
	bubble(t, func(t *testing.T, r *rig) {
		r.freeze("lyon")
		r.connect(0)
		r.create(nil)
		expect(t, "sent for a person while the site is frozen", r.dispatched(), 1)
	}, "lyon")
}
