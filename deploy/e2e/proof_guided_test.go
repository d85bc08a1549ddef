package e2e

import (
	"github.com/bandfleet/bandfleet/deploy/proof/record"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// byPerson has a person do the work of a fault that only a person can remedy, and wants the fault to end.
func (c *course) byPerson(f *fleetv1.Fault) {
	c.t.Helper()
	c.saw.Class = record.B
	if c.found == record.ByPerson {
		c.saw.Class = record.C
	}
	task := c.taskOf(f)
	c.work(task, func() {
		if c.p.mend != nil {
			c.p.mend(c.world)
			c.await(f, "the fault is resolved by what was put right")
		}
	})
	if c.found != record.ByState && c.fault(f.GetId()).GetState() != fleetv1.FaultState_FAULT_STATE_RESOLVED {
		c.resolve(f)
	}
	c.await(f, "the fault is resolved")
}

func (c *course) await(f *fleetv1.Fault, what string) {
	c.t.Helper()
	eventuallyWithin(c.t, proofPatience, what, func() bool {
		return c.fault(f.GetId()).GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED
	})
}

// taskOf is the guided task of a fault: a policy makes it, or the desk asks for it, where a line of a log alone says so; and where several
// entries may be meant, the desk decides for this one.
func (c *course) taskOf(f *fleetv1.Fault) (id string) {
	c.t.Helper()
	eventuallyWithin(c.t, proofPatience, "there is a guided task for "+c.entry.ID, func() bool {
		f = c.fault(f.GetId())
		switch {
		case f.GetGuidedTask() != "":
			id = f.GetGuidedTask()
		case f.GetJobId() != "":
			c.attend(f.GetJobId())
		case f.GetDecision() == "" || c.found == record.ByState:
		case len(f.GetCandidates()) > 0:
			id = ask(c.t, c.hall.people.desk.guided.CreateGuidedTask, &fleetv1.CreateGuidedTaskRequest{
				Entry: c.entry.ID, Terminal: c.machineName(), Note: "it is this one", RequestId: "guided-" + c.site,
			}).GetTask().GetId()
		default:
			answer, err := tryAsk(c.hall.people.desk.faults.FixFault, &fleetv1.FixFaultRequest{Id: f.GetId(), Reason: "INC-4711", RequestId: "fix-" + c.site})
			if err == nil {
				id = answer.GetGuidedTask()
			}
		}
		return id != ""
	})
	return id
}

// work plays a guided task through: it is taken, each step is done, and somebody says that it helped. What waits for a clock is begun.
func (c *course) work(id string, mend func()) {
	c.t.Helper()
	desk := c.hall.people.desk
	task := ask(c.t, desk.guided.TakeGuidedTask, &fleetv1.TakeGuidedTaskRequest{Id: id, Force: true}).GetTask()
	if task.GetEntry() != c.entry.ID && task.GetEntry() != c.p.as || len(task.GetSteps()) == 0 {
		c.t.Errorf("guided task %s is of %s with %d steps, want %s with those of the catalogue", id, task.GetEntry(), len(task.GetSteps()), c.entry.ID)
	}
	for _, step := range task.GetSteps() {
		ask(c.t, desk.guided.TickStep, &fleetv1.TickStepRequest{Id: id, Step: step.GetNumber()})
	}
	mend()
	if c.closed(id) {
		return
	}
	closing := &fleetv1.CloseGuidedTaskRequest{Id: id, Outcome: fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED, Note: "it works"}
	if task.GetNameWanted() != "" {
		closing.Named = "N. Admin"
	}
	closer := desk
	if task.GetOtherPerson() {
		closer = c.hall.people.second
	}
	if _, err := tryAsk(closer.guided.CloseGuidedTask, closing); err != nil && !c.closed(id) {
		c.t.Fatalf("close guided task %s: %v", id, err)
	}
}

// closed says whether a guided task is over: one whose fault has ended closes itself.
func (c *course) closed(id string) bool {
	switch ask(c.t, c.hall.people.desk.guided.GetGuidedTask, &fleetv1.GetGuidedTaskRequest{Id: id}).GetTask().GetState() {
	case fleetv1.GuidedState_GUIDED_STATE_DONE, fleetv1.GuidedState_GUIDED_STATE_MOOT:
		return true
	}
	return false
}

// handled is a procedure that only a person can carry out.
func (c *course) handled() record.Proof {
	c.t.Helper()
	task := ask(c.t, c.hall.people.desk.guided.CreateGuidedTask, &fleetv1.CreateGuidedTaskRequest{
		Entry: c.entry.ID, Terminal: c.machineName(), Note: "asked for at the desk", RequestId: "guided-" + c.site,
	}).GetTask()
	c.work(task.GetId(), func() {})
	return record.Proof{Entry: c.entry.ID, Class: record.C, Found: record.ByPerson, Cause: "asks for it"}
}

// ofBand plays the guided task of an entry about a band through. No machine and no fault has to do with it.
func (c *course) ofBand() record.Proof {
	c.t.Helper()
	serial := "PROOF-" + c.site
	c.hall.fleet.mustCtl("band", "add", serial, "--site", c.site)
	task := ask(c.t, c.hall.people.desk.guided.CreateGuidedTask, &fleetv1.CreateGuidedTaskRequest{
		Entry: c.entry.ID, Band: serial, Note: "reported at the desk", RequestId: "guided-" + c.site,
	}).GetTask()
	c.work(task.GetId(), func() {})
	return record.Proof{Entry: c.entry.ID, Class: record.C, Found: record.ByPerson, Cause: "reports it of a band"}
}
