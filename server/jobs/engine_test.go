package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

const (
	succeeded = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	cancelled = actionv1.TaskStatus_TASK_STATUS_CANCELLED
	expired   = actionv1.TaskStatus_TASK_STATUS_EXPIRED
	unknown   = actionv1.TaskStatus_TASK_STATUS_UNKNOWN
	refused   = actionv1.TaskStatus_TASK_STATUS_REFUSED

	accepted = agentv1.TaskState_TASK_STATE_ACCEPTED
	started  = agentv1.TaskState_TASK_STATE_STARTED
)

func protoUnmarshal(b []byte, m proto.Message) error { return proto.Unmarshal(b, m) }

// bubble runs a test in synthetic time with an engine over terminals at the given sites.
func bubble(t *testing.T, test func(t *testing.T, r *rig), sites ...string) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, sites...)
		test(t, r)
		r.halt()
	})
}

func TestATaskRunsFromCreationToResult(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		expect(t, "state", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
		expect(t, "default of stop_timeout", job.GetParams()["stop_timeout"], "10s")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatalf("the result was not taken: %v", err)
		}
		got := r.job(job)
		expect(t, "job state", got.GetState(), fleetv1.JobState_JOB_STATE_DONE)
		expect(t, "succeeded", got.GetCounts().GetSucceeded(), 1)
		expect(t, "plugin in the stored result", r.task(0, job).GetResult().GetPlugin(), "endpoint")
		expect(t, "audit records of the creation", r.audited("job.create"), 1)
		expect(t, "audit records of results", r.audited("task.results"), 1)
	}, "lyon")
}

func TestARepeatedResultIsAcknowledgedAndRecordedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		for range 3 {
			if err := r.result(0, job, succeeded); err != nil {
				t.Fatalf("a repeated result must be acknowledged, or the agent sends it for ever: %v", err)
			}
		}
		if err := r.result(0, job, actionv1.TaskStatus_TASK_STATUS_FAILED); err != nil {
			t.Fatal(err)
		}
		expect(t, "status after a differing repetition", r.task(0, job).GetStatus(), succeeded)
		expect(t, "audit records of results", r.audited("task.results"), 1)
	}, "lyon")
}

func TestAForeignResultIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.Sites = []string{"lyon"} })
		if err := r.result(1, job, succeeded); err == nil {
			t.Error("a terminal that is no target reported a result and it was taken")
		}
		expect(t, "state", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_WAITING)
	}, "lyon", "paris")
}

func TestSlotsBoundWhatRunsAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 4 {
			r.connect(i)
		}
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(2) })
		expect(t, "running", r.job(job).GetCounts().GetRunning(), 2)
		expect(t, "wait", r.task(3, job).GetWait().GetDetail(), "2 of 2 slots are in use")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expect(t, "running after one result", r.job(job).GetCounts().GetRunning(), 2)
		expectSent(t, r.wire.take("T-0002"), "dispatch for 30s")
		expectSent(t, r.wire.take("T-0003"))
	}, "lyon", "lyon", "lyon", "lyon")
}

