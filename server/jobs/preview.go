package jobs

import (
	"context"
	"fmt"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/calendar"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// Preview resolves and checks a job without creating it.
func (e *Engine) Preview(ctx context.Context, p *access.Principal, spec *fleetv1.JobSpec) (*fleetv1.PreviewJobResponse, error) {
	d, err := e.draft(ctx, p, spec)
	if err != nil {
		return nil, err
	}
	look, err := e.outlook(ctx, d, spec)
	if err != nil {
		return nil, err
	}
	answer := &fleetv1.PreviewJobResponse{
		TargetsDigest: d.digest, Params: d.params, Rollout: d.rollout, Approval: d.approval,
		Progress: rollout.NewPlan(d.rollout, d.servable()).Progress(1, 0, 0),
	}
	for _, t := range d.targets {
		term := t.rec.GetTerminal()
		shown := &fleetv1.Target{
			TerminalId: term.GetId(), Name: term.GetName(), Site: term.GetSite(), Role: term.GetRole(),
			Online: e.link.Online(term.GetId()), Problem: t.problem,
		}
		if t.problem == "" {
			shown.Wait = look.wait(term, shown.GetOnline())
		}
		answer.Targets = append(answer.Targets, shown)
	}
	answer.Warnings = d.warnings(answer.GetTargets())
	return answer, nil
}

// outlook is what would keep a job from starting now.
type outlook struct {
	approval  *fleetv1.ApprovalState
	notBefore time.Time
	// closed are the sites that are closed for it.
	closed map[string]calendar.Opening
}

func (e *Engine) outlook(ctx context.Context, d *draft, spec *fleetv1.JobSpec) (*outlook, error) {
	o := &outlook{approval: d.approval, closed: make(map[string]calendar.Opening)}
	if at := notBefore(spec, e.now()); at != nil {
		o.notBefore = at.AsTime()
	}
	if !d.changes || spec.GetBreakGlass() != "" {
		return o, nil
	}
	for _, name := range d.sites() {
		stored, err := e.inv.Site(ctx, name)
		if err != nil {
			return nil, err
		}
		c, err := calendar.New(stored.GetSettings())
		if err != nil {
			return nil, fmt.Errorf("site %q: %w", name, err)
		}
		if now := c.At(e.now()); !now.Open {
			o.closed[name] = now
		}
	}
	return o, nil
}

// wait is what would keep a terminal's task from starting, in the order of the gates.
func (o *outlook) wait(t *fleetv1.Terminal, online bool) *fleetv1.Wait {
	switch opening, closed := o.closed[t.GetSite()]; {
	case o.approval != nil:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_APPROVAL, "it asks for %d approvals of others", o.approval.GetNeeded())
	case !o.notBefore.IsZero():
		return notBeforeWait(o.notBefore)
	case closed:
		return windowWait(t.GetSite(), opening)
	case !online:
		return waitFor(fleetv1.WaitReason_WAIT_REASON_OFFLINE, "%s", lastSeen(t.GetLastSeen().AsTime()))
	}
	return nil
}

// warnings are things to know before saying yes.
func (d *draft) warnings(targets []*fleetv1.Target) []string {
	offline, refused, closed := 0, 0, 0
	for _, t := range targets {
		if t.GetWait().GetReason() == fleetv1.WaitReason_WAIT_REASON_WINDOW {
			closed++
		}
		switch {
		case t.GetProblem() != "":
			refused++
		case !t.GetOnline():
			offline++
		}
	}
	var list []string
	if refused > 0 {
		list = append(list, fmt.Sprintf("%d of %d terminals will be refused", refused, len(targets)))
	}
	if offline > 0 {
		list = append(list, fmt.Sprintf("%d of %d terminals are offline: they are served when they connect before the job expires", offline, len(targets)))
	}
	if closed > 0 {
		list = append(list, fmt.Sprintf("%d of %d terminals are at sites that are closed now: they are served when the sites open before the job expires", closed, len(targets)))
	}
	if d.disruptive {
		list = append(list, fmt.Sprintf("people may notice it: %s", d.action.GetInterrupts()))
	}
	return list
}
