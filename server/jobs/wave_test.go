package jobs

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/rollout"
)

const failed = actionv1.TaskStatus_TASK_STATUS_FAILED

// lyon is so many terminals at one site.
func lyon(n int) []string {
	sites := make([]string, n)
	for i := range sites {
		sites[i] = "lyon"
	}
	return sites
}

// spreading is a job with a rollout of its own.
func spreading(asked *fleetv1.Rollout) func(*fleetv1.CreateJobRequest) {
	return func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = asked }
}

func (r *rig) connectAll() {
	for i := range r.fleet.terminals {
		r.connect(i)
	}
}

// running are the terminals that a job runs on now.
func (r *rig) running(job *fleetv1.Job) string {
	r.t.Helper()
	return r.having(job, func(t *fleetv1.Task) bool { return t.GetState() == fleetv1.TaskState_TASK_STATE_RUNNING })
}

func (r *rig) having(job *fleetv1.Job, is func(*fleetv1.Task) bool) string {
	r.t.Helper()
	var found []string
	list, err := r.engine.Tasks(r.t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: job.GetId(), PageSize: paging.Most})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, t := range list.GetTasks() {
		if is(t) {
			found = append(found, fmt.Sprint(t.GetIndex()))
		}
	}
	return strings.Join(found, " ")
}

func (r *rig) end(i int, job *fleetv1.Job, status actionv1.TaskStatus) {
	r.t.Helper()
	if err := r.result(i, job, status); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) expectWait(i int, job *fleetv1.Job, reason fleetv1.WaitReason, words string) *fleetv1.Wait {
	r.t.Helper()
	w := r.task(i, job).GetWait()
	if w.GetReason() != reason || !strings.Contains(w.GetDetail(), words) {
		r.t.Errorf("task %d waits for %s %q, want %s with %q", i, w.GetReason(), w.GetDetail(), reason, words)
	}
	return w
}

// Without a word about the rollout: one canary, then the rest, a tenth at once.
func TestACanaryGoesFirst(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(nil))
		expect(t, "the canary", r.running(job), "0")
		r.expectWait(5, job, fleetv1.WaitReason_WAIT_REASON_WAVE, "wave 1 of 2, 1 terminal: 1 without a result yet")
		p := job.GetProgress()
		expect(t, "progress", fmt.Sprint(p.GetWave(), p.GetReach(), p.GetMaxErrors(), p.GetMaxConsecutive(), p.GetMaxConcurrent()), "1 [1 20] 1 3 2")
		r.end(0, job, succeeded)
		expect(t, "running after the canary", r.running(job), "1 2")
		expect(t, "wave", r.job(job).GetProgress().GetWave(), 2)
		expect(t, "limit of failures", r.job(job).GetProgress().GetMaxErrors(), 4)
		expect(t, "wave of the canary", r.task(0, job).GetWave(), 1)
		expect(t, "wave of the next", r.task(1, job).GetWave(), 2)
		expect(t, "wave of one that waits", r.task(9, job).GetWave(), 0)
		expect(t, "audit of the wave", r.change("job.wave", "wave"), "2")
		expect(t, "audited rollout", r.change("job.create", "rollout"),
			"waves 1,100%, max-concurrent 10%, max-errors 20%, max-consecutive 3, on-limit pause")
	}, lyon(20)...)
}

func TestFiveTargetsOrFewer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(nil))
		r.end(0, job, succeeded)
		expect(t, "running after the canary", r.running(job), "1 2 3 4")
	}, lyon(5)...)
}

// What changes nothing needs no canary.
func TestADryRunGoesToAllAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout, q.Spec.DryRun = nil, true })
		expect(t, "running", r.job(job).GetCounts().GetRunning(), 20)
	}, lyon(20)...)
}

func TestWavesOpenOneAfterTheOther(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		asked := rollout.AllAtOnce()
		asked.Waves = []*fleetv1.Amount{rollout.Count(2), rollout.Percent(50), rollout.Percent(100)}
		job := r.create(spreading(asked))
		expect(t, "wave 1", r.running(job), "0 1")
		r.end(0, job, succeeded)
		expect(t, "when half of wave 1 has a result", r.running(job), "1")
		r.end(1, job, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE)
		expect(t, "wave 2", r.running(job), "2 3 4")
		r.restart()
		r.connectAll()
		expect(t, "wave 2 after a restart", r.running(job), "2 3 4")
		expect(t, "wave after a restart", r.job(job).GetProgress().GetWave(), 2)
		for i := 2; i < 5; i++ {
			r.end(i, job, succeeded)
		}
		expect(t, "wave 3", r.running(job), "5 6 7 8 9")
		for i := 5; i < 10; i++ {
			r.end(i, job, succeeded)
		}
		got := r.job(job)
		expect(t, "state", got.GetState(), fleetv1.JobState_JOB_STATE_DONE)
		expect(t, "wave at the end", got.GetProgress().GetWave(), 3)
	}, lyon(10)...)
}

