package cli

import (
	"context"
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
	for _, r := range act.GetBudgetRules() {
		a.out.Line("  %s: %s", strings.Join(r.GetParams(), " + "), budgetWord(r))
	}
	a.out.Line("May ask the agent to:")
	for _, c := range act.GetCapabilities() {
		a.out.Line("  %s: %s", strings.ReplaceAll(word(c.GetKind()), "-", " "), c.GetObject())
	}
}

// paramWord writes a parameter's type, bounds and default: "duration, 5s to 60s, default 10s".
func paramWord(p *actionv1.Param) string {
	text := word(p.GetType())
	if len(p.GetChoices()) > 0 {
		text = strings.Join(p.GetChoices(), "|")
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

func budgetWord(r *actionv1.BudgetRule) string {
	text := "together at most " + output.Duration(r.GetMax().AsDuration())
	if r.GetUnless() != "" {
		text += ", unless " + r.GetUnless() + "=true"
	}
	return text + " (" + r.GetReason() + ")"
}

// approvalsWord writes how many others must approve a job of an action.
func approvalsWord(n uint32) string {
	if n == 0 {
		return ""
	}
	return number(n) + ", of people who did not ask for the job"
}
