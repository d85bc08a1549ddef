package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"
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
	list, err := r.engine.Tasks(r.t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: job.GetId(), PageSize: maxPage})
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
		r.expectWait(5, job, fleetv1.WaitReason_WAIT_REASON_WAVE, "wave 1 of 2, 1 terminals: 1 have no result yet")
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

func TestFailuresPauseAJob(t *testing.T) {
	ten := rollout.AllAtOnce()
	ten.MaxErrors = rollout.Percent(20)
	for name, c := range map[string]struct {
		asked   *fleetv1.Rollout
		results []actionv1.TaskStatus
		reason  string
	}{
		"a failed canary": {nil, []actionv1.TaskStatus{failed}, "1 of the 1 terminals of wave 1 failed: line-0 (the limit is 1)"},
		"one of five":     {ten, []actionv1.TaskStatus{failed, succeeded, unknown}, "2 of the 10 terminals of wave 1 failed: line-0, line-2 (the limit is 2)"},
		"not yet":         {ten, []actionv1.TaskStatus{failed, succeeded}, ""},
		"a row": {&fleetv1.Rollout{Waves: rollout.AllAtOnce().GetWaves(), MaxErrors: rollout.Percent(100), MaxConcurrent: rollout.Percent(100), MaxConsecutive: 3},
			[]actionv1.TaskStatus{failed, succeeded, refused, actionv1.TaskStatus_TASK_STATUS_CONFLICT, actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK},
			"4 of the 10 terminals of wave 1 failed: line-0, line-2, line-3, line-4 (3 in a row are the limit)"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connectAll()
				job := r.create(spreading(c.asked))
				for i, status := range c.results {
					r.end(i, job, status)
				}
				got := r.job(job).GetPause()
				expect(t, "reason of the pause", got.GetReason(), c.reason)
				if c.reason != "" {
					expect(t, "paused by", got.GetBy(), byRollout)
					expect(t, "audit records of the pause", r.audited("job.pause"), 1)
				}
			}, lyon(10)...)
		})
	}
}

func TestALimitStopsOrOnlyCounts(t *testing.T) {
	for action, want := range map[fleetv1.LimitAction]string{
		fleetv1.LimitAction_LIMIT_ACTION_STOP:     "cancelled: stopped by rollout: a limit of failures was reached",
		fleetv1.LimitAction_LIMIT_ACTION_CONTINUE: "running",
	} {
		bubble(t, func(t *testing.T, r *rig) {
			r.connectAll()
			job := r.create(spreading(&fleetv1.Rollout{OnLimit: action}))
			r.end(0, job, failed)
			task := r.task(1, job)
			got := "running"
			if task.GetState() == fleetv1.TaskState_TASK_STATE_DONE {
				got = statusWord(task.GetStatus()) + ": " + task.GetResult().GetReason()
			}
			expect(t, "what becomes of the others", got, want)
			expect(t, "failures", r.job(job).GetProgress().GetErrors(), 1)
			if r.job(job).GetCancelled() {
				expect(t, "why it was stopped", r.job(job).GetCancelReason(), "1 of the 1 terminals of wave 1 failed: line-0 (the limit is 1)")
			}
			expect(t, "audit records of a stop", r.audited("job.stop"), map[bool]int{true: 1}[action == fleetv1.LimitAction_LIMIT_ACTION_STOP])
		}, lyon(3)...)
	}
}

// What is known at creation says nothing of what the job does.
func TestARefusalAtCreationIsNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 5 {
			r.fleet.terminals[i].PluginSha256 = nil
		}
		r.connectAll()
		job := r.create(spreading(nil))
		expect(t, "the canary", r.running(job), "5")
		expect(t, "reach", fmt.Sprint(job.GetProgress().GetReach()), "[1 5]")
		expect(t, "failures", job.GetProgress().GetErrors(), 0)
	}, lyon(10)...)
}

// A result that takes the place of UNKNOWN is counted instead of it.
func TestALateResultIsCountedAnew(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connectAll()
		asked := rollout.AllAtOnce()
		asked.MaxErrors = rollout.Count(3)
		job := r.create(spreading(asked))
		if err := r.engine.Retire(t.Context(), "T-0000"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "failures with an unknown outcome", r.job(job).GetProgress().GetErrors(), 1)
		r.end(0, job, succeeded)
		expect(t, "failures when it turns out to be a success", r.job(job).GetProgress().GetErrors(), 0)
	}, lyon(5)...)
}

