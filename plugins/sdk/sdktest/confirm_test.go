package sdktest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const question = "load paper into the printer at the gate"

// loadPaper has a person load paper, then starts the spooler.
type loadPaper struct{}

func (loadPaper) Manifest() *actionv1.Action {
	m := goodManifest()
	m.Name, m.MaxDuration = "paper-load", durationpb.New(2*time.Hour)
	m.Capabilities = append(m.Capabilities, sdk.AskPerson())
	return m
}

func (loadPaper) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(
		sdk.Planned("paper", sdk.Confirm(question, time.Hour), "nobody has confirmed", "a person has confirmed"),
		sdk.Planned("start", sdk.StartService(spooler, time.Second), "stopped", "running"),
	), nil
}

func (loadPaper) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	answer, err := r.Confirm(ctx, "paper")
	if err != nil {
		return err
	}
	r.Evidence("paper", "loaded by %s", answer.GetBy())
	return r.MustDo(ctx, "start")
}

func (loadPaper) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, spooler)
	return sdk.Verdict(sdk.Check("it runs", "running", s.GetStatus().String(), s.GetPid() != 0)), err
}

func newLoadPaper() sdk.Action { return loadPaper{} }

func stoppedSpooler() *Machine {
	return &Machine{Services: map[string]*actionv1.ServiceState{
		spooler: {Service: spooler, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED},
	}}
}

// TestActionThatAsksConforms: the suite knows people.
func TestActionThatAsksConforms(t *testing.T) {
	Conformance(t, newLoadPaper, map[string]Case{
		"somebody says yes": {Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Machine: stoppedSpooler},
		"bob says yes": {Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Machine: func() *Machine {
			m := stoppedSpooler()
			m.Answers = map[string]*actionv1.Confirmation{"paper": {Confirmed: true, By: "bob"}}
			return m
		}},
	})
}

// TestScriptedAnswers: what an action hears of each answer, and that it then does as it is told.
func TestScriptedAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer *actionv1.Confirmation
		reason string
		after  time.Duration
	}{
		"yes":               {&actionv1.Confirmation{Confirmed: true, By: "bob"}, "", 0},
		"no":                {&actionv1.Confirmation{By: "bob", Note: "no paper left"}, "bob said no: no paper left", 0},
		"no, without a why": {&actionv1.Confirmation{By: "bob"}, "bob said no", 0},
		"nobody":            {&actionv1.Confirmation{Confirmed: true}, "nobody confirmed within 1h0m0s: " + question, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := stoppedSpooler()
				m.Answers = map[string]*actionv1.Confirmation{"paper": c.answer}
				begun := time.Now()
				applied, calls := suite{newAction: newLoadPaper}.apply(t, m)
				if applied.GetOk() != (c.reason == "") || applied.GetReason() != c.reason || applied.GetOk() == (applied.GetNextStep() != "") {
					t.Errorf("applied = %v, want the reason %q, and a next step exactly when it failed", applied, c.reason)
				}
				if waited := time.Since(begun); waited != c.after {
					t.Errorf("it waited %v, want %v", waited, c.after)
				}
				if running := m.service(spooler).GetPid() != 0; running != applied.GetOk() {
					t.Errorf("the spooler runs: %v, want it to only after a yes", running)
				}
				if calls.records[0].GetChanged() || calls.records[0].GetAfter().GetConfirmation() == nil {
					t.Errorf("recorded %v, want an answer, and nothing changed by asking", calls.records[0])
				}
			})
		})
	}
}

// TestConfirmProblems: the suite finds what the agent would refuse.
func TestConfirmProblems(t *testing.T) {
	for name, c := range map[string]struct {
		effect *actionv1.Effect
		want   string
	}{
		"no prompt":    {sdk.Confirm("", time.Minute), "0 bytes"},
		"long prompt":  {sdk.Confirm(strings.Repeat("x", 501), time.Minute), "501 bytes"},
		"control":      {sdk.Confirm("a\nb", time.Minute), "control characters"},
		"hasty":        {sdk.Confirm(question, time.Second), "waits 1s"},
		"too patient":  {sdk.Confirm(question, 25*time.Hour), "waits 25h0m0s"},
		"all its time": {sdk.Confirm(question, 2*time.Hour), "less than max_duration"},
	} {
		plan := sdk.Ready(sdk.Planned("paper", c.effect, "a", "b"))
		if got := strings.Join(planProblems(loadPaper{}.Manifest(), plan), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: problems = %q, want %q among them", name, got, c.want)
		}
	}
	undeclared := sdk.Ready(sdk.Planned("paper", sdk.Confirm(question, time.Minute), "a", "b"))
	undeclaredBy := goodManifest()
	undeclaredBy.MaxDuration = durationpb.New(time.Hour)
	if got := strings.Join(planProblems(undeclaredBy, undeclared), "\n"); !strings.Contains(got, "did not declare") {
		t.Errorf("problems = %q, want that asking was not declared", got)
	}
	for name, c := range map[string]struct {
		spoil func(*actionv1.Action)
		want  string
	}{
		"no time to answer": {func(a *actionv1.Action) { a.MaxDuration = durationpb.New(10 * time.Second) }, "want more than 10s"},
		"endless":           {func(a *actionv1.Action) { a.MaxDuration = durationpb.New(26 * time.Hour) }, "at most 25h0m0s"},
		"asks whom":         {func(a *actionv1.Action) { a.Capabilities[2].Object = "ada" }, "want an object exactly when its kind has one"},
		"only reads":        {func(a *actionv1.Action) { a.ReadOnly = true }, "PERSON_CONFIRM"},
	} {
		m := loadPaper{}.Manifest()
		c.spoil(m)
		if got := strings.Join(ManifestProblems(m), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: problems = %q, want %q among them", name, got, c.want)
		}
	}
}
