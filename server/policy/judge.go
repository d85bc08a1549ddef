package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/calendar"
)

const (
	// settle is how long a fault may stand after its remedy before the next is tried, beyond the time that its detector needs.
	settle = time.Minute
	// offlineLook is how often is looked whether a terminal is back.
	offlineLook = 2 * time.Minute
	// breakerLook is how often is looked whether a site's breaker has closed.
	breakerLook = time.Minute
	// leastPause is how long an attempt is waited for at least.
	leastPause = 30 * time.Second
	// defaultEscalation is to whom a fault goes when its policy names nobody.
	defaultEscalation = "site-desk"
)

// judge decides on a fault that nobody works at. It changes nothing.
func (e *Engine) judge(ctx context.Context, c *Case) (verdict, error) {
	if v, shown := c.onlyShown(); shown {
		return v, nil
	}
	if c.forPeople() {
		return c.guidedOnly(), nil
	}
	if f := e.cfg.Freezes.Frozen(c.fault.GetSite()); f != nil {
		return wait(frozenWords(f), time.Time{}), nil
	}
	step, more := c.nextStep()
	if last := c.attempt(); last.GetDeclined() && last.GetRound() == c.fault.GetReopened() {
		return c.escalate(last.GetAction() + ": " + last.GetOutcome()), nil
	}
	if v, settling := c.settling(); settling {
		return v, nil
	}
	if !more {
		return c.escalate("every step of the remedy was tried, and it is still there"), nil
	}
	if v, held := c.limited(c.entry.Remedy.Steps[step]); held {
		return v, nil
	}
	return e.start(ctx, c, step)
}

// onlyShown is the verdict on what no machine may touch; shown is false when one may.
func (c *Case) onlyShown() (v verdict, shown bool) {
	switch {
	case c.entry == nil:
		return wait("the catalogue has no such entry any more", time.Time{}), true
	case c.entry.Procedure:
		return wait("it is a procedure, and no fault", time.Time{}), true
	case c.terminal == nil || c.terminal.GetTerminal().GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED:
		return wait("its terminal is not in service", time.Time{}), true
	case c.policy == nil:
		return wait("no policy is for it", time.Time{}), true
	case c.policy.GetMode() == fleetv1.PolicyMode_POLICY_MODE_OBSERVE:
		return wait("observe", time.Time{}), true
	case c.fault.GetIncident() != "" && c.entry.Common != nil:
		return wait("held: it is a member of incident "+c.fault.GetIncident()+", whose cause comes first", time.Time{}), true
	case c.unsureSight():
		return wait("observe: nobody has seen such a line before, so it starts nothing", time.Time{}), true
	case len(c.fault.GetCandidates()) > 0:
		return c.unsure(), true
	case c.rec.GetGuidedTask() != "" && c.rec.GetGuidedRound() == c.fault.GetReopened():
		return wait("guided task "+c.rec.GetGuidedTask()+" is over and it is still there: a person decides", time.Time{}), true
	}
	return verdict{}, false
}

// unsure is the verdict on what may be several things: a person looks, if the catalogue says what at.
func (c *Case) unsure() verdict {
	words := "it may be " + strings.Join(append([]string{c.fault.GetEntry()}, c.fault.GetCandidates()...), " or ") + ": a person decides"
	if c.entry.Person == nil {
		return wait("observe: "+words, time.Time{})
	}
	return verdict{do: makeGuided, words: words}
}

// forPeople says whether the remedy is for a person now: it has no steps, or they only collect what the person needs, and that was done or
// nobody is to do it by itself.
func (c *Case) forPeople() bool {
	steps := c.entry.Remedy.Steps
	if len(steps) == 0 {
		return true
	}
	if c.entry.Remedy.Kind != catalogue.Guided {
		return false
	}
	_, more := c.nextStep()
	reads := !slices.ContainsFunc(steps, func(s catalogue.Step) bool { return !readsOnly(s) })
	return !more || !reads || c.policy.GetMode() != fleetv1.PolicyMode_POLICY_MODE_AUTO
}

// guidedOnly is the verdict on what only a person can remedy.
func (c *Case) guidedOnly() verdict {
	if c.entry.Person == nil {
		return c.escalate("only a person can help")
	}
	return verdict{do: makeGuided, words: "only a person can help"}
}

