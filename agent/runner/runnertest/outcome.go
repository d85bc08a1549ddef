package runnertest

import (
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Outcome is a task's result, with what tests ask of one. Each Want fails the test when it does not hold, and returns the Outcome.
type Outcome struct {
	*actionv1.TaskResult
	t *testing.T
}

// Want wants a status.
func (o *Outcome) Want(status actionv1.TaskStatus) *Outcome {
	o.t.Helper()
	if o.GetStatus() != status {
		o.t.Errorf("status is %s (%s; next: %s), want %s", o.GetStatus(), o.GetReason(), o.GetNextStep(), status)
	}
	return o
}

// WantReason wants words in the reason.
func (o *Outcome) WantReason(words string) *Outcome {
	o.t.Helper()
	if !strings.Contains(o.GetReason(), words) {
		o.t.Errorf("reason is %q, want %q in it", o.GetReason(), words)
	}
	return o
}

// WantNext wants words in the next step; none means that there must be no next step.
func (o *Outcome) WantNext(words string) *Outcome {
	o.t.Helper()
	if !strings.Contains(o.GetNextStep(), words) || (words == "" && o.GetNextStep() != "") {
		o.t.Errorf("next step is %q, want %q in it (none when empty)", o.GetNextStep(), words)
	}
	return o
}

// WantUndone wants a resource that has these words in its name to have been put back so.
func (o *Outcome) WantUndone(words string, outcome actionv1.UndoOutcome) *Outcome {
	o.t.Helper()
	for _, u := range o.GetUndone() {
		if strings.Contains(u.GetResource(), words) {
			if u.GetOutcome() != outcome {
				o.t.Errorf("%s: undo came to %s (%s), want %s", u.GetResource(), u.GetOutcome(), u.GetReason(), outcome)
			}
			return o
		}
	}
	o.t.Errorf("nothing with %q in its name was put back, only %v; want %s", words, o.GetUndone(), outcome)
	return o
}

// EffectOf returns the record of a planned effect's last try, nil when it was not tried.
func (o *Outcome) EffectOf(planID string) *actionv1.RecordedEffect {
	var last *actionv1.RecordedEffect
	for _, e := range o.GetEffects() {
		if e.GetPlanId() == planID {
			last = e
		}
	}
	return last
}
