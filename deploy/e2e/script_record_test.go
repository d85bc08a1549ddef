package e2e

import (
	"slices"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// recordCommands judge what the machines themselves recorded of a job.
func recordCommands(f *fleet) map[string]command {
	return map[string]command{
		// never-together JOB MOST [SITE]: by the agents' own times, no more than MOST ran at once (at that site), and each wave began
		// after the one before had ended.
		"never-together": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 && len(args) != 3 {
				ts.Fatalf("usage: never-together JOB MOST [SITE]")
			}
			most, err := strconv.Atoi(args[1])
			ts.Check(err)
			neverTogether(ts, ranOnMachines(ts, f.tasks(args[0]), args[2:]), most)
		},
		// touched JOB TERMINAL...: something was done on these, and on no others.
		"touched": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) < 2 {
				ts.Fatalf("usage: touched JOB TERMINAL...")
			}
			wantTouched(ts, f.tasks(args[0]), args[1:])
		},
		// restarted JOB TERMINAL...: as touched; and what was stopped was started after it, as another process.
		"restarted": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) < 2 {
				ts.Fatalf("usage: restarted JOB TERMINAL...")
			}
			for _, t := range wantTouched(ts, f.tasks(args[0]), args[1:]) {
				wantStartAfterStop(ts, t)
			}
		},
		// once JOB: each target of a job was attempted once and has one result.
		"once": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: once JOB")
			}
			wantOnce(ts, f.tasks(args[0]))
		},
		// not-before JOB TIME: by the agents' own times, nothing of a job began before that.
		"not-before": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: not-before JOB TIME")
			}
			wantNotBefore(ts, f.tasks(args[0]), args[1])
		},
		// ended-within JOB DURATION: by the agents' own times, each task of a job ended so soon after it began.
		"ended-within": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 2 {
				ts.Fatalf("usage: ended-within JOB DURATION")
			}
			most, err := time.ParseDuration(args[1])
			ts.Check(err)
			wantEndedWithin(ts, f.tasks(args[0]), most)
		},
		// digest JOB: sets $DIGEST to what an approval of the job must name.
		"digest": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 1 {
				ts.Fatalf("usage: digest JOB")
			}
			ts.Setenv("DIGEST", f.job(args[0]).GetApproval().GetDigest())
		},
	}
}

// ranOnMachines are the tasks that ran, at these sites (none given: at all), in the order in which they began.
func ranOnMachines(ts *testscript.TestScript, tasks []*fleetv1.Task, sites []string) []*fleetv1.Task {
	var ran []*fleetv1.Task
	for _, t := range tasks {
		if t.GetResult().GetStarted() != nil && (len(sites) == 0 || slices.Contains(sites, t.GetSite())) {
			ran = append(ran, t)
		}
	}
	if len(ran) < 2 {
		ts.Fatalf("%d of %d tasks ran; with fewer than two nothing is shown", len(ran), len(tasks))
	}
	slices.SortFunc(ran, func(a, b *fleetv1.Task) int { return began(a).Compare(began(b)) })
	return ran
}

func began(t *fleetv1.Task) time.Time { return t.GetResult().GetStarted().AsTime() }
func ended(t *fleetv1.Task) time.Time { return t.GetResult().GetFinished().AsTime() }

func neverTogether(ts *testscript.TestScript, ran []*fleetv1.Task, most int) {
	for i, t := range ran {
		together := 1
		for _, earlier := range ran[:i] {
			if ended(earlier).After(began(t)) {
				together++
				if earlier.GetWave() < t.GetWave() {
					ts.Fatalf("%s of wave %d began at %v, before %s of wave %d had ended at %v: a wave must wait for the one before it",
						t.GetTerminalName(), t.GetWave(), began(t), earlier.GetTerminalName(), earlier.GetWave(), ended(earlier))
				}
			}
		}
		if together > most {
			ts.Fatalf("%d ran at once when %s began, want at most %d: a job must not become an outage", together, t.GetTerminalName(), most)
		}
	}
}

// wantTouched checks on which terminals something was done, and returns their tasks.
func wantTouched(ts *testscript.TestScript, tasks []*fleetv1.Task, terminals []string) (touched []*fleetv1.Task) {
	var names []string
	for _, t := range tasks {
		if len(t.GetResult().GetEffects()) > 0 {
			touched = append(touched, t)
			names = append(names, t.GetTerminalName())
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, slices.Sorted(slices.Values(terminals))) {
		ts.Fatalf("something was done on %q, want on %q and nowhere else", names, terminals)
	}
	return touched
}

// wantStartAfterStop checks that what was stopped was started again, as another process.
func wantStartAfterStop(ts *testscript.TestScript, t *fleetv1.Task) {
	var stopped *actionv1.RecordedEffect
	for _, e := range t.GetResult().GetEffects() {
		switch {
		case e.GetEffect().GetServiceStop() != nil && e.GetChanged():
			stopped = e
		case e.GetEffect().GetServiceStart() != nil && e.GetChanged() && stopped != nil:
			if e.GetAfter().GetService().GetPid() != stopped.GetBefore().GetService().GetPid() {
				stopped = nil
			}
		}
	}
	if stopped != nil {
		ts.Fatalf("%s was stopped and has no start as another process after it: nothing may be left stopped; its effects: %v", t.GetTerminalName(), t.GetResult().GetEffects())
	}
}

func wantOnce(ts *testscript.TestScript, tasks []*fleetv1.Task) {
	for _, t := range tasks {
		if t.GetAttempt() != 1 || t.GetResult() == nil {
			ts.Fatalf("%s: attempt %d, result %v; want one started attempt and one result: what may have started is never dispatched anew",
				t.GetTerminalName(), t.GetAttempt(), t.GetResult())
		}
	}
}

func wantNotBefore(ts *testscript.TestScript, tasks []*fleetv1.Task, text string) {
	earliest, err := time.Parse(time.RFC3339, text)
	ts.Check(err)
	for _, t := range tasks {
		if t.GetResult().GetStarted() == nil || began(t).Before(earliest) {
			ts.Fatalf("%s began at %v, want it at %v or later: the job was not to start before", t.GetTerminalName(), began(t), earliest)
		}
	}
}

func wantEndedWithin(ts *testscript.TestScript, tasks []*fleetv1.Task, most time.Duration) {
	for _, t := range tasks {
		if t.GetResult().GetFinished() == nil || ended(t).Sub(began(t)) > most {
			ts.Fatalf("%s began at %v and ended at %v, want it to end within %v", t.GetTerminalName(), began(t), ended(t), most)
		}
	}
}
