package sdktest

import (
	"cmp"
	"context"
	"errors"
	"testing"
	"testing/synctest"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// Case is a machine and parameters to run an action with.
type Case struct {
	Params map[string]string
	// Role is the terminal's role; empty is "user-terminal".
	Role string
	// Machine makes the machine, a fresh one each time.
	Machine func() *Machine
	// Verdict is what the plan must say.
	Verdict actionv1.PlanVerdict
}

// Conformance checks what every action owes the agent, whatever it does: a well-formed manifest; a Plan that only reads and
// says the same twice; an Apply that asks for nothing but its plan, whichever effect fails; a Verify that needs its parameters and
// the recorded effects alone. newAction makes the action as a new process would. Time is a bubble's: waits cost nothing.
func Conformance(t *testing.T, newAction func() sdk.Action, cases map[string]Case) {
	t.Run("manifest", func(t *testing.T) { testManifest(t, newAction) })
	t.Run("parameters", func(t *testing.T) { testParameters(t, newAction) })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := suite{newAction: newAction, c: c}
			t.Run("plan", func(t *testing.T) { synctest.Test(t, s.testPlan) })
			if c.Verdict == actionv1.PlanVerdict_PLAN_VERDICT_REFUSED {
				return
			}
			t.Run("run", func(t *testing.T) { synctest.Test(t, s.testRun) })
			t.Run("failing effects", func(t *testing.T) { synctest.Test(t, s.testFailingEffects) })
			t.Run("cancelled", func(t *testing.T) { synctest.Test(t, s.testCancelled) })
		})
	}
}

func testManifest(t *testing.T, newAction func() sdk.Action) {
	a := newAction()
	for _, problem := range ManifestProblems(a.Manifest()) {
		t.Error(problem)
	}
	a.Manifest().Name = "changed by somebody"
	if diff := gocmp.Diff(newAction().Manifest(), a.Manifest(), protocmp.Transform()); diff != "" {
		t.Errorf("the manifest is not the same every time; the agent compares it with the pinned one:\n%s", diff)
	}
}

func testParameters(t *testing.T, newAction func() sdk.Action) {
	a := newAction()
	c := &calls{machine: &Machine{}, action: a.Manifest()}
	for _, phase := range []actionv1.Phase{actionv1.Phase_PHASE_PLAN, actionv1.Phase_PHASE_APPLY, actionv1.Phase_PHASE_VERIFY} {
		start := &actionv1.Start{Phase: phase, Action: a.Manifest().GetName(), Params: map[string]string{"no_such_parameter": "1"}}
		_, err := sdk.RunPhase(t.Context(), a, start, c)
		if _, ok := errors.AsType[*sdk.BadStartError](err); !ok {
			t.Errorf("%v with an unknown parameter: error = %v, want it refused", phase, err)
		}
	}
}

// suite runs one case.
type suite struct {
	newAction func() sdk.Action
	c         Case
}

