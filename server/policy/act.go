package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// maxWords bounds what a decision says, in bytes.
const maxWords = 500

// decide decides on a fault and does what follows. A server that is killed in the middle goes on where it was when it decides again.
func (e *Engine) decide(ctx context.Context, id string) error {
	return e.alone(id, func() error {
		f, err := e.cfg.Faults.Get(ctx, id)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED || inHands(f) {
			_, err := e.cfg.Faults.Decide(ctx, id, time.Time{}, func(*fleetv1.Fault) error { return nil })
			return err
		}
		c, err := e.collect(ctx, f)
		if err != nil {
			return err
		}
		if working, err := e.follow(ctx, c); err != nil || working {
			return err
		}
		v, err := e.judge(ctx, c)
		if err != nil {
			return err
		}
		return e.carryOut(ctx, c, v)
	})
}

// inHands says whether a person has a task for a fault.
func inHands(f *fleetv1.Fault) bool {
	return f.GetGuidedTask() != "" || f.GetState() == fleetv1.FaultState_FAULT_STATE_GUIDED
}

func (e *Engine) carryOut(ctx context.Context, c *Case, v verdict) error {
	switch v.do {
	case makeJob:
		return e.begin(ctx, c, v)
	case makeGuided:
		return e.handOver(ctx, c, v)
	default:
		return e.tell(ctx, c, v.words, v.again, func(f *fleetv1.Fault) {
			f.JobId, f.NextStep = "", uint32(c.from())
			if f.GetState() == fleetv1.FaultState_FAULT_STATE_REMEDIATING {
				f.State = fleetv1.FaultState_FAULT_STATE_OPEN
			}
		})
	}
}

// tell writes a decision into the fault, and into its history when it is another than before.
func (e *Engine) tell(ctx context.Context, c *Case, words string, again time.Time, change func(*fleetv1.Fault)) error {
	words = clip(words)
	_, err := e.cfg.Faults.Decide(ctx, c.fault.GetId(), again, func(f *fleetv1.Fault) error {
		if f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED {
			return nil
		}
		before := proto.CloneOf(f)
		change(f)
		f.Policy, f.Decision = c.policy.GetName(), words
		if f.GetDecision() != before.GetDecision() || f.GetJobId() != before.GetJobId() || f.GetState() != before.GetState() {
			f.History = append(f.History, &fleetv1.FaultEvent{
				Time: timestamppb.New(c.now), Actor: c.actor(), Text: words, State: f.GetState(), JobId: f.GetJobId(),
			})
		}
		return nil
	})
	if isNotFound(err) {
		return nil
	}
	return err
}

// actor is who decides: the policy, or the server where none is for the fault.
func (c *Case) actor() string {
	if c.policy == nil {
		return "server"
	}
	return actor(c.policy.GetName())
}

// begin notes an attempt and then asks for its job.
func (e *Engine) begin(ctx context.Context, c *Case, v verdict) error {
	c.rec.Begun++
	a := &storagev1.RemedyAttempt{
		Number: c.rec.GetBegun(), Round: c.fault.GetReopened(), Step: uint32(v.step), Action: c.entry.Remedy.Steps[v.step].Action, Policy: c.policy.GetName(),
		Begun: timestamppb.New(c.now), Approvals: v.approvals, BreakGlass: v.breakGlass,
	}
	c.rec.Attempts = append(c.rec.Attempts, a)
	if err := e.writeRemedy(ctx, c.rec); err != nil {
		return err
	}
	return e.ask(ctx, c, a)
}

// ask asks for the job of an attempt. It may be repeated. What is refused for good ends the attempt, and the next step is looked at.
func (e *Engine) ask(ctx context.Context, c *Case, a *storagev1.RemedyAttempt) error {
	job, err := e.jobOf(ctx, c, a)
	if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind != refusal.Unavailable {
		a.Ended, a.Outcome = timestamppb.New(e.cfg.Now()), clip("cannot be asked for: "+no.Error())
		if err := e.writeRemedy(ctx, c.rec); err != nil {
			return err
		}
		return e.tell(ctx, c, a.GetAction()+" "+a.GetOutcome(), e.cfg.Now(), func(*fleetv1.Fault) {})
	}
	if err != nil {
		return err
	}
	a.JobId = job.GetId()
	if err := e.writeRemedy(ctx, c.rec); err != nil {
		return err
	}
	return e.tellJob(ctx, c, a)
}

