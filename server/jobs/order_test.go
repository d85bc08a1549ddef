package jobs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// tolerant is a rollout that nothing stops, in which every failure is counted.
func tolerant() *fleetv1.Rollout {
	r := rollout.AllAtOnce()
	r.MaxErrors, r.MaxConsecutive, r.OnLimit = rollout.Count(100), 100, fleetv1.LimitAction_LIMIT_ACTION_CONTINUE
	return r
}

// says sends a result of which nobody waits for the acknowledgement.
func (r *rig) says(i int, job *fleetv1.Job, status actionv1.TaskStatus) {
	r.t.Helper()
	if err := r.engine.Result(r.t.Context(), terminalID(i), resultOf(job, status), func(error) {}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// onAFullDisk tests with a disk that refuses results once, twice and three times.
func onAFullDisk(t *testing.T, test func(t *testing.T, r *rig, refusals time.Duration)) {
	for n := range time.Duration(3) {
		t.Run(fmt.Sprintf("refused %d times", n+1), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { test(t, r, n) }, lyon(2)...)
		})
	}
}

// An agent sends its result again at each session. On a disk that is full for a while the one that came first stays the first:
// the task is counted once.
func TestAResultThatIsRepeatedOnAFullDiskCountsOnce(t *testing.T) {
	onAFullDisk(t, func(t *testing.T, r *rig, refusals time.Duration) {
		r.connectAll()
		job := r.create(spreading(tolerant()))
		r.disk.set(true)
		r.says(0, job, failed)
		r.says(0, job, failed)
		time.Sleep(refusals*retryAfter + retryAfter/2)
		r.disk.set(false)
		time.Sleep(3 * retryAfter)
		synctest.Wait()
		got := r.job(job)
		expect(t, "failed", got.GetCounts().GetFailed(), 1)
		expect(t, "unknown", got.GetCounts().GetUnknown(), 0)
		expect(t, "failures that count against the limits", got.GetProgress().GetErrors(), 1)
	})
}

// What the server gives up is written before the agent's own word that takes its place.
func TestAnAgentsWordAfterTheServersOnAFullDiskCountsOnce(t *testing.T) {
	onAFullDisk(t, func(t *testing.T, r *rig, refusals time.Duration) {
		r.connectAll()
		job := r.create(func(q *fleetv1.CreateJobRequest) {
			q.Spec.Rollout, q.Spec.ExpiresIn = tolerant(), durationpb.New(time.Hour)
		})
		r.disk.set(true)
		if err := r.engine.Retire(t.Context(), terminalID(0)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.says(0, job, failed)
		time.Sleep(refusals*retryAfter + retryAfter/2)
		r.disk.set(false)
		time.Sleep(3 * retryAfter)
		synctest.Wait()
		got := r.job(job)
		expect(t, "failed", got.GetCounts().GetFailed(), 1)
		expect(t, "unknown", got.GetCounts().GetUnknown(), 0)
		expect(t, "failures that count against the limits", got.GetProgress().GetErrors(), 1)
	})
}

// Results that come at the same moment by the clock, and after it was set back, stay in the order in which they came: a restart
// finds as many failures in a row as there were.
func TestTheOrderOfResultsOutlastsTheClock(t *testing.T) {
	for name, pass := range map[string]func(r *rig){
		"at the same moment":       func(*rig) {},
		"a clock that is set back": func(r *rig) { r.ahead(-time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connectAll()
				job := r.create(spreading(tolerant()))
				for i, status := range []actionv1.TaskStatus{failed, failed, failed, succeeded, failed} {
					r.end(i, job, status)
					pass(r)
				}
				expect(t, "failures in a row", r.job(job).GetProgress().GetConsecutive(), 1)
				r.restart()
				expect(t, "failures in a row after a restart", r.job(job).GetProgress().GetConsecutive(), 1)
			}, lyon(6)...)
		})
	}
}

// An agent's word that takes the place of the server's counts as the last result, live as after a restart.
func TestARowWhenAResultIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(tolerant()))
		r.disconnect(0)
		r.reconnect(0, "another journal")
		expect(t, "status", r.task(0, job).GetStatus(), unknown)
		r.end(1, job, succeeded)
		r.end(2, job, failed)
		r.end(0, job, failed)
		expect(t, "failures in a row", r.job(job).GetProgress().GetConsecutive(), 2)
		r.restart()
		expect(t, "failures in a row after a restart", r.job(job).GetProgress().GetConsecutive(), 2)
	}, lyon(4)...)
}
