package cli

import (
	"slices"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// whyGroup is the tasks that wait for the same.
type whyGroup struct {
	wait *fleetv1.Wait
	// detail is what blocks; empty when it differs from one to the other.
	detail string
	names  []string
}

// printWhy prints what holds the whole job up, then each reason with what blocks, when it is looked at next, and whom it holds up.
func printWhy(a *app, b *board, tasks []*fleetv1.Task) {
	if len(tasks) == 0 {
		a.info.Line("no tasks wait; %s", countsWord(b.job))
		return
	}
	a.out.Line("%s  %s: %s", a.out.Paint(output.Bold, b.job.GetId()), actionOf(b.job), countsWord(b.job))
	for _, n := range b.notes() {
		a.out.Line("  %s", a.out.Paint(n.style, n.text))
	}
	if why := whyApprovals(b.job); why != "" {
		a.out.Line("  %s", why)
	}
	for _, g := range groupWaits(tasks) {
		a.out.Line("%s  %s", a.out.Paint(output.Bold, output.Count(len(g.names), "terminal")+": "+reasonWord(g.wait)), whenWord(a, g.wait))
		if g.detail != "" {
			a.out.Line("  blocked by: %s", g.detail)
		}
		a.out.Line("  %s", someNames(g.names))
	}
	a.out.Line("next: all of one terminal with `fleetctl job why %s TERMINAL`, each in a line with -o wide", b.job.GetId())
}

// groupWaits brings tasks together that wait for the same, the largest group first.
func groupWaits(tasks []*fleetv1.Task) []*whyGroup {
	var groups []*whyGroup
	known := make(map[string]*whyGroup)
	for _, t := range tasks {
		w := t.GetWait()
		key := w.GetReason().String() + w.GetDetail() + output.UTC(w.GetNextLook())
		// Offline terminals differ in when they were seen last, and wait for the same all the same.
		if w.GetReason() == fleetv1.WaitReason_WAIT_REASON_OFFLINE {
			key = w.GetReason().String()
		}
		g := known[key]
		if g == nil {
			g = &whyGroup{wait: w, detail: w.GetDetail()}
			known[key] = g
			groups = append(groups, g)
		}
		if g.detail != w.GetDetail() {
			g.detail = ""
		}
		g.names = append(g.names, t.GetTerminalName())
	}
	slices.SortStableFunc(groups, func(x, y *whyGroup) int { return len(y.names) - len(x.names) })
	return groups
}

// reasonWord is a reason to wait with what it means.
func reasonWord(w *fleetv1.Wait) string {
	return joinWords(": ", word(w.GetReason()), meaning(w.GetReason()))
}

// meaning says in a clause what a reason to wait means.
func meaning(r fleetv1.WaitReason) string {
	switch r {
	case fleetv1.WaitReason_WAIT_REASON_OFFLINE:
		return "the terminal is not connected"
	case fleetv1.WaitReason_WAIT_REASON_WAVE:
		return "its wave has not begun"
	case fleetv1.WaitReason_WAIT_REASON_SLOT:
		return "as many run as may run at once"
	case fleetv1.WaitReason_WAIT_REASON_WINDOW:
		return "its site's maintenance window is not open"
	case fleetv1.WaitReason_WAIT_REASON_NOT_BEFORE:
		return "the job's time has not come"
	case fleetv1.WaitReason_WAIT_REASON_PAUSED:
		return "the job is paused"
	case fleetv1.WaitReason_WAIT_REASON_APPROVAL:
		return "others must approve the job"
	case fleetv1.WaitReason_WAIT_REASON_LOCK:
		return "another task works on the same thing there"
	case fleetv1.WaitReason_WAIT_REASON_IN_USE:
		return "a person is at work there"
	case fleetv1.WaitReason_WAIT_REASON_FLOOR:
		return "too few terminals would keep working"
	case fleetv1.WaitReason_WAIT_REASON_PERSON:
		return "a person must answer"
	default:
		return ""
	}
}

// whenWord says when a wait is looked at next.
func whenWord(a *app, w *fleetv1.Wait) string {
	if w.GetNextLook() == nil {
		return "looked at when that changes"
	}
	return "looked at next at " + output.UTC(w.GetNextLook()) + ", " + output.Ago(w.GetNextLook(), a.now())
}