// Who is away, in use or locked holds no wave up: others take the place, and keep it.
func TestAWaveTakesOthers(t *testing.T) {
	for name, why := range map[string]agentv1.HoldReason{
		"a person": agentv1.HoldReason_HOLD_REASON_IN_USE, "a lock": agentv1.HoldReason_HOLD_REASON_LOCK,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connect(1)
				r.connect(2)
				job := r.create(spreading(nil))
				expect(t, "the canary, for 0 is offline", r.running(job), "1")
				r.ask(1, job, why, "ada is active")
				expect(t, "the canary, for 1 is held", r.running(job), "2")
				reason := fleetv1.WaitReason_WAIT_REASON_LOCK
				if why == agentv1.HoldReason_HOLD_REASON_IN_USE {
					reason = fleetv1.WaitReason_WAIT_REASON_IN_USE
				}
				r.expectWait(1, job, reason, "ada is active")
				r.end(2, job, succeeded)
				expect(t, "wave when the third has a result", r.job(job).GetProgress().GetWave(), 2)
			}, lyon(3)...)
		})
	}
}

// ask lets an agent say that it did not use its permit.
func (r *rig) ask(i int, job *fleetv1.Job, why agentv1.HoldReason, words string) {
	r.t.Helper()
	q := &agentv1.PermitRequest{Key: key(job), WaitedFor: words, Reason: why}
	if err := r.engine.PermitRequested(r.t.Context(), terminalID(i), q); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

// One whose task may be running does hold it up: perhaps it is the fix that took it away.
func TestACanaryThatIsLostHoldsTheWave(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(nil))
		r.disconnect(0)
		expect(t, "running elsewhere", r.running(job), "0")
		expect(t, "wave", r.job(job).GetProgress().GetWave(), 1)
	}, lyon(3)...)
}

func TestAPersonIsWaitedForOnlyWhereItMatters(t *testing.T) {
	for name, c := range map[string]struct {
		disruptive bool
		inUse      fleetv1.InUse
		dryRun     bool
		want       bool
	}{
		"disruptive":                  {disruptive: true, want: true},
		"not disruptive":              {},
		"the requester does not wait": {disruptive: true, inUse: fleetv1.InUse_IN_USE_PROCEED},
		"a dry run":                   {disruptive: true, dryRun: true},
	} {
		bubble(t, func(t *testing.T, r *rig) {
			r.fleet.actions["aa"].Disruptive = c.disruptive
			r.connect(0)
			job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.InUse, q.Spec.DryRun = c.inUse, c.dryRun })
			got := r.wire.sent["T-0000"][0].GetDispatch().GetTask().GetWaitWhileInUse()
			if got != c.want {
				t.Errorf("%s: the agent is to wait for people: %t, want %t", name, got, c.want)
			}
			if c.inUse == 0 {
				expect(t, "recorded", job.GetInUse(), fleetv1.InUse_IN_USE_WAIT)
			}
		}, "lyon")
	}
}

// Whoever looks must see at once why a permitted task has not started, and that it keeps its slot; and once it has, no late word
// makes it a waiting one again.
func TestWhatBlocksAPermittedTaskIsShownAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(atOnce(1)))
		blocked := &agentv1.Blocked{Key: key(job), Reason: agentv1.HoldReason_HOLD_REASON_IN_USE, WaitedFor: "in use by alice, active"}
		tell := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		tell(r.engine.Blocked(t.Context(), "T-0000", blocked))
		r.expectWait(0, job, fleetv1.WaitReason_WAIT_REASON_IN_USE, "in use by alice, active")
		r.expectWait(1, job, fleetv1.WaitReason_WAIT_REASON_SLOT, "1 of 1 slots are in use")
		expect(t, "running", r.job(job).GetCounts().GetRunning(), 0)
		tell(r.engine.Started(t.Context(), "T-0000", &agentv1.Started{Key: key(job)}))
		tell(r.engine.Blocked(t.Context(), "T-0000", blocked))
		expect(t, "running after its start", r.job(job).GetCounts().GetRunning(), 1)
	}, "lyon", "lyon")
}

func TestSlotsOfASite(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		asked := rollout.AllAtOnce()
		asked.MaxConcurrentPerSite = rollout.Percent(34)
		job := r.create(spreading(asked))
		// A third of 4 at lyon is 2, of 2 at paris 1.
		expect(t, "running", r.running(job), "0 1 4")
		r.expectWait(2, job, fleetv1.WaitReason_WAIT_REASON_SLOT, "2 of 2 slots at site lyon are in use")
		r.end(4, job, succeeded)
		expect(t, "running when paris has room", r.running(job), "0 1 5")
	}, "lyon", "lyon", "lyon", "lyon", "paris", "paris")
}

// The sites take turns, so that a large one does not come before all others.
func TestSlotsGoToTheSitesInTurn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		job := r.create(spreading(atOnce(2)))
		expect(t, "running", r.running(job), "0 3")
	}, "lyon", "lyon", "lyon", "paris", "paris")
}
