package policy

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// Fix applies the catalogue's remedy to a fault by a person's word: the job of the next step, or a guided task where only a person can
// help. The same request_id answers with the same job.
func (e *Engine) Fix(ctx context.Context, p *access.Principal, r *fleetv1.FixFaultRequest) (answer *fleetv1.FixFaultResponse, err error) {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	err = e.alone(r.GetId(), func() error {
		f, err := e.cfg.Faults.Get(ctx, r.GetId())
		if err != nil {
			return err
		}
		c, err := e.collect(ctx, f)
		if err != nil {
			return err
		}
		if err := c.fixable(); err != nil {
			return err
		}
		answer, err = e.fix(ctx, p, c, r)
		return err
	})
	return answer, err
}

// fixable refuses a fault for which the catalogue's remedy is not the thing to do.
func (c *Case) fixable() error {
	no := func(reason, format string, args ...any) *refusal.Error {
		return refusal.New(refusal.Precondition, reason, "fault %q: "+format, append([]any{c.fault.GetId()}, args...)...).At("id")
	}
	show := "see `fleetctl fault show " + c.fault.GetId() + "`"
	switch {
	case c.fault.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED:
		return no("RESOLVED", "is resolved").Then("there is nothing to fix; %s", show)
	case c.entry == nil:
		return no("NO_ENTRY", "the catalogue has no entry %s any more", c.fault.GetEntry()).Then("run the action itself: `fleetctl fix ACTION --terminal %s`", c.fault.GetTerminalName())
	case len(c.fault.GetCandidates()) > 0:
		return no("SEVERAL_ENTRIES", "several entries may be meant").Then("find out which (%s), then run its action", show)
	case c.fault.GetIncident() != "" && c.entry.Common != nil:
		return no("INCIDENT", "is a member of incident %s, whose cause is elsewhere", c.fault.GetIncident()).Then("remedy the cause: `fleetctl get incidents`")
	}
	return nil
}

func (e *Engine) fix(ctx context.Context, p *access.Principal, c *Case, r *fleetv1.FixFaultRequest) (*fleetv1.FixFaultResponse, error) {
	steps := c.entry.Remedy.Steps
	if n := int(r.GetStep()); n > len(steps) {
		return nil, refusal.New(refusal.Invalid, "NO_STEP", "fault %q: its remedy has %d steps, and no step %d", c.fault.GetId(), len(steps), n).At("step").
			Then("see `fleetctl catalogue show %s`", c.entry.ID)
	}
	step, more := c.wantedStep(r)
	if !more || r.GetStep() == 0 && c.entry.Remedy.Kind == catalogue.Guided {
		return e.fixByPerson(ctx, p, c, r)
	}
	return e.fixByJob(ctx, p, c, r, step)
}

// wantedStep is the step that is named, or the next one whose condition holds; when all were tried, the first again.
func (c *Case) wantedStep(r *fleetv1.FixFaultRequest) (step int, more bool) {
	if r.GetStep() > 0 {
		return int(r.GetStep()) - 1, true
	}
	if step, more = c.nextStep(); more {
		return step, true
	}
	for i, s := range c.entry.Remedy.Steps {
		if c.holds(s.If) {
			return i, true
		}
	}
	return 0, false
}

// fixByPerson makes a guided task.
func (e *Engine) fixByPerson(ctx context.Context, p *access.Principal, c *Case, r *fleetv1.FixFaultRequest) (*fleetv1.FixFaultResponse, error) {
	if c.entry.Person == nil {
		return nil, refusal.New(refusal.Precondition, "NO_REMEDY", "fault %q: the catalogue knows no remedy that fits", c.fault.GetId()).
			Then("name a step with --step, or see `fleetctl catalogue show %s`", c.entry.ID)
	}
	if r.GetDryRun() {
		return nil, refusal.New(refusal.Precondition, "GUIDED", "fault %q: only a person can help, and there is nothing to try", c.fault.GetId()).
			Then("ask without --dry-run for a guided task")
	}
	id, err := e.cfg.Guided.Create(ctx, guided.Order{
		Entry: c.fault.GetEntry(), TerminalID: c.fault.GetTerminalId(), Site: c.fault.GetSite(), FaultID: c.fault.GetId(),
		Reason: orWord(r.GetReason(), "asked for by "+p.Name.ID), Evidence: evidence(c), By: p.Name.ID, Actor: p.Name,
	})
	if err != nil {
		return nil, err
	}
	err = e.note(ctx, c, p, time.Time{}, "guided task "+id+" asked for", func(f *fleetv1.Fault) {
		f.State, f.GuidedTask = fleetv1.FaultState_FAULT_STATE_GUIDED, id
	})
	return &fleetv1.FixFaultResponse{GuidedTask: id}, err
}

// fixByJob makes the job of a step.
func (e *Engine) fixByJob(ctx context.Context, p *access.Principal, c *Case, r *fleetv1.FixFaultRequest, step int) (*fleetv1.FixFaultResponse, error) {
	spec, remedy, err := e.spec(ctx, c, step, r.GetParams())
	if err != nil {
		return nil, err
	}
	spec.ExpiresIn, spec.InUse, spec.DryRun = nil, fleetv1.InUse_IN_USE_UNSPECIFIED, r.GetDryRun()
	if r.GetReason() != "" {
		spec.Reason = clip(r.GetReason() + " (fault " + c.fault.GetId() + ")")
	}
	if s := c.entry.Remedy.Steps[step]; !r.GetDryRun() && s.Approval {
		spec.Approvals = 1
	}
	remedy.Request = r.GetRequestId()
	if r.GetDryRun() {
		remedy.Entry, remedy.Subject = "", ""
	}
	job, err := e.cfg.Jobs.CreateRemedy(ctx, p, remedy, spec)
	if err != nil || r.GetDryRun() {
		return &fleetv1.FixFaultResponse{Job: job}, err
	}
	return &fleetv1.FixFaultResponse{Job: job}, e.noteFix(ctx, p, c, step, job)
}

// noteFix writes a person's job into the fault and its attempts, once.
func (e *Engine) noteFix(ctx context.Context, p *access.Principal, c *Case, step int, job *fleetv1.Job) error {
	if c.knows(job.GetId()) {
		return nil
	}
	c.rec.Begun++
	c.rec.Attempts = append(c.rec.Attempts, &storagev1.RemedyAttempt{
		Number: c.rec.GetBegun(), Round: c.fault.GetReopened(), Step: uint32(step), Action: job.GetAction(), Begun: timestamppb.New(c.now), JobId: job.GetId(),
	})
	if err := e.writeRemedy(ctx, c.rec); err != nil {
		return err
	}
	return e.note(ctx, c, p, time.Time{}, fmt.Sprintf("job %s asked for: %s", job.GetId(), job.GetAction()), func(f *fleetv1.Fault) {
		f.State, f.JobId, f.NextStep = fleetv1.FaultState_FAULT_STATE_REMEDIATING, job.GetId(), uint32(step)
	})
}

// note changes a fault by a person's word.
func (e *Engine) note(ctx context.Context, c *Case, p *access.Principal, again time.Time, words string, change func(*fleetv1.Fault)) error {
	_, err := e.cfg.Faults.Decide(ctx, c.fault.GetId(), again, func(f *fleetv1.Fault) error {
		change(f)
		f.History = append(f.History, &fleetv1.FaultEvent{
			Time: timestamppb.New(c.now), Actor: p.Name.ID, Text: clip(words), State: f.GetState(), JobId: f.GetJobId(),
		})
		return nil
	})
	return err
}