// escalate gives a fault to a person.
func (c *Case) escalate(why string) verdict {
	to := c.policy.GetEscalateTo()
	if to == "" {
		to = defaultEscalation
	}
	return verdict{do: makeGuided, words: why + "; it goes to " + to, assignee: to}
}

// nextStep is the place of the first step that is still to be tried and whose condition holds. A condition on what was not read does not.
func (c *Case) nextStep() (step int, more bool) {
	steps := c.entry.Remedy.Steps
	for i := c.from(); i < len(steps); i++ {
		if c.holds(steps[i].If) {
			return i, true
		}
	}
	return 0, false
}

// from is the place of the step after the one that was tried last, since the fault came. What is tried by itself and is the only step
// is tried again, until its attempts are used up.
func (c *Case) from() int {
	last := c.attempt()
	if last == nil || last.GetRound() != c.fault.GetReopened() {
		return 0
	}
	again := len(c.entry.Remedy.Steps) == 1 && last.GetJobId() != "" && c.policy.GetMode() == fleetv1.PolicyMode_POLICY_MODE_AUTO && last.GetApprovals() == 0
	if again {
		return int(last.GetStep())
	}
	return int(last.GetStep()) + 1
}

// guardrailsOf are a policy's limits, with what it leaves out.
func guardrailsOf(p *fleetv1.Policy) *agentv1.Guardrails {
	g, standard := p.GetGuardrails(), guardrails()
	if g == nil {
		return standard
	}
	if g.GetMaxAttempts() > 0 {
		standard.MaxAttempts = g.GetMaxAttempts()
	}
	if g.GetPeriod() != nil {
		standard.Period = g.GetPeriod()
	}
	if g.GetCooldown() != nil {
		standard.Cooldown = g.GetCooldown()
	}
	standard.OnlyWhenQuiet = g.GetOnlyWhenQuiet()
	return standard
}

// limited is the verdict where the policy's limits keep a step from being tried now.
func (c *Case) limited(s catalogue.Step) (v verdict, held bool) {
	g := guardrailsOf(c.policy)
	if b := c.breaker(s.Action); b.GetOpen() {
		return c.escalate(fmt.Sprintf("the breaker of %s is open after %d attempts: %s", s.Action, b.GetAttempts(), b.GetReason())), true
	}
	if n := c.tried(s.Action, g.GetPeriod().AsDuration()); n >= int(g.GetMaxAttempts()) {
		return c.escalate(fmt.Sprintf("%s was tried %d times within %s", s.Action, n, g.GetPeriod().AsDuration())), true
	}
	last := c.attempt()
	at := last.GetEnded().AsTime().Add(g.GetCooldown().AsDuration())
	if last.GetAction() == s.Action && last.GetJobId() != "" && c.now.Before(at) {
		return wait("cooling down after "+s.Action+" until "+at.UTC().Format(time.RFC3339), at), true
	}
	return c.byItself(s.Action, g.GetCooldown().AsDuration())
}

// byItself is the verdict while the agent, which tells of each attempt as it begins, is at a step or cools down after it: it would refuse a
// job for that.
func (c *Case) byItself(action string, cooldown time.Duration) (v verdict, held bool) {
	b := c.breaker(action)
	at := b.GetSince().AsTime().Add(max(cooldown, leastPause))
	if b.GetAttempts() == 0 || !c.now.Before(at) {
		return verdict{}, false
	}
	return wait("its agent has tried "+action+" already; it is watched whether the fault goes until "+at.UTC().Format(time.RFC3339), at), true
}

// settling is the verdict while it is watched whether the last remedy has helped.
func (c *Case) settling() (v verdict, still bool) {
	last := c.attempt()
	at := last.GetEnded().AsTime().Add(c.patience())
	if last.GetJobId() == "" || last.GetRound() != c.fault.GetReopened() || !c.now.Before(at) || c.breaker(last.GetAction()).GetOpen() {
		return verdict{}, false
	}
	return wait(fmt.Sprintf("%s: %s; it is watched whether the fault goes", last.GetAction(), last.GetOutcome()), at), true
}

