package cli

import (
	"fmt"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// briefWord says in a few words what came of a task: how long something was down, what was planned, what went wrong. Checks,
// causes and deeds stand in the summary and in `fleetctl job show JOB TERMINAL`.
func briefWord(t *fleetv1.Task, dryRun bool) string {
	r := t.GetResult()
	switch {
	case !succeeded(t.GetStatus()):
		return briefReason(r)
	case dryRun && t.GetStatus() == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED:
		return wouldWord(r.GetPlan())
	default:
		return joinWords("; ", r.GetReason(), downWord(r), recoveredWord(r))
	}
}

// briefReason names the check that failed with what was observed, or the reason without what caused it.
func briefReason(r *actionv1.TaskResult) string {
	for _, c := range r.GetChecks() {
		if !c.GetOk() && strings.Contains(r.GetReason(), c.GetName()) {
			return fmt.Sprintf("check %q: observed %s", c.GetName(), c.GetObserved())
		}
	}
	return firstClause(r.GetReason())
}

// firstClause cuts an error of the form `object "name": cause: cause of the cause` after its first cause.
func firstClause(text string) string {
	clauses := strings.Split(text, ": ")
	n := 1
	for n < len(clauses) && strings.HasSuffix(clauses[n-1], `"`) {
		n++
	}
	return strings.Join(clauses[:n], ": ")
}

// wouldWord says in a few words what a plan comes to when nothing goes wrong: "would stop and start Nymi Agent".
func wouldWord(plan *actionv1.Plan) string {
	var services []string
	verbs := make(map[string][]string)
	for _, e := range plan.GetEffects() {
		if e.GetOnlyIf() != "" {
			continue
		}
		s := objectOf(e.GetEffect())
		if len(verbs[s]) == 0 {
			services = append(services, s)
		}
		verbs[s] = append(verbs[s], textOf(e.GetEffect()).verb)
	}
	var parts []string
	for _, s := range services {
		parts = append(parts, "would "+joinAnd(verbs[s])+" "+s)
	}
	return strings.Join(parts, "; ")
}
