package cli

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// enum is a generated enum of protobuf.
type enum interface {
	~int32
	protoreflect.Enum
}

// word writes an enum's value as people type it: TERMINAL_ROLE_NES_HOST is "nes-host". The zero value is "".
func word[E enum](e E) string {
	if e.Number() == 0 {
		return ""
	}
	v := e.Descriptor().Values().ByNumber(e.Number())
	if v == nil {
		return "unknown to this fleetctl"
	}
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(string(v.Name()), prefix(e)), "_", "-"))
}

// words lists every value of an enum but the zero value.
func words[E enum](e E) []string {
	values := e.Descriptor().Values()
	out := make([]string, 0, values.Len())
	for i := range values.Len() {
		if values.Get(i).Number() != 0 {
			out = append(out, word(E(values.Get(i).Number())))
		}
	}
	return out
}

// parseWord reads what word writes. what names the value in the error ("role").
func parseWord[E enum](what, text string) (E, error) {
	var zero E
	values := zero.Descriptor().Values()
	for i := range values.Len() {
		e := E(values.Get(i).Number())
		if e != zero && word(e) == strings.ToLower(text) {
			return e, nil
		}
	}
	return zero, exit.Errorf(exit.BadInput, "%s %q is not known", what, text).Then("use one of %s", strings.Join(words(zero), ", "))
}

// prefix is what each value's name of an enum begins with, taken from its zero value.
func prefix[E enum](e E) string {
	return strings.TrimSuffix(string(e.Descriptor().Values().ByNumber(0).Name()), "UNSPECIFIED")
}

// outcomeWord writes a task's status. A dry run that succeeded made a plan and did nothing else, and is not to be taken for a
// repair.
func outcomeWord(s actionv1.TaskStatus, dryRun bool) string {
	if dryRun && s == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		return "planned"
	}
	return word(s)
}

// statusWord is outcomeWord in capitals, as in a summary and the documents: ROLLBACK_FAILED.
func statusWord(s actionv1.TaskStatus, dryRun bool) string {
	return strings.ToUpper(strings.ReplaceAll(outcomeWord(s, dryRun), "-", "_"))
}

// succeeded tells whether a status counts as success: the wanted state was verified.
func succeeded(s actionv1.TaskStatus) bool {
	return s == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || s == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
}

func statusStyle(s actionv1.TaskStatus) output.Style {
	switch s {
	case actionv1.TaskStatus_TASK_STATUS_UNSPECIFIED:
		return output.Plain
	case actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE:
		return output.Good
	case actionv1.TaskStatus_TASK_STATUS_UNKNOWN, actionv1.TaskStatus_TASK_STATUS_EXPIRED, actionv1.TaskStatus_TASK_STATUS_CANCELLED:
		return output.Doubt
	default:
		return output.Bad
	}
}

func onlineWord(t *fleetv1.Terminal) string {
	switch {
	case t.GetState() == fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED:
		return "decommissioned"
	case t.GetState() == fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING:
		return "re-enrolling"
	case t.GetQuarantine() != nil:
		return "quarantined"
	case t.GetOnline():
		return "online"
	default:
		return "offline"
	}
}

func onlineStyle(t *fleetv1.Terminal) output.Style {
	if onlineWord(t) == "online" {
		return output.Good
	}
	return output.Doubt
}

// pairs writes a map as "a=1,b=2", sorted.
func pairs(m map[string]string) string {
	out := make([]string, 0, len(m))
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}
