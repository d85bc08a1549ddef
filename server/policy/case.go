package policy

import (
	"context"
	"slices"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// policyKind is the kind of actor that a policy is in audit records.
const policyKind identity.Kind = "policy"

// Case is a fault with all that a decision on it goes by.
type Case struct {
	fault    *fleetv1.Fault
	rec      *storagev1.RemedyRecord
	entry    *catalogue.Entry
	policy   *fleetv1.Policy
	terminal *storagev1.TerminalRecord
	site     *fleetv1.Site
	breakers []*fleetv1.Breaker
	// beside are the states that stand open at the same terminal, when a step's condition asks for one that the fault does not tell.
	beside []*fleetv1.Fault
	now    time.Time
}

// verdict is what is decided on a fault.
type verdict struct {
	do deed
	// words say it to people.
	words string
	// again is when the fault is looked at the next time; zero: when something happens to it.
	again time.Time
	// For a job: the place of the step, how many must approve, and why windows do not bind it.
	step       int
	approvals  uint32
	breakGlass string
	// For a guided task: to whom it goes; empty means whom the entry names.
	assignee string
}

// deed is what follows from a decision.
type deed int

const (
	// nothing: it is shown.
	nothing deed = iota
	makeJob
	makeGuided
)

// wait leaves a fault as it is, for now.
func wait(words string, again time.Time) verdict { return verdict{words: words, again: again} }

// collect reads what a decision on a fault goes by.
func (e *Engine) collect(ctx context.Context, f *fleetv1.Fault) (*Case, error) {
	c := &Case{fault: f, now: e.cfg.Now(), entry: e.cfg.Catalogue.Current().Entry(f.GetEntry())}
	var err error
	if c.rec, err = e.readRemedy(ctx, f); err != nil {
		return nil, err
	}
	if c.terminal, err = e.cfg.Inventory.Terminal(ctx, f.GetTerminalId()); err != nil && !isNotFound(err) {
		return nil, err
	}
	if c.site, err = e.cfg.Inventory.Site(ctx, f.GetSite()); err != nil && !isNotFound(err) {
		return nil, err
	}
	if c.breakers, err = e.cfg.Breakers.TerminalBreakers(ctx, f.GetTerminalId()); err != nil {
		return nil, err
	}
	if c.entry != nil {
		c.policy = e.book.current().choose(c.entry, f.GetSite(), c.terminal.GetTerminal().GetRole())
	}
	if c.asksBeside() {
		if c.beside, err = e.statesAt(ctx, f); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// attempt is the last job that a policy has asked for; nil when there was none.
func (c *Case) attempt() *storagev1.RemedyAttempt {
	if n := len(c.rec.GetAttempts()); n > 0 {
		return c.rec.GetAttempts()[n-1]
	}
	return nil
}

// knows says whether a job is among the attempts.
func (c *Case) knows(job string) bool {
	return slices.ContainsFunc(c.rec.GetAttempts(), func(a *storagev1.RemedyAttempt) bool { return a.GetJobId() == job })
}

// unsureSight says whether nothing but a guess says that the fault is there.
func (c *Case) unsureSight() bool {
	switch c.fault.GetConfidence() {
	case agentv1.Confidence_CONFIDENCE_UNSPECIFIED:
		return c.fault.GetReportedBy() == ""
	case agentv1.Confidence_CONFIDENCE_GUESS:
		return true
	}
	return false
}

// principal is a policy as whoever asks for jobs. It may act everywhere and approve nothing.
func principal(policy string) *access.Principal {
	everywhere := &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: []string{access.AllSites}}
	return &access.Principal{
		Name:     identity.Name{Kind: policyKind, ID: policy},
		Operator: &fleetv1.Operator{Name: actor(policy), Bindings: []*fleetv1.RoleBinding{everywhere}},
	}
}

// actor is a policy as people read it.
func actor(policy string) string { return "policy " + policy }

// onTerminal says whether a step runs where the fault is.
func onTerminal(s catalogue.Step) bool { return s.On == "" }

// interrupts says whether a step makes something that works stand still, as far as the terminal's own plugin knows.
func interrupts(s catalogue.Step, a *actionv1.Action) bool {
	return !startsOnly(s) && !readsOnly(s) && (a == nil || a.GetDisruptive())
}