// jobOf creates the job of an attempt, once.
func (e *Engine) jobOf(ctx context.Context, c *Case, a *storagev1.RemedyAttempt) (*fleetv1.Job, error) {
	spec, remedy, err := e.spec(ctx, c, int(a.GetStep()), nil)
	if err != nil {
		return nil, err
	}
	spec.Approvals, spec.BreakGlass = a.GetApprovals(), a.GetBreakGlass()
	remedy.Policy, remedy.Request = a.GetPolicy(), fmt.Sprintf("%s-%d-%d", c.fault.GetId(), a.GetStep(), a.GetNumber())
	return e.cfg.Jobs.CreateRemedy(ctx, principal(a.GetPolicy()), remedy, spec)
}

// tellJob writes into the fault which job is at it.
func (e *Engine) tellJob(ctx context.Context, c *Case, a *storagev1.RemedyAttempt) error {
	mode := "auto"
	if a.GetApprovals() > 0 {
		mode = "ask"
	}
	words := fmt.Sprintf("%s: job %s asked for: %s", mode, a.GetJobId(), a.GetAction())
	return e.tell(ctx, c, words, time.Time{}, func(f *fleetv1.Fault) {
		f.State, f.JobId, f.NextStep = fleetv1.FaultState_FAULT_STATE_REMEDIATING, a.GetJobId(), a.GetStep()
	})
}

// follow sees to the job that was asked for last. working is true while that is all there is to do.
func (e *Engine) follow(ctx context.Context, c *Case) (working bool, err error) {
	a := c.attempt()
	if id := c.fault.GetJobId(); id != "" && !c.knows(id) && (a == nil || a.GetEnded() != nil) {
		a = &storagev1.RemedyAttempt{Round: c.fault.GetReopened(), Step: c.fault.GetNextStep(), JobId: id, Begun: timestamppb.New(c.now)}
		c.rec.Attempts = append(c.rec.Attempts, a)
	}
	switch {
	case a == nil || a.GetEnded() != nil:
		return false, nil
	case a.GetJobId() == "" && c.entry != nil && int(a.GetStep()) < len(c.entry.Remedy.Steps):
		return true, e.ask(ctx, c, a)
	}
	job, err := e.cfg.Jobs.Stored(ctx, a.GetJobId())
	switch {
	case err != nil && !isNotFound(err):
		return false, err
	case err == nil && job.GetState() != fleetv1.JobState_JOB_STATE_DONE:
		a.Action = job.GetAction()
		if a.GetPolicy() == "" {
			return true, e.leave(ctx, c)
		}
		return true, e.tellJob(ctx, c, a)
	}
	if job != nil {
		if err := e.cfg.Faults.JobDone(ctx, job); err != nil {
			return false, err
		}
	}
	closeAttempt(a, job, e.cfg.Now())
	return false, e.writeRemedy(ctx, c.rec)
}

// leave decides nothing on a fault that a person's job is at; that it is done makes the fault due.
func (e *Engine) leave(ctx context.Context, c *Case) error {
	_, err := e.cfg.Faults.Decide(ctx, c.fault.GetId(), time.Time{}, func(*fleetv1.Fault) error { return nil })
	return err
}

// closeAttempt notes what came of a job; nil is one that is not there any more.
func closeAttempt(a *storagev1.RemedyAttempt, job *fleetv1.Job, now time.Time) {
	a.Ended, a.Outcome = timestamppb.New(now), "its job is gone"
	if job == nil {
		return
	}
	a.Action = job.GetAction()
	if job.GetFinished() != nil {
		a.Ended = job.GetFinished()
	}
	a.Outcome, a.Declined = outcome(job)
}

