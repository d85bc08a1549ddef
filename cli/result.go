package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// didWord says what was done to a machine in one line, with the evidence: "stopped and started Nymi Bluetooth Endpoint; down
// 4.2s; process 412 → 977".
func didWord(r *actionv1.TaskResult) string {
	var parts []string
	for _, service := range touched(r) {
		parts = append(parts, joinAnd(deeds(r, service))+" "+service)
		if pids := pidsWord(r, service); pids != "" {
			parts = append(parts, pids)
		}
	}
	return joinWords("; ", strings.Join(parts, "; "), downWord(r))
}

// downWord says how long each service was down: "down 4.2s", or "Nymi Agent down 1s, then 2s" when there were several services.
func downWord(r *actionv1.TaskResult) string {
	var services []string
	times := make(map[string][]string)
	for _, i := range r.GetInterruptions() {
		if len(times[i.GetService()]) == 0 {
			services = append(services, i.GetService())
		}
		times[i.GetService()] = append(times[i.GetService()], downTime(i))
	}
	var parts []string
	for _, s := range services {
		text := strings.Join(times[s], ", then ")
		if len(services) > 1 {
			text = s + " " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// downTime writes one interruption: "down 4.2s", "still down after 20s".
func downTime(i *actionv1.Interruption) string {
	if i.GetOngoing() {
		return "still down after " + output.Duration(i.GetDuration().AsDuration())
	}
	return "down " + output.Duration(i.GetDuration().AsDuration())
}

// touched names the services that were changed, in the order of their first change.
func touched(r *actionv1.TaskResult) []string {
	var out []string
	for _, e := range r.GetEffects() {
		if s := serviceOf(e.GetEffect()); e.GetChanged() && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func deeds(r *actionv1.TaskResult, service string) []string {
	var out []string
	for _, e := range r.GetEffects() {
		if e.GetChanged() && serviceOf(e.GetEffect()) == service {
			out = append(out, deed(e))
		}
	}
	return out
}

// deed says what an effect did. One that did not come about may have changed something all the same: the service is stopping.
func deed(e *actionv1.RecordedEffect) string {
	done, tried := "changed", "tried to change"
	switch e.GetEffect().GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		done, tried = "stopped", "tried to stop"
	case *actionv1.Effect_ServiceStart:
		done, tried = "started", "tried to start"
	case *actionv1.Effect_ServiceKill:
		done, tried = "killed", "tried to kill"
	case *actionv1.Effect_Confirm:
		done, tried = "asked", "asked in vain"
	}
	if e.GetError() != "" {
		return tried
	}
	return done
}

func serviceOf(e *actionv1.Effect) string {
	switch e := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		return e.ServiceStop.GetService()
	case *actionv1.Effect_ServiceStart:
		return e.ServiceStart.GetService()
	case *actionv1.Effect_ServiceKill:
		return e.ServiceKill.GetService()
	case *actionv1.Effect_Confirm:
		return "a person"
	default:
		return "something that this fleetctl does not know"
	}
}

// effectWord writes an effect that is to be done: `stop service "Nymi Agent" (at most 10s)`.
func effectWord(e *actionv1.Effect) string {
	switch e := e.GetEffect().(type) {
	case *actionv1.Effect_ServiceStop:
		return serviceEffect("stop", e.ServiceStop.GetService(), e.ServiceStop.GetTimeout().AsDuration())
	case *actionv1.Effect_ServiceStart:
		return serviceEffect("start", e.ServiceStart.GetService(), e.ServiceStart.GetTimeout().AsDuration())
	case *actionv1.Effect_ServiceKill:
		return serviceEffect("kill the process of", e.ServiceKill.GetService(), e.ServiceKill.GetTimeout().AsDuration())
	case *actionv1.Effect_Confirm:
		return fmt.Sprintf("ask a person %q (waits at most %s)", e.Confirm.GetPrompt(), output.Duration(e.Confirm.GetTimeout().AsDuration()))
	default:
		return "an effect that this fleetctl does not know; update it"
	}
}

func serviceEffect(verb, service string, timeout time.Duration) string {
	return fmt.Sprintf("%s service %q (at most %s)", verb, service, output.Duration(timeout))
}

// pidsWord tells that another process runs now: "process 412 → 977".
func pidsWord(r *actionv1.TaskResult, service string) string {
	var first, last uint32
	seen := false
	for _, e := range r.GetEffects() {
		if serviceOf(e.GetEffect()) != service {
			continue
		}
		if !seen {
			first, seen = e.GetBefore().GetService().GetPid(), true
		}
		last = e.GetAfter().GetService().GetPid()
	}
	if first == last {
		return ""
	}
	return "process " + pidWord(first) + " → " + pidWord(last)
}

func pidWord(pid uint32) string {
	if pid == 0 {
		return "none"
	}
	return number(pid)
}

func joinAnd(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

// nameWidth is the width of the longest name of terminals, as it is printed.
func nameWidth(tasks []*fleetv1.Task) int {
	width := 0
	for _, t := range tasks {
		width = max(width, text.StringWidthWithoutEscSequences(output.Safe(t.GetTerminalName())))
	}
	return width
}

// pad fills text with blanks up to width characters on the screen.
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(width-text.StringWidthWithoutEscSequences(s), 0))
}
