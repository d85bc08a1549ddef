package runner

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Bounds of a plan, so that a result always fits into one message.
const (
	maxPlanEffects = 64
	maxPlanBytes   = 256 << 10
)

// checkPlan says what is wrong with a plan. A plan that is taken holds nothing that the action did not declare.
func (c *course) checkPlan(plan *actionv1.Plan) error {
	if plan == nil {
		return errors.New("there is none")
	}
	if size := proto.Size(plan); size > maxPlanBytes {
		return fmt.Errorf("it has %d bytes, at most %d are allowed", size, maxPlanBytes)
	}
	switch plan.GetVerdict() {
	case actionv1.PlanVerdict_PLAN_VERDICT_READY:
		return c.checkReady(plan)
	case actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE, actionv1.PlanVerdict_PLAN_VERDICT_REFUSED:
		if len(plan.GetEffects()) > 0 {
			return fmt.Errorf("its verdict is %s and it has effects", plan.GetVerdict())
		}
		return nil
	}
	return fmt.Errorf("its verdict is %s", plan.GetVerdict())
}

func (c *course) checkReady(plan *actionv1.Plan) error {
	effects, a := plan.GetEffects(), c.action
	switch {
	case len(effects) == 0 && !a.GetReadOnly():
		return errors.New("it is ready and has no effects")
	case len(effects) > 0 && a.GetReadOnly():
		return errors.New("the action says that it only reads, and the plan has effects")
	case len(effects) > maxPlanEffects:
		return fmt.Errorf("it has %d effects, at most %d are allowed", len(effects), maxPlanEffects)
	}
	seen := make(map[string]bool, len(effects))
	for i, e := range effects {
		if e.GetId() == "" || seen[e.GetId()] {
			return fmt.Errorf("effect %d has no id of its own", i+1)
		}
		seen[e.GetId()] = true
		if e.GetEffect().GetReboot() != nil && i+1 < len(effects) {
			return fmt.Errorf("effect %q starts the machine again and is not the last one", e.GetId())
		}
		if err := c.checkEffect(e.GetId(), e.GetEffect()); err != nil {
			return fmt.Errorf("effect %q: %w", e.GetId(), err)
		}
	}
	return oneLease(plan)
}

// admit says whether the plugin may ask for an effect now: it is applying, the effect is in the plan word for word, and it was
// not asked for before.
func (p *phaseCalls) admit(req *actionv1.EffectRequest) error {
	if p.phase != actionv1.Phase_PHASE_APPLY {
		return p.refuse("it asked for an effect in the %s phase", phaseName(p.phase))
	}
	id := req.GetPlanId()
	planned := plannedEffect(p.plan, id)
	switch {
	case planned == nil:
		return p.refuse("it asked for effect %q, which is not in its plan", clip(id, maxName))
	case !proto.Equal(planned, req.GetEffect()):
		return p.refuse("it asked for effect %q with other content than in its plan", id)
	case p.used[id]:
		return p.refuse("it asked for effect %q twice", id)
	}
	if err := p.c.checkEffect(id, req.GetEffect()); err != nil {
		return p.refuse("effect %q: %v", id, err)
	}
	if p.used == nil {
		p.used = make(map[string]bool)
	}
	p.used[id] = true
	return nil
}

func plannedEffect(plan *actionv1.Plan, id string) *actionv1.Effect {
	for _, e := range plan.GetEffects() {
		if e.GetId() == id {
			return e.GetEffect()
		}
	}
	return nil
}
