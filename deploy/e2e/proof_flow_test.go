package e2e

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/deploy/proof/record"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// proofPatience bounds one proof: a machine restarts in it, services are watched, and others run beside it.
const proofPatience = 12 * time.Minute

// course is one proof under way.
type course struct {
	*world
	entry *catalogue.Entry
	p     proof
	found string
	// asked: the desk has asked for the remedy itself.
	asked bool
	// saw is what has been seen so far.
	saw record.Proof
}

// terminalID is the machine that has the fault.
func (c *course) machineName() string {
	if c.p.at == "nes" || c.terminal == nil {
		return c.nes.name
	}
	return c.terminal.name
}

// run causes the fault, waits until it is known, and has it remedied. It returns what was seen.
func (c *course) run() record.Proof {
	c.t.Helper()
	c.saw = record.Proof{Entry: c.entry.ID, Found: c.found, Cause: c.p.cause, As: c.p.as}
	f := c.appear()
	if c.entry.Remedy.Kind == catalogue.Guided {
		c.byPerson(f)
		return c.saw
	}
	c.saw.Class = record.A
	c.byMachine(f)
	return c.saw
}

// appear has the fault become known.
func (c *course) appear() *fleetv1.Fault {
	c.t.Helper()
	if c.found == record.ByPerson {
		c.saw.Cause = "says so"
		answer := ask(c.t, c.hall.people.desk.faults.ReportFault, &fleetv1.ReportFaultRequest{
			Terminal: c.machineName(), Entry: c.entry.ID, Note: "seen at the terminal", RequestId: "report-" + c.site,
		})
		return answer.GetFault()
	}
	c.p.do(c.world)
	var found *fleetv1.Fault
	eventuallyWithin(c.t, proofPatience, "the fault "+c.wanted()+" is known", func() bool {
		found = c.look()
		return found != nil
	})
	return found
}

// wanted is the entry whose fault is to be seen.
func (c *course) wanted() string {
	if c.p.as != "" {
		return c.p.as
	}
	return c.entry.ID
}

// look finds the fault among those of its machine, whatever its state.
func (c *course) look() *fleetv1.Fault {
	all, err := tryAsk(c.hall.people.desk.faults.ListFaults, &fleetv1.ListFaultsRequest{
		Terminal: c.machineName(), Entry: c.wanted(), States: []fleetv1.FaultState{
			fleetv1.FaultState_FAULT_STATE_OPEN, fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED, fleetv1.FaultState_FAULT_STATE_REMEDIATING,
			fleetv1.FaultState_FAULT_STATE_GUIDED, fleetv1.FaultState_FAULT_STATE_RESOLVED,
		},
	})
	if err != nil || len(all.GetFaults()) == 0 {
		return nil
	}
	return all.GetFaults()[0]
}

func (c *course) fault(id string) *fleetv1.Fault {
	c.t.Helper()
	return ask(c.t, c.hall.people.desk.faults.GetFault, &fleetv1.GetFaultRequest{Id: id}).GetFault()
}

// byMachine has jobs remedy the fault, and wants it to end by them.
func (c *course) byMachine(f *fleetv1.Fault) {
	c.t.Helper()
	mended := false
	eventuallyWithin(c.t, proofPatience, "fault "+f.GetId()+" ("+c.entry.ID+") is resolved", func() bool {
		f = c.fault(f.GetId())
		if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
			return true
		}
		jobs := c.jobsOf(f)
		switch {
		case f.GetJobId() != "":
			c.attend(f.GetJobId())
		case len(jobs) == 0 && c.deskMustAsk(f):
			c.deskAsks(f)
		case c.allDone(jobs) && c.p.params != nil && !c.asked:
			c.deskAsks(f) // the step after those that need nobody
		case c.allDone(jobs) && c.p.mend != nil && !mended:
			c.p.mend(c.world)
			mended = true
		case c.allDone(jobs) && c.found != record.ByState:
			c.resolve(f)
		}
		return false
	})
	c.wantJobs(f)
}

// deskMustAsk says whether nothing happens by itself: only a person knows a parameter, or nobody trusts what says so.
func (c *course) deskMustAsk(f *fleetv1.Fault) bool {
	return !c.asked && f.GetDecision() != "" && (c.p.params != nil || c.found != record.ByState)
}

func (c *course) deskAsks(f *fleetv1.Fault) {
	c.t.Helper()
	params := map[string]string{}
	if c.p.params != nil {
		params = c.p.params(c.world)
	}
	answer := ask(c.t, c.hall.people.desk.faults.FixFault, &fleetv1.FixFaultRequest{
		Id: f.GetId(), Reason: "INC-4711", Params: params, Step: c.stepWith(params), RequestId: "fix-" + c.site,
	})
	if answer.GetJob() == nil {
		c.t.Fatalf("the desk asked for the remedy of %s and got guided task %q, want a job", c.entry.ID, answer.GetGuidedTask())
	}
	c.asked = true
}

