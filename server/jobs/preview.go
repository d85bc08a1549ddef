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
	answer.Warnings = append(d.warnings(answer.GetTargets(), expiry(spec, e.now())), look.tooHigh...)
	return answer, nil
}

// outlook is what would keep a job from starting now.
type outlook struct {
	approval  *fleetv1.ApprovalState
	notBefore time.Time
	// closed are the sites that are closed for it.
	closed map[string]calendar.Opening
	// tooHigh says for which groups the floor is so high that none of them is ever served while it works.
	tooHigh []string
}

func (e *Engine) outlook(ctx context.Context, d *draft, spec *fleetv1.JobSpec) (*outlook, error) {
	members, err := e.members(ctx, &fleetv1.Job{Sites: d.sites(), Rollout: d.rollout})
	if err != nil {
		return nil, err
	}
	o := &outlook{approval: d.approval, closed: make(map[string]calendar.Opening), tooHigh: d.tooHigh(members)}
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
		return waitFor(fleetv1.WaitReason_WAIT_REASON_APPROVAL, "it asks for the approval of %s", countOf(int(o.approval.GetNeeded()), "other"))
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
func (d *draft) warnings(targets []*fleetv1.Target, expires time.Time) []string {
	n := tallyOf(targets, expires)
	var list []string
	warn := func(n int, one, many string) {
		if n > 0 {
			list = append(list, fmt.Sprintf("%d of %s %s", n, countOf(len(targets), "terminal"), choose(n, one, many)))
		}
	}
	warn(n.refused, "will be refused", "will be refused")
	warn(n.offline, "is offline: it is served when it connects before the job expires",
		"are offline: they are served when they connect before the job expires")
	warn(n.closed, "is at a site that is closed now: it is served when the site opens before the job expires",
		"are at sites that are closed now: they are served when the sites open before the job expires")
	late := fmt.Sprintf(" only after the job expires at %s: give it more time, or lift the windows", expires.UTC().Format(time.RFC3339))
	warn(n.late, "is at a site that opens"+late, "are at sites that open"+late)
	if d.disruptive {
		list = append(list, fmt.Sprintf("people may notice it: %s", d.action.GetInterrupts()))
	}
	return list
}

// tally counts the targets of which there is something to know. The sites of late ones open only when the job has expired.
type tally struct {
	refused, offline, closed, late int
}

func tallyOf(targets []*fleetv1.Target, expires time.Time) (n tally) {
	for _, t := range targets {
		switch at := t.GetWait().GetNextLook(); {
		case t.GetWait().GetReason() != fleetv1.WaitReason_WAIT_REASON_WINDOW:
		case at != nil && !at.AsTime().Before(expires):
			n.late++
		default:
			n.closed++
		}
		switch {
		case t.GetProblem() != "":
			n.refused++
		case !t.GetOnline():
			n.offline++
		}
	}
	return n
}