// The server is killed after the result is on disk and before the pause is: the next one pauses before anything starts.
func TestALimitIsFoundAgainAfterAKill(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(spreading(nil))
		r.end(0, job, failed)
		r.rewrite(job, func(rec *storagev1.JobRecord) { rec.Job.Pause = nil })
		expect(t, "paused by, after the restart", r.job(job).GetPause().GetBy(), byRollout)
		r.connect(1)
		expectSent(t, r.wire.take("T-0001"))
		expect(t, "audit records of both pauses", r.audited("job.pause"), 2)
	}, lyon(3)...)
}

// rewrite restarts the server on a store in which a job's record is another.
func (r *rig) rewrite(job *fleetv1.Job, change func(*storagev1.JobRecord)) {
	r.t.Helper()
	r.halt()
	st, err := store.Open(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	err = st.Update(context.Background(), func(w store.Writer) error {
		rec, err := readJob(w, job.GetId())
		if err != nil {
			return err
		}
		change(rec)
		return put(w, store.TableJobs, store.JobKey(job.GetId()), rec)
	})
	if err := errors.Join(err, st.Close()); err != nil {
		r.t.Fatal(err)
	}
	r.start()
}

func TestSoak(t *testing.T) {
	asked := func() *fleetv1.Rollout {
		return &fleetv1.Rollout{Waves: []*fleetv1.Amount{rollout.Count(2)}, Soak: durationpb.New(10 * time.Minute), MaxErrors: rollout.Count(1)}
	}
	// served is a job whose first wave is done.
	served := func(r *rig) *fleetv1.Job {
		r.connectAll()
		job := r.create(spreading(asked()))
		r.end(0, job, succeeded)
		r.end(1, job, succeeded)
		return job
	}
	pass := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
	}
	t.Run("well", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			w := r.expectWait(2, job, fleetv1.WaitReason_WAIT_REASON_WAVE, "the health of those served is watched until")
			if until := r.job(job).GetProgress().GetSoakUntil(); !until.AsTime().Equal(w.GetNextLook().AsTime()) {
				t.Errorf("the soak ends %s and the task is looked at %s", until.AsTime(), w.GetNextLook().AsTime())
			}
			pass(10*time.Minute - time.Second)
			expect(t, "running before the end of the soak", r.running(job), "")
			pass(time.Second)
			expect(t, "running after it", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
	t.Run("one is unhealthy", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			r.facts(1, false)
			got := r.job(job)
			expect(t, "reason", got.GetPause().GetReason(), "1 are offline or unhealthy after they were served: line-1 (the limit is 1)")
			expect(t, "sick", strings.Join(got.GetProgress().GetSick(), " "), "line-1")
			pass(time.Hour - 11*time.Minute)
			expect(t, "running after the soak", r.running(job), "")
			if _, err := r.engine.Resume(t.Context(), admin(), job.GetId(), "it is a known one"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			expect(t, "running when it was forgiven", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
	t.Run("one goes away", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			r.disconnect(0)
			pass(awayPatience - time.Second)
			if r.job(job).GetPause() != nil {
				t.Error("a line that is cut for a moment paused the job")
			}
			r.connect(0)
			r.disconnect(0)
			pass(awayPatience + time.Second)
			expect(t, "reason", r.job(job).GetPause().GetReason(), "1 are offline or unhealthy after they were served: line-0 (the limit is 1)")
		}, lyon(5)...)
	})
	t.Run("a restart of the server", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			job := served(r)
			pass(9*time.Minute + 55*time.Second)
			r.restart()
			pass(10 * time.Second)
			expect(t, "wave before anybody is back", r.job(job).GetProgress().GetWave(), 1)
			for i := range 5 {
				r.connect(i)
			}
			pass(awayPatience)
			if p := r.job(job).GetPause(); p != nil {
				t.Errorf("a restart of the server paused the job: %s", p.GetReason())
			}
			expect(t, "running after the soak", r.running(job), "2 3 4")
		}, lyon(5)...)
	})
}

// facts lets an agent say that its endpoint runs, or not.
func (r *rig) facts(i int, well bool) {
	r.t.Helper()
	s := &actionv1.ServiceState{Service: "Nymi Bluetooth Endpoint", Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_RUNNING}
	if !well {
		s.Status = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	}
	told := &agentv1.Facts{Services: []*actionv1.ServiceState{s}}
	if err := r.engine.Facts(r.t.Context(), terminalID(i), r.sessionOf(i), fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, told); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}
