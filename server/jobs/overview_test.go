package jobs

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// overview is the overview in words: jobs, tasks, waits, questions.
func (r *rig) overview(p *access.Principal) string {
	r.t.Helper()
	synctest.Wait()
	o, _, err := r.engine.Overview(r.t.Context(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	words := fmt.Sprintf("%d jobs, %d paused, %d unapproved; %d tasks, %d running, %d done", o.GetActiveJobs(), o.GetPausedJobs(), o.GetUnapprovedJobs(),
		o.GetTasks().GetTotal(), o.GetTasks().GetRunning(), o.GetTasks().GetTotal()-o.GetTasks().GetRunning()-o.GetTasks().GetWaiting())
	sum := uint32(0)
	for _, w := range o.GetWaits() {
		words += fmt.Sprintf("; %d %s", w.GetTasks(), w.GetReason().String()[len("WAIT_REASON_"):])
		sum += w.GetTasks()
	}
	if sum != o.GetTasks().GetWaiting() {
		r.t.Errorf("%s: %d tasks wait, and %d have a reason", words, o.GetTasks().GetWaiting(), sum)
	}
	return words + fmt.Sprintf("; %d questions", o.GetQuestions())
}

func TestOverview(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		expect(t, "overview of nothing", r.overview(admin()), "0 jobs, 0 paused, 0 unapproved; 0 tasks, 0 running, 0 done; 0 questions")
		r.connect(0)
		job := r.create(nil)
		if err := r.engine.Started(t.Context(), "T-0000", &agentv1.Started{Key: key(job)}); err != nil {
			t.Fatal(err)
		}
		r.create(needing(1))
		r.puts(0, job, "1", "is it lit?")
		expect(t, "overview", r.overview(admin()),
			"2 jobs, 0 paused, 1 unapproved; 6 tasks, 1 running, 0 done; 3 APPROVAL; 2 OFFLINE; 1 questions")
		expect(t, "of one site", r.overview(at("paris", "paris")),
			"2 jobs, 0 paused, 1 unapproved; 2 tasks, 0 running, 0 done; 1 OFFLINE; 1 APPROVAL; 0 questions")
		expect(t, "of another", r.overview(at("rome", "rome")), "0 jobs, 0 paused, 0 unapproved; 0 tasks, 0 running, 0 done; 0 questions")
		if _, err := r.confirm(admin(), job, true); err != nil {
			t.Fatal(err)
		}
		if err := r.result(0, job, succeeded); err != nil {
			t.Fatal(err)
		}
		expect(t, "after an answer and a result", r.overview(admin()),
			"2 jobs, 0 paused, 1 unapproved; 6 tasks, 0 running, 1 done; 3 APPROVAL; 2 OFFLINE; 0 questions")
	}, "lyon", "lyon", "paris")
}

// The overview counts by the reason that the task itself gives.
func TestReasonsAreThoseOfTheTasks(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.connect(i)
		}
		r.disconnect(2)
		r.create(needing(1))
		r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = atOnce(1) })
		r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.NotBefore = timestamppb.New(time.Now().Add(time.Minute)) })
		// A canary of one: the others wait for its wave.
		r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Rollout = nil })
		want := map[fleetv1.WaitReason]uint32{}
		err := r.engine.do(t.Context(), func() {
			for _, j := range r.engine.active {
				for _, task := range j.tasks {
					if l := task.live(r.engine.now()); l != nil && l.wait != nil {
						want[l.wait.GetReason()]++
					}
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		o, _, err := r.engine.Overview(t.Context(), admin())
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "reasons", len(o.GetWaits()), len(want))
		expect(t, "reasons that occur", len(want) >= 4, true)
		for _, w := range o.GetWaits() {
			expect(t, w.GetReason().String(), w.GetTasks(), want[w.GetReason()])
		}
	}, "lyon", "lyon", "lyon")
}

func TestOverviewCountsTerminalsWithAFault(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		for i := range 3 {
			r.connect(i)
			r.facts(i, i == 1)
		}
		// What was said last counts, also when the line is cut.
		r.disconnect(0)
		_, unhealthy, err := r.engine.Overview(t.Context(), at("lyon paris", "paris"))
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "at lyon", unhealthy["lyon"], 1)
		expect(t, "at paris", unhealthy["paris"], 1)
		r.facts(2, true)
		_, unhealthy, err = r.engine.Overview(t.Context(), admin())
		expect(t, "error", err, nil)
		expect(t, "at paris when it is mended", unhealthy["paris"], 0)
		r.fleet.terminals[0].Terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		_, unhealthy, err = r.engine.Overview(t.Context(), at("lyon", "lyon"))
		expect(t, "error", err, nil)
		expect(t, "sites", len(unhealthy), 0)
	}, "lyon", "lyon", "paris")
}
