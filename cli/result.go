package cli

import (
	"slices"
	"strings"

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
	return joinWords("; ", strings.Join(parts, "; "), downWord(r), findingsWord(r.GetFindings()), leasesWord(r.GetLeases()))
}

// leasesWord says when changes will go back by themselves, or what became of them.
func leasesWord(leases []*actionv1.LeaseState) string {
	var parts []string
	for _, l := range leases {
		word := leaseWord(l)
		if goesBack(l) {
			word = "goes back by itself: " + word
		}
		parts = append(parts, word)
	}
	return strings.Join(parts, "; ")
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

// touched names what was changed, in the order of its first change.
func touched(r *actionv1.TaskResult) []string {
	var out []string
	for _, e := range r.GetEffects() {
		if s := objectOf(e.GetEffect()); happened(e) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// happened says whether an effect is worth a word: it changed something, or it was done and has no state to compare.
func happened(e *actionv1.RecordedEffect) bool {
	stateless := e.GetBefore() == nil && e.GetAfter() == nil
	return e.GetChanged() || stateless && e.GetError() == ""
}

func deeds(r *actionv1.TaskResult, object string) []string {
	var out []string
	for _, e := range r.GetEffects() {
		if happened(e) && objectOf(e.GetEffect()) == object {
			out = append(out, deed(e))
		}
	}
	return out
}

// pidsWord tells that another process runs now: "process 412 → 977".
func pidsWord(r *actionv1.TaskResult, service string) string {
	var first, last uint32
	seen := false
	for _, e := range r.GetEffects() {
		if objectOf(e.GetEffect()) != service {
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