// patience is how long the fault may stand after a remedy: what its detector needs to see that it is gone, and a little.
func (c *Case) patience() time.Duration {
	longest := time.Duration(0)
	for _, s := range c.entry.Detect.State {
		longest = max(longest, s.For)
	}
	return longest + settle
}

// breaker is what the agent told of the breaker of an action at this fault; nil when nothing.
func (c *Case) breaker(action string) *fleetv1.Breaker {
	for _, b := range c.breakers {
		if b.GetEntry() == c.fault.GetEntry() && b.GetSubject() == c.fault.GetSubject() && b.GetAction() == action {
			return b
		}
	}
	return nil
}

// tried counts the attempts of an action within a period, or since its breaker was closed.
func (c *Case) tried(action string, period time.Duration) (n int) {
	since := c.now.Add(-period)
	if b := c.breaker(action); b != nil && !b.GetOpen() && b.GetAttempts() == 0 && b.GetSince().AsTime().After(since) {
		since = b.GetSince().AsTime()
	}
	for _, a := range c.rec.GetAttempts() {
		if a.GetAction() == action && a.GetBegun().AsTime().After(since) {
			n++
		}
	}
	return n
}

// start is the verdict on a step that may be tried: now, or when its terminal, its site and its policy allow.
func (e *Engine) start(ctx context.Context, c *Case, step int) (verdict, error) {
	s := c.entry.Remedy.Steps[step]
	action, _, offered, err := e.cfg.Inventory.ActionFor(ctx, c.terminal, s.Action)
	if err != nil {
		return verdict{}, err
	}
	if onTerminal(s) && !offered {
		return c.escalate("its terminal does not offer " + s.Action), nil
	}
	v := verdict{do: makeJob, step: step, words: word(c.policy.GetMode()) + ": " + s.Action, approvals: c.approvals(s, action)}
	if v.approvals > 0 {
		v.words = fmt.Sprintf("ask: %s waits for %d approvals", s.Action, v.approvals)
		if v.approvals == 1 {
			v.words = fmt.Sprintf("ask: %s waits for an approval", s.Action)
		}
		return v, nil
	}
	if full, err := e.siteBroken(ctx, c); err != nil || full != "" {
		return wait(full, c.now.Add(breakerLook)), err
	}
	if !e.cfg.Online(c.fault.GetTerminalId()) {
		return wait("its terminal is offline: "+s.Action+" waits for it", c.now.Add(offlineLook)), nil
	}
	if readsOnly(s) {
		return v, nil
	}
	open, err := c.opening()
	switch {
	case err != nil || open.Open:
		return v, err
	case c.policy.GetAnyTime() || startsOnly(s):
		v.breakGlass = "policy " + c.policy.GetName() + ": " + anyTimeWords(c.policy)
		return v, nil
	}
	return wait(fmt.Sprintf("site %s is closed (%s): %s waits", c.fault.GetSite(), open.Blocker, s.Action), notZero(open.Until, c.now.Add(time.Hour))), nil
}

func anyTimeWords(p *fleetv1.Policy) string {
	if p.GetAnyTime() {
		return "it acts at any time"
	}
	return "it only starts what is stopped"
}

// notZero bounds a wait that nobody knows the end of.
func notZero(at, otherwise time.Time) time.Time {
	if at.IsZero() {
		return otherwise
	}
	return at
}

// approvals is how many people must agree to a step.
func (c *Case) approvals(s catalogue.Step, a *actionv1.Action) uint32 {
	asks := c.policy.GetMode() == fleetv1.PolicyMode_POLICY_MODE_ASK ||
		s.Approval || c.entry.Remedy.Kind == catalogue.Approval && !readsOnly(s) ||
		s.On == "site" && !readsOnly(s) || c.policy.GetAskWhenDisruptive() && interrupts(s, a)
	if !asks {
		return 0
	}
	return max(1, c.policy.GetApprovals())
}

// opening is how the site's windows stand.
func (c *Case) opening() (calendar.Opening, error) {
	cal, err := calendar.New(c.site.GetSettings())
	if err != nil {
		return calendar.Opening{}, err
	}
	return cal.At(c.now), nil
}
