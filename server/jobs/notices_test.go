package jobs

import (
	"slices"
	"strings"
	"sync"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// board keeps what was posted.
type board struct {
	mu      sync.Mutex
	notices []string
}

func (b *board) Post(_ store.Writer, n *fleetv1.Notice) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notices = append(b.notices, n.GetEvent()+" "+n.GetSite()+": "+n.GetSummary())
	return nil
}

// take returns what was posted since the last call. An update may be tried again, and is posted in again.
func (b *board) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	got := slices.Compact(b.notices)
	b.notices = nil
	return got
}

// TestPeopleAreToldOfAJobThatWaitsForThem, at each of its sites.
func TestPeopleAreToldOfAJobThatWaitsForThem(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.create(nil)
		if got := r.board.take(); len(got) > 0 {
			t.Errorf("of a job that waits for nobody was told %q", got)
		}
		r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Approvals = 2 })
		want := []string{"job.awaiting-approval lyon: ble-restart on 1 terminals at lyon waits for 2 approvals", "job.awaiting-approval turin: ble-restart on 1 terminals at turin waits for 2 approvals"}
		if got := r.board.take(); !slices.Equal(got, want) {
			t.Errorf("was told %q, want %q", got, want)
		}
	}, "lyon", "turin")
}

// TestPeopleAreToldWhereAJobHasFailed and not of a dry run, nor where it succeeded.
func TestPeopleAreToldWhereAJobHasFailed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		for _, dry := range []bool{true, false} {
			job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.DryRun = dry })
			r.end(0, job, actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
			r.end(1, job, actionv1.TaskStatus_TASK_STATUS_FAILED)
		}
		got := r.board.take()
		if len(got) != 1 || !strings.Contains(got[0], "job.failed turin: ble-restart has not succeeded on 1 of 1 terminals at turin") {
			t.Errorf("was told %q, want the failure at turin and nothing else", got)
		}
	}, "lyon", "turin")
}