func TestAnOfflineTerminalIsServedWhenItConnects(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		w := r.task(0, job).GetWait()
		expect(t, "wait", w.GetReason(), fleetv1.WaitReason_WAIT_REASON_OFFLINE)
		expect(t, "detail", w.GetDetail(), "never connected")
		r.connect(0)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

func TestALockIsShownAndAnotherPermitGiven(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.wire.take("T-0000")
		ask := &agentv1.PermitRequest{Key: key(job), WaitedFor: "ble, held by job 1"}
		if err := r.engine.PermitRequested(t.Context(), "T-0000", ask); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectSent(t, r.wire.take("T-0000"), "permit")
		expect(t, "wait", r.task(0, job).GetWait().GetReason(), fleetv1.WaitReason_WAIT_REASON_LOCK)
		if err := r.engine.Started(t.Context(), "T-0000", &agentv1.Started{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		expect(t, "state", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
	}, "lyon")
}

func TestExpiry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(1)
		r.connect(2)
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.ExpiresIn = durationpb.New(10 * time.Minute) })
		r.disconnect(2)
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		expect(t, "never permitted", r.task(0, job).GetStatus(), expired)
		expect(t, "permitted and connected", r.task(1, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
		expect(t, "permitted and away", r.task(2, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		expect(t, "permitted and away after the grace", r.task(2, job).GetStatus(), unknown)
		if err := r.result(1, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expect(t, "job state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
		// The job is over and forgotten by the engine; the true result takes the place of the guess.
		if err := r.result(2, job, succeeded); err != nil {
			t.Fatalf("a late result must be taken: %v", err)
		}
		expect(t, "status after the late result", r.task(2, job).GetStatus(), succeeded)
		expect(t, "unknown", r.job(job).GetCounts().GetUnknown(), 0)
		expect(t, "succeeded", r.job(job).GetCounts().GetSucceeded(), 2)
	}, "lyon", "lyon", "lyon")
}

func TestASilentConnectedAgentDoesNotHoldAJobForEver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		expect(t, "status", r.task(0, job).GetStatus(), unknown)
		expect(t, "job state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
	}, "lyon")
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.wire.take("T-0000")
		if _, err := r.engine.Cancel(t.Context(), admin(), job.GetId(), "wrong site"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expect(t, "never permitted", r.task(1, job).GetStatus(), cancelled)
		expect(t, "reason", r.task(1, job).GetResult().GetReason(), "cancelled by ada: wrong site")
		expect(t, "permitted", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
		expectSent(t, r.wire.take("T-0000"), "cancel")
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		got := r.job(job)
		expect(t, "cancelled count", got.GetCounts().GetCancelled(), 1)
		expect(t, "succeeded count", got.GetCounts().GetSucceeded(), 1)
		expect(t, "cancelled by", got.GetCancelledBy(), "ada")
		if _, err := r.engine.Cancel(t.Context(), admin(), job.GetId(), "again"); err != nil {
			t.Errorf("a repeated cancel: %v", err)
		}
		expect(t, "audit records of the cancel", r.audited("job.cancel"), 1)
	}, "lyon", "lyon")
}

// What the agent's journal says at the next session decides what becomes of a task that was permitted.
func TestReconnect(t *testing.T) {
	for name, c := range map[string]struct {
		open           []agentv1.TaskState
		journalChanged bool
		cancel         bool
		sent           []string
		state          fleetv1.TaskState
		status         actionv1.TaskStatus
	}{
		"the dispatch was lost":          {sent: []string{"dispatch for 30s"}, state: fleetv1.TaskState_TASK_STATE_RUNNING},
		"accepted, not started":          {open: []agentv1.TaskState{accepted}, sent: []string{"dispatch for 30s"}, state: fleetv1.TaskState_TASK_STATE_RUNNING},
		"started":                        {open: []agentv1.TaskState{started}, state: fleetv1.TaskState_TASK_STATE_RUNNING},
		"the journal is new":             {journalChanged: true, state: fleetv1.TaskState_TASK_STATE_DONE, status: unknown},
		"cancelled, the dispatch lost":   {cancel: true, sent: []string{"cancel"}, state: fleetv1.TaskState_TASK_STATE_DONE, status: cancelled},
		"cancelled, accepted":            {cancel: true, open: []agentv1.TaskState{accepted}, sent: []string{"cancel"}, state: fleetv1.TaskState_TASK_STATE_DONE, status: cancelled},
		"cancelled, but it had started":  {cancel: true, open: []agentv1.TaskState{started}, state: fleetv1.TaskState_TASK_STATE_RUNNING},
		"cancelled, and the journal new": {cancel: true, journalChanged: true, state: fleetv1.TaskState_TASK_STATE_DONE, status: unknown},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(name+map[bool]string{false: "", true: ", after a restart of the server"}[restarted], func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					r.connect(0)
					job := r.create(nil)
					r.wire.take("T-0000")
					r.disconnect(0)
					if c.cancel {
						if _, err := r.engine.Cancel(t.Context(), admin(), job.GetId(), ""); err != nil {
							t.Fatal(err)
						}
					}
					if restarted {
						r.restart()
					}
					expect(t, "state before the reconnection", r.task(0, job).GetState(), fleetv1.TaskState_TASK_STATE_RUNNING)
					var list []*agentv1.OpenTask
					for _, s := range c.open {
						list = append(list, open(job, s))
					}
					journal := "journal"
					if c.journalChanged {
						journal = "another"
					}
					r.reconnect(0, journal, list...)
					expectSent(t, r.wire.take("T-0000"), c.sent...)
					expect(t, "state", r.task(0, job).GetState(), c.state)
					expect(t, "status", r.task(0, job).GetStatus(), c.status)
				}, "lyon")
			})
		}
	}
}

