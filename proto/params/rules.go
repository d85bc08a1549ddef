package params

import (
	"fmt"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// brokenRules checks the rules over several parameters. Every value is canonical already.
func brokenRules(a *actionv1.Action, values map[string]string) []Problem {
	problems := brokenBudgets(a, values)
	for _, r := range a.GetOrderRules() {
		if reason := brokenOrder(a, r, values); reason != "" {
			problems = append(problems, Problem{r.GetLesser(), reason})
		}
	}
	for _, r := range a.GetWhenRules() {
		if reason := brokenWhen(r, values); reason != "" {
			problems = append(problems, Problem{r.GetParam(), reason})
		}
	}
	return problems
}

func brokenBudgets(a *actionv1.Action, values map[string]string) []Problem {
	var problems []Problem
	for _, r := range a.GetBudgetRules() {
		if lifted(r.GetUnless(), values) {
			continue
		}
		var sum time.Duration
		for _, name := range r.GetParams() {
			if d, err := time.ParseDuration(values[name]); err == nil {
				sum += d
			}
		}
		if sum <= r.GetMax().AsDuration() {
			continue
		}
		reason := fmt.Sprintf("%s together are %s, at most %s are allowed: %s", strings.Join(r.GetParams(), " and "), Brief(sum.String()), Brief(r.GetMax().AsDuration().String()), r.GetReason())
		if r.GetUnless() != "" {
			reason += fmt.Sprintf("; lower them, or set %s=true", r.GetUnless())
		}
		problems = append(problems, Problem{r.GetParams()[0], reason})
	}
	return problems
}

// brokenOrder says why a rule does not hold, "" when it does or when one of the two is not set.
func brokenOrder(a *actionv1.Action, r *actionv1.OrderRule, values map[string]string) string {
	lesser, greater := values[r.GetLesser()], values[r.GetGreater()]
	if lesser == "" || greater == "" || lifted(r.GetUnless(), values) {
		return ""
	}
	parse := parserOf(a, r.GetLesser())
	least, err := parse(lesser)
	if err != nil {
		return err.Error()
	}
	most, err := parse(greater)
	if err != nil {
		return err.Error()
	}
	if least < most {
		return ""
	}
	reason := fmt.Sprintf("is %s, want less than %s, which is %s: %s", Brief(lesser), r.GetGreater(), Brief(greater), r.GetReason())
	if r.GetUnless() != "" {
		reason += fmt.Sprintf("; lower it, or set %s=true", r.GetUnless())
	}
	return reason
}

func lifted(unless string, values map[string]string) bool {
	return unless != "" && values[unless] == "true"
}

// parserOf returns how the numbers of a parameter are read.
func parserOf(a *actionv1.Action, name string) func(string) (int64, error) {
	for _, p := range a.GetParams() {
		if p.GetName() == name && p.GetType() == actionv1.ParamType_PARAM_TYPE_DURATION {
			return parseDuration
		}
	}
	return parseInteger
}

// brokenWhen says what a value asks for that is not there, "" when nothing is missing.
func brokenWhen(r *actionv1.WhenRule, values map[string]string) string {
	switch {
	case !applies(r, values):
		return ""
	case r.GetRequires() != "" && values[r.GetRequires()] != "true":
		return fmt.Sprintf("is %s, which needs %s=true: %s", r.GetValue(), r.GetRequires(), r.GetReason())
	case r.GetNeeds() != "" && values[r.GetNeeds()] == "":
		return fmt.Sprintf("is %s, which needs %s to be given: %s", r.GetValue(), r.GetNeeds(), r.GetReason())
	}
	return ""
}

func applies(r *actionv1.WhenRule, values map[string]string) bool {
	value, ok := values[r.GetParam()]
	return ok && value == r.GetValue()
}

// Approvals returns how many people who are not the requester must approve a job with these parameters, as Resolve returned them,
// and why it is more than the action asks for with any parameters; the reason is empty when it is not.
func Approvals(a *actionv1.Action, resolved map[string]string) (uint32, string) {
	most, reason := a.GetApprovals(), ""
	for _, r := range a.GetWhenRules() {
		if applies(r, resolved) && r.GetApprovals() > most {
			most = r.GetApprovals()
			reason = fmt.Sprintf("%s is %s: %s", r.GetParam(), r.GetValue(), r.GetReason())
		}
	}
	return most, reason
}
