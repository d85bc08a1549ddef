package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

func describeActionNamed(ctx context.Context, a *app, c *client.Client, name string) error {
	resp, err := action(ctx, c, name)
	if err != nil {
		return err
	}
	return printObject(a, resp, name, func() {
		for i, o := range resp.GetActions() {
			if i > 0 {
				a.out.Line("")
			}
			describeAction(a, o.GetAction())
			a.out.Line("Offered by plugin %s %s on %s.", o.GetPlugin(), o.GetPluginVersion(), output.Count(o.GetTerminals(), "terminal"))
		}
	})
}

func describeAction(a *app, act *actionv1.Action) {
	a.out.Line("%s %s: %s", a.out.Paint(output.Bold, act.GetName()), act.GetVersion(), act.GetSummary())
	for line := range strings.Lines(act.GetDescription()) {
		a.out.Line("  %s", strings.TrimRight(line, "\n"))
	}
	a.out.Fields(0,
		output.Text("Disruptive", yesNo(act.GetDisruptive())),
		output.Text("Interrupts", act.GetInterrupts()),
		output.Text("Verifies", act.GetVerifies()),
		output.Text("Undo", act.GetUndo()),
		output.Text("Approvals", approvalsWord(act.GetApprovals())),
		output.Text("For roles", list(act.GetRoles())),
		output.Text("Longest run", output.Duration(act.GetMaxDuration().AsDuration())),
		output.Text("After a crash", word(act.GetRepeatability())),
		output.Text("Source", act.GetSource()),
	)
	a.out.Line("Parameters:")
	for _, p := range act.GetParams() {
		a.out.Line("  %s  %s. %s", p.GetName(), paramWord(p), p.GetHelp())
	}
	for _, rule := range ruleWords(act) {
		a.out.Line("  %s", rule)
	}
	a.out.Line("May ask the agent to:")
	for _, c := range act.GetCapabilities() {
		a.out.Line("  %s: %s", strings.ReplaceAll(word(c.GetKind()), "-", " "), c.GetObject())
	}
}

// paramWord writes a parameter's type, bounds and default: "duration, 5s to 60s, default 10s".
func paramWord(p *actionv1.Param) string {
	text := word(p.GetType())
	if p.GetPatternWords() != "" {
		text = p.GetPatternWords()
	}
	if len(p.GetChoices()) > 0 {
		text = strings.Join(p.GetChoices(), "|")
	}
	if p.GetList() {
		text = "list of " + text
	}
	switch {
	case p.GetMin() != "" && p.GetMax() != "":
		text += ", " + params.Brief(p.GetMin()) + " to " + params.Brief(p.GetMax())
	case p.GetMin() != "":
		text += ", at least " + params.Brief(p.GetMin())
	case p.GetMax() != "":
		text += ", at most " + params.Brief(p.GetMax())
	}
	switch {
	case p.GetRequired():
		text += ", required"
	case p.GetDefaultValue() != "":
		text += ", default " + params.Brief(p.GetDefaultValue())
	}
	return text
}

// ruleWords writes the rules over several parameters, a line each.
func ruleWords(act *actionv1.Action) []string {
	var lines []string
	for _, r := range act.GetBudgetRules() {
		lines = append(lines, strings.Join(r.GetParams(), " + ")+": "+budgetWord(r))
	}
	for _, r := range act.GetOrderRules() {
		lines = append(lines, fmt.Sprintf("%s: less than %s%s (%s)", r.GetLesser(), r.GetGreater(), unlessWord(r.GetUnless()), r.GetReason()))
	}
	for _, r := range act.GetWhenRules() {
		lines = append(lines, fmt.Sprintf("%s=%s: %s (%s)", r.GetParam(), r.GetValue(), conditionWord(r), r.GetReason()))
	}
	return lines
}

func conditionWord(r *actionv1.WhenRule) string {
	var wants []string
	if r.GetRequires() != "" {
		wants = append(wants, "needs "+r.GetRequires()+"=true")
	}
	if r.GetNeeds() != "" {
		wants = append(wants, "needs "+r.GetNeeds())
	}
	if n := r.GetApprovals(); n > 0 {
		wants = append(wants, "needs "+output.Count(n, "approval"))
	}
	return strings.Join(wants, ", ")
}

func unlessWord(name string) string {
	if name == "" {
		return ""
	}
	return ", unless " + name + "=true"
}

func budgetWord(r *actionv1.BudgetRule) string {
	return "together at most " + output.Duration(r.GetMax().AsDuration()) + unlessWord(r.GetUnless()) + " (" + r.GetReason() + ")"
}

// approvalsWord writes how many others must approve a job of an action.
func approvalsWord(n uint32) string {
	if n == 0 {
		return ""
	}
	return number(n) + ", of people who did not ask for the job"
}