// outcome says what came of a job, and whether people have not wanted it.
func outcome(job *fleetv1.Job) (words string, declined bool) {
	c := job.GetCounts()
	switch r := job.GetApproval().GetRejection(); {
	case r != nil:
		return "rejected by " + r.GetBy() + because(r.GetReason()), true
	case job.GetCancelled():
		return "cancelled by " + job.GetCancelledBy() + because(job.GetCancelReason()), true
	case c.GetExpired() == c.GetTotal() && job.GetApproval().GetNeeded() > 0:
		return "nobody approved it in time", true
	}
	var parts []string
	for _, part := range []struct {
		n    uint32
		word string
	}{
		{c.GetSucceeded(), "succeeded"}, {c.GetNoChange(), "found nothing to change"}, {c.GetFailed(), "failed"}, {c.GetRolledBack(), "rolled back"},
		{c.GetRollbackFailed(), "could not be rolled back"}, {c.GetExpired(), "expired"}, {c.GetRefused(), "was refused"},
		{c.GetUnknown(), "ended unknown"}, {c.GetConflict(), "ended in a conflict"}, {c.GetCancelled(), "was cancelled"},
	} {
		switch {
		case part.n == 0:
		case c.GetTotal() == 1:
			parts = append(parts, part.word)
		default:
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	return strings.Join(parts, ", "), false
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// escalated is what people are told when a fault goes to a person after machines have tried; nothing when none has.
func (e *Engine) escalated(c *Case, v verdict) []*fleetv1.Notice {
	if e.cfg.Notices == nil || c.attempt().GetJobId() == "" {
		return nil
	}
	f := c.fault
	return []*fleetv1.Notice{{
		Event: "fault.escalated", Site: f.GetSite(), Object: f.GetId(), TerminalName: f.GetTerminalName(), Entry: f.GetEntry(),
		Summary: f.GetTitle() + " on " + f.GetTerminalName() + " needs a person: " + v.words,
	}}
}

// handOver gives a fault to a person, with all that is known of it.
func (e *Engine) handOver(ctx context.Context, c *Case, v verdict) error {
	id, err := e.cfg.Guided.Create(ctx, guided.Order{
		Entry: c.fault.GetEntry(), TerminalID: c.fault.GetTerminalId(), Site: c.fault.GetSite(), FaultID: c.fault.GetId(),
		Reason: clip(v.words), Evidence: evidence(c), By: c.actor(), Actor: principal(c.policy.GetName()).Name, Assignee: v.assignee,
	})
	if err != nil {
		return err
	}
	c.rec.GuidedTask, c.rec.GuidedRound = id, c.fault.GetReopened()
	if err := e.writeRemedy(ctx, c.rec, e.escalated(c, v)...); err != nil {
		return err
	}
	return e.tell(ctx, c, fmt.Sprintf("guided task %s: %s", id, v.words), time.Time{}, func(f *fleetv1.Fault) {
		f.State, f.GuidedTask, f.JobId = fleetv1.FaultState_FAULT_STATE_GUIDED, id, ""
	})
}

// maxEvidence bounds the lines that a guided task is given.
const maxEvidence = 40

// evidence is what a person is told who has to help: what was read, what was tried, and what the breaker says.
func evidence(c *Case) (lines []string) {
	for _, e := range c.fault.GetEvidence() {
		lines = append(lines, clip(e.GetName()+": "+e.GetValue()))
	}
	for i, a := range c.rec.GetAttempts() {
		lines = append(lines, clip(fmt.Sprintf("attempt %d, %s: %s %s (job %s)", i+1, a.GetBegun().AsTime().UTC().Format(time.RFC3339), a.GetAction(),
			orWord(a.GetOutcome(), "is not done"), orWord(a.GetJobId(), "none"))))
	}
	for _, b := range c.breakers {
		if b.GetOpen() && b.GetEntry() == c.fault.GetEntry() {
			lines = append(lines, clip(fmt.Sprintf("breaker of %s is open after %d attempts: %s", b.GetAction(), b.GetAttempts(), b.GetReason())))
		}
	}
	return lines[max(0, len(lines)-maxEvidence):]
}

func orWord(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// clip makes one printable line of a text, of bounded length.
func clip(text string) string {
	line := strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(line) > maxWords {
		line = strings.ToValidUTF8(line[:maxWords], "") + "…"
	}
	return line
}
