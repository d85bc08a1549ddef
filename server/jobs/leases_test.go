package jobs

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// leases has a job's task on terminal i succeed with a change that ends by itself.
func (r *rig) leases(i int, job *fleetv1.Job) {
	r.t.Helper()
	res := leasedResult(job)
	if err := r.engine.Result(r.t.Context(), terminalID(i), res, func(error) {}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func leasedResult(job *fleetv1.Job) *agentv1.Result {
	return &agentv1.Result{Key: key(job), Result: &actionv1.TaskResult{Status: succeeded, Plugin: "nes", Leases: []*actionv1.LeaseState{
		{Id: "l-1", Resources: []string{`file "nes/web.config"`}, Job: job.GetId()},
	}}}
}

func ended(id, outcome string) *actionv1.LeaseState {
	return &actionv1.LeaseState{Id: id, Ended: true, EndedAt: timestamppb.New(time.Now()), Outcome: outcome, Tries: 1}
}

// hears tells the engine what became of a lease and returns whether that was acknowledged, with the refusal if it was not.
func (r *rig) hears(i int, job *fleetv1.Job, l *actionv1.LeaseState) error {
	r.t.Helper()
	answer := make(chan error, 1)
	n := &agentv1.LeaseNews{Key: key(job), Lease: l}
	if err := r.engine.LeaseNews(r.t.Context(), terminalID(i), n, func(err error) { answer <- err }); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	select {
	case err := <-answer:
		return err
	default:
		return errors.New("no answer to the news")
	}
}

// TestTheEndOfALeaseIsInTheResultAndTheRecord, once, however often the agent tells it.
func TestTheEndOfALeaseIsInTheResultAndTheRecord(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		r.leases(0, job)
		stuck := &actionv1.LeaseState{Id: "l-1", Tries: 3, LastError: "the disk\nis full"}
		expect(t, "news of a failure", r.hears(0, job, stuck), nil)
		l := r.task(0, job).GetResult().GetLeases()[0]
		expect(t, "tries", l.GetTries(), 3)
		expect(t, "error", l.GetLastError(), "the disk is full")
		stuck = &actionv1.LeaseState{Id: "l-1", Tries: 9, LastError: "the disk is full"}
		expect(t, "news of a later failure", r.hears(0, job, stuck), nil)
		expect(t, "tries", r.task(0, job).GetResult().GetLeases()[0].GetTries(), 9)
		expect(t, "audit records of failures: the first only", r.audited("lease.fail"), 1)

		expect(t, "news of the end", r.hears(0, job, ended("l-1", "x: somebody changed it")), nil)
		expect(t, "the end again", r.hears(0, job, ended("l-1", "another story")), nil)
		expect(t, "a failure that comes late", r.hears(0, job, stuck), nil)
		l = r.task(0, job).GetResult().GetLeases()[0]
		expect(t, "ended", l.GetEnded() && l.GetEndedAt().IsValid(), true)
		expect(t, "outcome", l.GetOutcome(), "x: somebody changed it")
		expect(t, "error after the end", l.GetLastError(), "")
		expect(t, "resources", strings.Join(l.GetResources(), ""), `file "nes/web.config"`)
		expect(t, "audit records of the end", r.audited("lease.end"), 1)
		expect(t, "lease in the audit record", r.change("lease.end", "lease"), "l-1")
		expect(t, "who said so", r.audit("lease.end")[0].GetActor(), "agent/T-0000")
		expect(t, "site of the audit record", r.audit("lease.end")[0].GetChain(), r.audit("task.results")[0].GetChain())
		r.restart()
		expect(t, "ended after a restart", r.task(0, job).GetResult().GetLeases()[0].GetEnded(), true)
	}, "lyon")
}

// TestNewsOfALeaseThatIsNotThere: what can never be stored is NOT_FOUND, which is acknowledged; what may come yet, or is another's, is not.
func TestNewsOfALeaseThatIsNotThere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.runs()
		expectRefusal(t, r.hears(0, job, ended("l-1", "")), "NO_RESULT")
		r.leases(0, job)
		expectRefusal(t, r.hears(0, job, ended("l-2", "")), "LEASE_NOT_FOUND")
		expectRefusal(t, r.hears(0, &fleetv1.Job{Id: "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, ended("l-1", "")), "NOT_FOUND")
		expectRefusal(t, r.hears(99, job, ended("l-1", "")), "FOREIGN_TASK")
		expect(t, "ended", r.task(0, job).GetResult().GetLeases()[0].GetEnded(), false)
		expect(t, "audit records", r.audited("lease.end"), 0)
	}, "lyon")
}

// TestNewsComesWithItsResult: an agent that was away tells both at once, and a disk that is full for a while loses neither.
func TestNewsComesWithItsResult(t *testing.T) {
	for name, full := range map[string]bool{"at once": false, "while the disk is full": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				job := r.runs()
				r.disk.set(full)
				var answers []error
				note := func(err error) { answers = append(answers, err) }
				if err := r.engine.Result(t.Context(), "T-0000", leasedResult(job), note); err != nil {
					t.Fatal(err)
				}
				news := &agentv1.LeaseNews{Key: key(job), Lease: ended("l-1", "")}
				if err := r.engine.LeaseNews(t.Context(), "T-0000", news, note); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if full {
					expect(t, "answers while the disk is full", len(answers), 0)
					r.disk.set(false)
					time.Sleep(2 * retryAfter)
					synctest.Wait()
				}
				expect(t, "acknowledged", len(answers) == 2 && errors.Join(answers...) == nil, true)
				expect(t, "ended", r.task(0, job).GetResult().GetLeases()[0].GetEnded(), true)
				expect(t, "audit records", r.audited("lease.end"), 1)
			}, "lyon")
		})
	}
}

// TestWatchersSeeTheEndOfALease of a job that goes on.
func TestWatchersSeeTheEndOfALease(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.connect(0)
		job := r.create(nil)
		r.leases(0, job)
		w, err := r.engine.Watch(t.Context(), admin(), job.GetId())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		if _, err := w.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect(t, "news of the end", r.hears(0, job, ended("l-1", "")), nil)
		for {
			m, err := w.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, task := range m.GetTasks() {
				if ls := task.GetResult().GetLeases(); len(ls) > 0 && ls[0].GetEnded() {
					return
				}
			}
		}
	}, "lyon", "lyon")
}