// start makes a phase's start as the agent would: every parameter resolved, and through the wire and back.
func (s suite) start(t *testing.T, phase actionv1.Phase, plan *actionv1.Plan, effects []*actionv1.RecordedEffect) *actionv1.Start {
	t.Helper()
	m := s.newAction().Manifest()
	resolved, err := params.Resolve(m, s.c.Params)
	if err != nil {
		t.Fatalf("the case's parameters: %v", err)
	}
	wire, err := proto.Marshal(&actionv1.Start{
		Phase: phase, Action: m.GetName(), Params: resolved, Plan: plan, Effects: effects,
		Terminal: &actionv1.Terminal{Id: "t-1", Name: "press-4", Site: "lyon", Role: cmp.Or(s.c.Role, "user-terminal")},
	})
	if err != nil {
		t.Fatal(err)
	}
	out := new(actionv1.Start)
	if err := proto.Unmarshal(wire, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// phase runs one phase in a new action and fails the test for what the agent would refuse.
func (s suite) phase(t *testing.T, m *Machine, start *actionv1.Start) (*actionv1.Finish, *calls, error) {
	t.Helper()
	a := s.newAction()
	c := &calls{machine: m, action: a.Manifest(), plan: start.GetPlan()}
	finish, err := sdk.RunPhase(t.Context(), a, start, c)
	for _, r := range c.refusals {
		t.Errorf("%v: the agent would end the run: %s", start.GetPhase(), r)
	}
	return finish, c, err
}

func (s suite) plan(t *testing.T, m *Machine) *actionv1.Plan {
	t.Helper()
	finish, _, err := s.phase(t, m, s.start(t, actionv1.Phase_PHASE_PLAN, nil, nil))
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return finish.GetPlan()
}

func (s suite) testPlan(t *testing.T) {
	m := s.c.Machine()
	first := s.plan(t, m)
	if first.GetVerdict() != s.c.Verdict {
		t.Fatalf("plan's verdict = %v (%s), want %v", first.GetVerdict(), first.GetReason(), s.c.Verdict)
	}
	if diff := gocmp.Diff(first, s.plan(t, m), protocmp.Transform()); diff != "" {
		t.Errorf("two plans on an unchanged machine differ:\n%s", diff)
	}
	if m.Changes() != 0 {
		t.Errorf("Plan changed the machine %d times", m.Changes())
	}
	for _, problem := range planProblems(s.newAction().Manifest(), first) {
		t.Error(problem)
	}
}

func planProblems(a *actionv1.Action, plan *actionv1.Plan) []string {
	var p problems
	ready := plan.GetVerdict() == actionv1.PlanVerdict_PLAN_VERDICT_READY
	p.check(ready == (len(plan.GetEffects()) > 0) || a.GetReadOnly(), "a plan has effects when it is ready, and only then; this one has %d", len(plan.GetEffects()))
	p.check(ready || plan.GetReason() != "", "the plan does nothing and does not say why")
	p.check(plan.GetVerdict() != actionv1.PlanVerdict_PLAN_VERDICT_REFUSED || plan.GetNextStep() != "", "a refusal must say what to do next")
	seen := map[string]bool{}
	for _, e := range plan.GetEffects() {
		p.check(e.GetId() != "" && !seen[e.GetId()], "effect id %q is empty or there twice", e.GetId())
		seen[e.GetId()] = true
		p.check(e.GetBefore() != "" && e.GetAfter() != "", "effect %q does not say what is before and after", e.GetId())
		if c := e.GetEffect().GetConfirm(); c != nil {
			p.confirms(a, e.GetId(), c)
		}
		needed := rights.OfEffect(e.GetEffect())
		p.check(len(needed) > 0, "effect %q is of a kind that nothing is known of", e.GetId())
		if err := rights.Missing(a, needed...); err != nil {
			p.check(false, "effect %q: %v", e.GetId(), err)
		}
	}
	return p
}

// apply runs Plan and Apply.
func (s suite) apply(t *testing.T, m *Machine) (*actionv1.Applied, *calls) {
	t.Helper()
	plan := s.plan(t, m)
	if plan.GetVerdict() != actionv1.PlanVerdict_PLAN_VERDICT_READY {
		return &actionv1.Applied{Ok: true}, &calls{}
	}
	finish, c, err := s.phase(t, m, s.start(t, actionv1.Phase_PHASE_APPLY, plan, nil))
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return finish.GetApplied(), c
}

func (s suite) testRun(t *testing.T) {
	m := s.c.Machine()
	applied, c := s.apply(t, m)
	if !applied.GetOk() {
		t.Fatalf("apply on a machine that obeys failed: %s", applied.GetReason())
	}
	before := m.Changes()
	finish, _, err := s.phase(t, m, s.start(t, actionv1.Phase_PHASE_VERIFY, nil, c.records))
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if m.Changes() != before {
		t.Error("Verify changed the machine")
	}
	for _, problem := range verdictProblems(finish.GetVerdict(), true) {
		t.Error(problem)
	}
}

func verdictProblems(v *actionv1.Verdict, good bool) []string {
	var p problems
	p.check(len(v.GetChecks()) > 0, "the verdict has no check: success without one means nothing")
	for _, c := range v.GetChecks() {
		p.check(c.GetName() != "" && c.GetExpected() != "" && c.GetObserved() != "", "check %v does not say what it is about", c)
		p.check(!good || c.GetOk(), "check %q failed on a machine that obeys: want %s, found %s", c.GetName(), c.GetExpected(), c.GetObserved())
	}
	return p
}

// testFailingEffects has each planned effect fail in turn: the action takes an alternative or says why it gives up, and either
// way Verify still works.
func (s suite) testFailingEffects(t *testing.T) {
	for _, e := range s.plan(t, s.c.Machine()).GetEffects() {
		m := s.c.Machine()
		m.Fail = map[string]string{e.GetId(): "the machine does not want to"}
		applied, c := s.apply(t, m)
		if !applied.GetOk() && (applied.GetReason() == "" || applied.GetNextStep() == "") {
			t.Errorf("effect %q failed: Apply's failure has reason %q and next step %q, want both", e.GetId(), applied.GetReason(), applied.GetNextStep())
		}
		finish, _, err := s.phase(t, m, s.start(t, actionv1.Phase_PHASE_VERIFY, nil, c.records))
		if err != nil {
			t.Errorf("effect %q failed: verify: %v", e.GetId(), err)
			continue
		}
		for _, problem := range verdictProblems(finish.GetVerdict(), false) {
			t.Errorf("effect %q failed: %s", e.GetId(), problem)
		}
	}
}

// testCancelled holds that an action whose agent has given up ends with an error and does nothing more.
func (s suite) testCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m := s.c.Machine()
	plan := s.plan(t, m)
	for _, phase := range []actionv1.Phase{actionv1.Phase_PHASE_APPLY, actionv1.Phase_PHASE_VERIFY} {
		a := s.newAction()
		finish, err := sdk.RunPhase(ctx, a, s.start(t, phase, plan, nil), &calls{machine: m, action: a.Manifest(), plan: plan})
		if err == nil {
			t.Errorf("%v after the agent gave up: %v, want the context's error", phase, finish)
		}
	}
	if m.Changes() != 0 {
		t.Errorf("%d effects came about after the agent gave up", m.Changes())
	}
}