// A new journal is noticed by what the permit's mark says, and not by what was seen last: the server may have been killed, or
// the machine enrolled anew, since the journal was first told of.
func TestANewJournalIsNotForgottenByAKilledServer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.wire.take("T-0000")
		r.disconnect(0)
		r.disk.set(true)
		r.reconnect(0, "another")
		r.restart()
		r.reconnect(0, "another")
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "status", r.task(0, job).GetStatus(), unknown)
	}, "lyon")
}

// What is known not to have started may go to a new journal, under a mark of its own.
func TestATaskThatDidNotStartMayGoToANewJournal(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.connect(1)
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(1) })
		if err := r.engine.PermitRequested(t.Context(), "T-0000", &agentv1.PermitRequest{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.reconnect(0, "another")
		r.wire.take("T-0000")
		if err := r.result(1, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
		r.restart()
		r.reconnect(0, "journal")
		expectSent(t, r.wire.take("T-0000"))
		expect(t, "status when the old journal is back", r.task(0, job).GetStatus(), unknown)
	}, "lyon", "lyon")
}

func TestARestartGoesOnWithEveryTask(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.connect(i)
		}
		job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(2) })
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		r.restart()
		got := r.job(job)
		expect(t, "succeeded", got.GetCounts().GetSucceeded(), 1)
		expect(t, "running", got.GetCounts().GetRunning(), 2)
		for i := range 3 {
			r.connect(i)
		}
		for i := 1; i < 4; i++ {
			r.connect(i)
			if err := r.result(i, job, succeeded); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "job state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
		r.restart()
		expect(t, "succeeded after another restart", r.job(job).GetCounts().GetSucceeded(), 4)
	}, "lyon", "lyon", "lyon", "paris")
}

// What had arrived when the server was told to stop is stored before it ends.
func TestAStopStoresWhatHasArrived(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.connect(i)
		}
		job := r.create(nil)
		acknowledged := make(chan error, 3)
		for i := range 3 {
			if err := r.engine.Result(t.Context(), terminalID(i), resultOf(job, succeeded), func(err error) { acknowledged <- err }); err != nil {
				t.Fatal(err)
			}
		}
		r.halt()
		expect(t, "acknowledgements", len(acknowledged), 3)
		r.start()
		expect(t, "succeeded", r.job(job).GetCounts().GetSucceeded(), 3)
	}, "lyon", "lyon", "lyon")
}

func TestAnOldSessionsEndDoesNotEndTheNewOne(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		old := r.sessionOf(0)
		r.connect(0)
		if err := r.engine.Disconnected(t.Context(), "T-0000", old); err != nil {
			t.Fatal(err)
		}
		r.create(nil)
		expectSent(t, r.wire.take("T-0000"), "dispatch for 30s")
	}, "lyon")
}

func TestOneTerminalIsGivenAFewTasksAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var all []*fleetv1.Job
		for range maxPerTerminal + 2 {
			all = append(all, r.create(nil))
		}
		r.connect(0)
		expect(t, "messages", len(r.wire.take("T-0000")), maxPerTerminal)
		for _, job := range all {
			if err := r.result(0, job, succeeded); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, "messages for the rest", len(r.wire.take("T-0000")), 2)
	}, "lyon")
}

// atOnce is a rollout that only bounds how many run at once; 0 means no bound.
func atOnce(n uint32) *fleetv1.Rollout {
	r := rollout.AllAtOnce()
	if n > 0 {
		r.MaxConcurrent = rollout.Count(n)
	}
	return r
}

// A session takes the place of another before the engine knows what its agent holds. What is permitted in between must not reach
// it: the agent could start it while the server takes it for not started.
func TestNothingIsSentOnASessionThatTheEngineDoesNotKnow(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		r.session++
		r.wire.open(terminalID(0), r.session)
		job := r.create(nil)
		expectSent(t, r.wire.take(terminalID(0)))
		if err := r.engine.Connected(t.Context(), terminalID(0), r.session, nil, "journal"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		expectSent(t, r.wire.take(terminalID(0)), "dispatch for 30s")
		r.end(0, job, succeeded)
	}, "lyon")
}
