package cli

import (
	"github.com/spf13/cobra"
)

func newJob(a *app) *cobra.Command {
	l := newGetJobs(a)
	l.Use, l.Aliases, l.Example = "list", nil, "  fleetctl job list --active"
	l.Args = takes(0)
	return newGroup("job", "Watch, show, explain, approve, pause, cancel and report jobs",
		"A job is an action on the terminals that were chosen; on each of them it is a task. Jobs are made with `fleetctl fix`.",
		"  fleetctl job watch 01JD...\n  fleetctl job show 01JD... lyon-01\n  fleetctl job why 01JD...",
		newJobWatch(a), newJobShow(a), newJobWhy(a), newJobReport(a),
		newJobPause(a), newJobResume(a), newJobCancel(a), newJobRetry(a),
		newJobApprove(a), newJobReject(a), newJobConfirm(a), l)
}

// waitingWord says how many tasks of a job have not started, and how many run.
func waitingWord(running, waiting uint32) string {
	var parts []string
	for _, p := range []struct {
		n    uint32
		word string
	}{{running, "running"}, {waiting, "waiting"}} {
		if p.n > 0 {
			parts = append(parts, number(p.n)+" "+p.word)
		}
	}
	if len(parts) == 0 {
		return "nothing is left to start"
	}
	return joinWords(", ", parts...)
}
