package sdktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// errRefused marks what the agent would end the run for.
var errRefused = errors.New("refused")

// calls answers an action during one phase, holding it to its manifest and its plan.
type calls struct {
	machine *Machine
	action  *actionv1.Action
	// plan is set in the apply phase alone.
	plan *actionv1.Plan

	asked   map[string]bool
	records []*actionv1.RecordedEffect
	// refusals is what the action had no right to ask for.
	refusals []string
	evidence []*actionv1.Evidence
	findings []*actionv1.Finding
	reports  []*actionv1.CertificateReport
}

var _ sdk.Calls = (*calls)(nil)

func (c *calls) refuse(format string, args ...any) error {
	c.refusals = append(c.refusals, fmt.Sprintf(format, args...))
	return fmt.Errorf("%w: "+format, append([]any{errRefused}, args...)...)
}

func declared(a *actionv1.Action, right *actionv1.Capability) bool {
	return slices.ContainsFunc(a.GetCapabilities(), func(c *actionv1.Capability) bool { return proto.Equal(c, right) })
}

func (c *calls) Query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	if err := rights.Missing(c.action, c.machine.rightFor(q)); err != nil {
		return nil, c.refuse("it asked to read: %v", err)
	}
	return c.machine.query(ctx, q)
}

func (c *calls) Effect(ctx context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	i := slices.IndexFunc(c.plan.GetEffects(), func(p *actionv1.PlannedEffect) bool { return p.GetId() == e.GetPlanId() })
	switch {
	case c.plan == nil:
		return nil, c.refuse("it asked for effect %q outside the apply phase", e.GetPlanId())
	case i < 0 || !proto.Equal(c.plan.GetEffects()[i].GetEffect(), e.GetEffect()):
		return nil, c.refuse("it asked for effect %q, which is not in its plan like that", e.GetPlanId())
	case c.asked[e.GetPlanId()]:
		return nil, c.refuse("it asked for effect %q twice", e.GetPlanId())
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.asked == nil {
		c.asked = map[string]bool{}
	}
	c.asked[e.GetPlanId()] = true
	rec, err := c.machine.effectOrAnswer(ctx, e)
	if err != nil {
		return nil, err
	}
	c.records = append(c.records, rec)
	return proto.CloneOf(rec), nil
}

func (c *calls) Wait(ctx context.Context, d time.Duration) error { return pause(ctx, d) }

func (c *calls) Progress(*actionv1.Progress) {}

func (c *calls) Evidence(e *actionv1.Evidence) { c.evidence = append(c.evidence, e) }

func (c *calls) Finding(f *actionv1.Finding) { c.findings = append(c.findings, f) }

func (c *calls) Certificates(r *actionv1.CertificateReport) { c.reports = append(c.reports, r) }
