package jobs

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// pick draws one of the jobs; nil when there is none.
func (m *model) pick() *fleetv1.Job {
	if len(m.jobs) == 0 {
		return nil
	}
	return m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(m.rt, "job")]
}

// approve lets somebody approve a job, its requester too, and now and then something else than what it is.
func (m *model) approve() {
	job := m.pick()
	if job == nil {
		return
	}
	who := rapid.SampledFrom([]string{"ada", "bob", "cleo"}).Draw(m.rt, "approver")
	q := &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: m.now(job).GetApproval().GetDigest()}
	if rapid.IntRange(0, 9).Draw(m.rt, "other digest") == 0 {
		q.Digest = job.GetApproval().GetDigest() + "0"
	}
	if rapid.Bool().Draw(m.rt, "for a minute") {
		q.ValidFor = durationpb.New(time.Minute)
	}
	after, err := m.engine.Approve(m.t.Context(), approver(who), q)
	switch {
	case err != nil:
		// Whether it could be refused is what the invariants tell: what was not given must not count.
		return
	case who == job.GetRequester():
		m.rt.Fatalf("%s approved job %s, which is the job of %s", who, job.GetId(), job.GetRequester())
	}
	for _, given := range after.GetApproval().GetApprovals() {
		if given.GetBy() == who {
			m.given[job.GetId()] = append(m.given[job.GetId()], given)
		}
	}
}

// approvers counts the people whose approval of what the job is now was given and is not over.
func (m *model) approvers(job *fleetv1.Job) int {
	who := make(map[string]bool)
	for _, given := range m.given[job.GetId()] {
		if given.GetDigest() == job.GetApproval().GetDigest() && time.Now().Before(given.GetExpires().AsTime()) {
			who[given.GetBy()] = true
		}
	}
	return len(who)
}

// retry tries a job again, where that is possible.
func (m *model) retry() {
	job := m.pick()
	if job == nil {
		return
	}
	again, err := m.engine.Retry(m.t.Context(), admin(), &fleetv1.RetryJobRequest{Id: job.GetId()})
	if err != nil {
		return
	}
	before := make(map[string]*fleetv1.Task)
	for _, t := range m.tasks(job) {
		before[t.GetTerminalId()] = t
	}
	for _, t := range m.tasks(again) {
		if old := before[t.GetTerminalId()]; old == nil || served(old.GetStatus()) {
			m.rt.Fatalf("job %s tries %s again, where job %s came to %v", again.GetId(), t.GetTerminalId(), job.GetId(), old.GetStatus())
		}
	}
	if was := m.now(job).GetApproval().GetNeeded(); again.GetApproval().GetNeeded() < was {
		m.rt.Fatalf("job %s needs %d approvals, and its retry %d", job.GetId(), was, again.GetApproval().GetNeeded())
	}
	m.jobs = append(m.jobs, again)
}

func (m *model) tasks(job *fleetv1.Job) []*fleetv1.Task {
	list, err := m.engine.Tasks(m.t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: job.GetId()})
	if err != nil {
		m.rt.Fatal(err)
	}
	return list.GetTasks()
}

// checkCounts wants a job's counts to be those of its tasks.
func (m *model) checkCounts(job *fleetv1.Job) {
	counted := &fleetv1.JobCounts{}
	for _, t := range m.tasks(job) {
		counted.Total++
		switch t.GetState() {
		case fleetv1.TaskState_TASK_STATE_DONE:
			*bucket(counted, t.GetStatus())++
		case fleetv1.TaskState_TASK_STATE_RUNNING:
			counted.Running++
		default:
			counted.Waiting++
		}
	}
	if !proto.Equal(job.GetCounts(), counted) {
		m.rt.Fatalf("job %s counts {%v}, and its tasks are {%v}", job.GetId(), job.GetCounts(), counted)
	}
}

// checkOutcome holds at the end: the record says what the agents did.
func (m *model) checkOutcome(job *fleetv1.Job) {
	for _, t := range m.tasks(job) {
		for _, a := range m.agents {
			if t.GetTerminalId() != terminalID(a.index) || a.lost[job.GetId()] && t.GetStatus() == unknown {
				continue
			}
			ran, status := m.starts[fmt.Sprint(a.index, job.GetId())] > 0, t.GetStatus()
			if ran != (status == succeeded || status == failed) || ran && status != a.outcomes[job.GetId()] {
				m.rt.Fatalf("job %s on %s is %v; that it ran is %t, with the outcome %v", job.GetId(), terminalID(a.index), status, ran, a.outcomes[job.GetId()])
			}
		}
	}
}
