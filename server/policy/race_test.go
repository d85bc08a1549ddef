package policy

import (
	"context"
	"sync"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/store"
)

// quick is what makes jobs that are done before whoever asked for them has their answer.
type quick struct {
	engine
	// seen is closed when it was looked at a job that is done.
	seen chan struct{}
	once *sync.Once
}

func (q quick) CreateRemedy(ctx context.Context, p *access.Principal, r jobs.Remedy, spec *fleetv1.JobSpec) (*fleetv1.Job, error) {
	job, err := q.engine.CreateRemedy(ctx, p, r, spec)
	if err != nil {
		return nil, err
	}
	q.w.mu.Lock()
	q.w.jobs[job.GetId()].State = fleetv1.JobState_JOB_STATE_DONE
	q.w.mu.Unlock()
	// Until it is heard: the listener may not listen yet.
	for {
		err := q.w.store.Update(ctx, func(w store.Writer) error { return w.Put(store.TableActiveJobs, store.Key(job.GetId()), []byte("x")) })
		if err != nil {
			return nil, err
		}
		select {
		case <-q.seen:
			return job, nil
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (q quick) Stored(ctx context.Context, id string) (*fleetv1.Job, error) {
	job, err := q.engine.Stored(ctx, id)
	if job.GetState() == fleetv1.JobState_JOB_STATE_DONE {
		q.once.Do(func() { close(q.seen) })
	}
	return job, err
}

// listening is what keeps faults and goes by what it is told of jobs.
type listening struct {
	desk
	told chan struct{}
	once *sync.Once
}

func (l listening) JobDone(_ context.Context, job *fleetv1.Job) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if f := l.w.faults[job.GetFaultId()]; f.GetJobId() == job.GetId() {
		f.JobId, f.State = "", fleetv1.FaultState_FAULT_STATE_OPEN
		l.w.due[f.GetId()] = l.w.now
	}
	l.once.Do(func() { close(l.told) })
	return nil
}

// TestAJobThatIsDoneAtOnceIsNotWaitedForForEver: its end is told while the decision to start it is still being written.
func TestAJobThatIsDoneAtOnceIsNotWaitedForForEver(t *testing.T) {
	w := newWorld(t)
	told := make(chan struct{})
	w.cfg.Jobs = quick{engine: engine{w}, seen: make(chan struct{}), once: &sync.Once{}}
	w.cfg.Faults = listening{desk{w}, told, &sync.Once{}}
	w.report("F-1", "nbe-missing", "T-1", nil)
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan struct{})
	go func() {
		defer close(events)
		w.watchJobs(ctx)
	}()
	if err := w.decide(t.Context(), "F-1"); err != nil {
		t.Fatal(err)
	}
	<-told
	cancel()
	<-events
	w.mu.Lock()
	defer w.mu.Unlock()
	f, at := w.faults["F-1"], w.due["F-1"]
	if f.GetJobId() != "" || f.GetState() != fleetv1.FaultState_FAULT_STATE_OPEN || !at.Equal(w.now) {
		t.Errorf("the fault is %v with job %q, due at %v; want it open and due now, for its job is done", f.GetState(), f.GetJobId(), at)
	}
}
