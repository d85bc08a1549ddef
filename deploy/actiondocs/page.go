package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// index is the list of all actions.
func index(all []offered) string {
	var b strings.Builder
	b.WriteString(made)
	b.WriteString("# Actions\n\nWhat terminals and NES hosts offer. `fleetctl get actions` lists what yours do, `fleetctl describe action NAME` shows one in full.\n\n")
	b.WriteString("| action | purpose | roles | approvals | disruptive | plugin |\n|---|---|---|---|---|---|\n")
	for _, o := range all {
		a := o.action
		row(&b, fmt.Sprintf("[%s](%s.md)", a.GetName(), a.GetName()), a.GetSummary(), strings.Join(a.GetRoles(), ", "), approvals(a), disruptive(a), o.plugin)
	}
	return b.String()
}

// row writes a row of a table.
func row(b *strings.Builder, cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(strings.ReplaceAll(c, "\n", " "), "|", `\|`)
	}
	fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
}

// page is the page of one action.
func page(o offered) string {
	a := o.action
	var b strings.Builder
	b.WriteString(made)
	fmt.Fprintf(&b, "# %s\n\n%s.\n\n%s\n\n", a.GetName(), strings.TrimSuffix(a.GetSummary(), "."), a.GetDescription())
	fmt.Fprintf(&b, "```\n%s\n```\n\n", example(a))
	facts(&b, o)
	parameters(&b, a)
	fmt.Fprintf(&b, "## How it is verified\n\n%s\n\n## How it is undone\n\n%s\n\n", a.GetVerifies(), a.GetUndo())
	capabilities(&b, a)
	b.WriteString("[All actions](README.md)\n")
	return b.String()
}

func facts(b *strings.Builder, o offered) {
	a := o.action
	b.WriteString("| | |\n|---|---|\n")
	row(b, "For roles", strings.Join(a.GetRoles(), ", "))
	row(b, "Interrupts", interrupts(a))
	row(b, "Approvals", approvals(a))
	row(b, "Has for itself", orNothing(strings.Join(a.GetResources(), ", ")))
	row(b, "Longest run", params.Brief(a.GetMaxDuration().AsDuration().String()))
	row(b, "When the agent dies in the middle", afterCrash(a))
	row(b, "From the guide", a.GetSource())
	row(b, "Plugin", o.plugin)
	b.WriteString("\n")
}

func interrupts(a *actionv1.Action) string {
	switch {
	case a.GetReadOnly():
		return "Nothing: it only reads."
	case a.GetInterrupts() == "":
		return "Nothing."
	}
	return a.GetInterrupts()
}

func disruptive(a *actionv1.Action) string {
	switch {
	case a.GetReadOnly():
		return "reads only"
	case a.GetDisruptive():
		return "yes"
	}
	return "no"
}

// approvals says how many others must approve, and with which parameters more.
func approvals(a *actionv1.Action) string {
	text := "none"
	if n := a.GetApprovals(); n > 0 {
		text = fmt.Sprint(n)
	}
	for _, r := range a.GetWhenRules() {
		if r.GetApprovals() > a.GetApprovals() {
			text += fmt.Sprintf(", %d with %s=%s", r.GetApprovals(), r.GetParam(), r.GetValue())
		}
	}
	return text
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

func afterCrash(a *actionv1.Action) string {
	switch a.GetRepeatability() {
	case actionv1.Repeatability_REPEATABILITY_REPEATABLE:
		return "It is settled what was done, and the action is run again, at most twice."
	case actionv1.Repeatability_REPEATABILITY_PROBE:
		return "It is settled what was done, and the verification decides."
	case actionv1.Repeatability_REPEATABILITY_ONE_SHOT:
		return "It is settled what was done, and a person decides."
	default:
		return "Not said."
	}
}

// parameters is the table of the parameters, with the rules over several.
func parameters(b *strings.Builder, a *actionv1.Action) {
	b.WriteString("## Parameters\n\n")
	if len(a.GetParams()) == 0 {
		b.WriteString("None.\n\n")
		return
	}
	b.WriteString("| name | value | default | meaning |\n|---|---|---|---|\n")
	for _, p := range a.GetParams() {
		row(b, "`"+p.GetName()+"`", valueOf(p), defaultOf(p), p.GetHelp())
	}
	b.WriteString("\n")
	for _, line := range rules(a) {
		fmt.Fprintf(b, "- %s\n", line)
	}
	if len(rules(a)) > 0 {
		b.WriteString("\n")
	}
}

// valueOf says what a parameter takes: "duration, 5s to 1m".
func valueOf(p *actionv1.Param) string {
	text := strings.ToLower(strings.TrimPrefix(p.GetType().String(), "PARAM_TYPE_"))
	switch {
	case len(p.GetChoices()) > 0:
		text = "`" + strings.Join(p.GetChoices(), "` `") + "`"
	case p.GetPatternWords() != "":
		text = p.GetPatternWords()
	case p.GetType() == actionv1.ParamType_PARAM_TYPE_SECRET:
		text = "`secret:NAME`"
	}
	unit := ""
	if p.GetType() == actionv1.ParamType_PARAM_TYPE_STRING {
		unit = " bytes"
	}
	switch least, most := params.Brief(p.GetMin()), params.Brief(p.GetMax()); {
	case least != "" && most != "":
		text += fmt.Sprintf(", %s to %s%s", least, most, unit)
	case least != "":
		text += fmt.Sprintf(", at least %s%s", least, unit)
	case most != "":
		text += fmt.Sprintf(", at most %s%s", most, unit)
	}
	if p.GetList() {
		text += "; several, joined by commas"
	}
	return text
}

func defaultOf(p *actionv1.Param) string {
	switch {
	case p.GetRequired():
		return "required"
	case p.GetDefaultValue() == "":
		return "not set"
	}
	return "`" + params.Brief(p.GetDefaultValue()) + "`"
}

// rules puts the rules over several parameters into words.
func rules(a *actionv1.Action) []string {
	unless := func(name string) string {
		if name == "" {
			return ""
		}
		return fmt.Sprintf(", unless `%s=true`", name)
	}
	var out []string
	for _, r := range a.GetBudgetRules() {
		out = append(out, fmt.Sprintf("`%s` together: at most %s%s (%s).", strings.Join(r.GetParams(), "` + `"), short(r.GetMax().AsDuration()), unless(r.GetUnless()), r.GetReason()))
	}
	for _, r := range a.GetOrderRules() {
		out = append(out, fmt.Sprintf("`%s` must be less than `%s`%s (%s).", r.GetLesser(), r.GetGreater(), unless(r.GetUnless()), r.GetReason()))
	}
	for _, r := range a.GetWhenRules() {
		for _, wants := range wanted(r) {
			out = append(out, fmt.Sprintf("`%s=%s` %s (%s).", r.GetParam(), r.GetValue(), wants, r.GetReason()))
		}
	}
	return slices.Compact(out)
}

func wanted(r *actionv1.WhenRule) (out []string) {
	if r.GetRequires() != "" {
		out = append(out, fmt.Sprintf("needs `%s=true`", r.GetRequires()))
	}
	if r.GetNeeds() != "" {
		out = append(out, fmt.Sprintf("needs `%s` to be given", r.GetNeeds()))
	}
	if r.GetApprovals() > 0 {
		out = append(out, fmt.Sprintf("waits for the approval of %d who did not ask for it", r.GetApprovals()))
	}
	return out
}

func short(d time.Duration) string { return params.Brief(d.String()) }