// stepWith is the first step that has one of the parameters open, from 1; 0 when there are none.
func (c *course) stepWith(params map[string]string) uint32 {
	if c.entry.ID == "nes-verbose-logging" {
		return 1 // what a person says has no readings to go by
	}
	for i, s := range c.entry.Remedy.Steps {
		for name := range params {
			if _, has := s.Params[name]; has {
				return uint32(i) + 1
			}
		}
	}
	return 0
}

// attend approves a job that waits for it, and answers what it asks.
func (c *course) attend(id string) {
	c.t.Helper()
	c.revive()
	job := ask(c.t, c.hall.people.desk.jobs.GetJob, &fleetv1.GetJobRequest{Id: id}).GetJob()
	if approval := job.GetApproval(); int(approval.GetNeeded()) > len(approval.GetApprovals()) {
		c.saw.Approved = true
		for _, approver := range c.hall.people.approvers {
			// One may be enough, and then the second comes too late.
			_, _ = tryAsk(approver.jobs.ApproveJob, &fleetv1.ApproveJobRequest{Id: id, Digest: approval.GetDigest(), Reason: "agreed"})
		}
		return
	}
	if c.p.meanwhile != nil && job.GetState() != fleetv1.JobState_JOB_STATE_DONE {
		c.p.meanwhile(c.world, id)
	}
}

// jobsOf are the jobs that a fault's history names, in their order.
func (c *course) jobsOf(f *fleetv1.Fault) (ids []string) {
	for _, event := range f.GetHistory() {
		if id := event.GetJobId(); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// allDone says whether there are jobs, and all are done.
func (c *course) allDone(ids []string) bool {
	for _, id := range ids {
		if ask(c.t, c.hall.people.desk.jobs.GetJob, &fleetv1.GetJobRequest{Id: id}).GetJob().GetState() != fleetv1.JobState_JOB_STATE_DONE {
			return false
		}
	}
	return len(ids) > 0
}

// resolve has the person who said so, or who read the log, say that it is gone.
func (c *course) resolve(f *fleetv1.Fault) {
	ask(c.t, c.hall.people.desk.faults.ResolveFault, &fleetv1.ResolveFaultRequest{Id: f.GetId(), Reason: "the user says that it works"})
}

// wantJobs wants the fault to have had jobs, all of which did what they were for, and notes their actions. A detector may be faster than the
// job, which goes on watching for a while.
func (c *course) wantJobs(f *fleetv1.Fault) {
	c.t.Helper()
	for _, id := range c.jobsOf(f) {
		c.wantSuccess(id)
	}
	if len(c.saw.Actions) == 0 {
		c.t.Errorf("fault %s (%s) was resolved by %q without a job, want the remedy's", f.GetId(), c.entry.ID, f.GetResolvedBy())
	}
}

func (c *course) wantSuccess(id string) {
	c.t.Helper()
	var job *fleetv1.Job
	eventuallyWithin(c.t, proofPatience, "job "+id+" is done", func() bool {
		c.attend(id)
		job = ask(c.t, c.hall.people.desk.jobs.GetJob, &fleetv1.GetJobRequest{Id: id}).GetJob()
		return job.GetState() == fleetv1.JobState_JOB_STATE_DONE
	})
	counts := job.GetCounts()
	if good := counts.GetSucceeded() + counts.GetNoChange(); good == 0 || good != counts.GetTotal() {
		c.t.Errorf("job %s (%s) ended with %v, want that it succeeded; see `job show`:\n%s", id, job.GetAction(), counts, c.hall.fleet.ctl("job", "show", id))
	}
	c.saw.Actions = append(c.saw.Actions, job.GetAction())
}

// procedure is what somebody asks for: nothing is wrong, and there is no fault. The desk has the entry's action run.
func (c *course) procedure() record.Proof {
	c.t.Helper()
	c.saw = record.Proof{Entry: c.entry.ID, Class: record.A, Found: record.ByPerson, Cause: "asks for it"}
	step := c.entry.Remedy.Steps[0]
	args := []string{step.Action, "--terminal", c.machineName(), "--reason", "INC-4711"}
	params := maps.Clone(step.Params)
	if c.p.params != nil {
		maps.Copy(params, c.p.params(c.world))
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		args = append(args, "--param", name+"="+params[name])
	}
	c.wantSuccess(c.hall.fleet.fix(args...))
	return c.saw
}

// newCourse makes the machines of a proof.
func newCourse(t *testing.T, h *hall, entry *catalogue.Entry, p proof, found string) *course {
	t.Helper()
	c := &course{world: h.newWorld(t, p.stage), entry: entry, p: p, found: found}
	t.Cleanup(c.tell)
	return c
}

// tell shows what is known of the machine's faults when a proof has failed.
func (c *course) tell() {
	if !c.t.Failed() {
		return
	}
	c.t.Logf("faults of %s: %s", c.machineName(), c.hall.fleet.ctl("get", "faults", "--terminal", c.machineName(), "-o", "yaml"))
	if f := c.look(); f != nil {
		c.t.Logf("the fault: %s", c.hall.fleet.ctl("fault", "show", f.GetId()))
		for _, id := range c.jobsOf(c.fault(f.GetId())) {
			c.t.Logf("its job: %s", c.hall.fleet.ctl("job", "show", id))
		}
	}
}
