package jobs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// finish runs a job over all terminals to its end, with these results in order.
func (r *rig) finish(statuses ...actionv1.TaskStatus) *fleetv1.Job {
	r.t.Helper()
	job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Reason = "INC-1" })
	for i, s := range statuses {
		r.connect(i)
		if err := r.result(i, job, s); err != nil {
			r.t.Fatal(err)
		}
	}
	expect(r.t, "state", r.job(job).GetState(), fleetv1.JobState_JOB_STATE_DONE)
	return job
}

// meant returns the terminals that a selection means for an operator, or the refusal.
func (r *rig) meant(p *access.Principal, sel *fleetv1.Selection) string {
	r.t.Helper()
	preview, err := r.engine.Preview(r.t.Context(), p, &fleetv1.JobSpec{Action: "ble-restart", Selection: sel})
	if err != nil {
		return err.Error()
	}
	var ids []string
	for _, t := range preview.GetTargets() {
		ids = append(ids, t.GetTerminalId())
	}
	return strings.Join(ids, " ")
}

func from(job *fleetv1.Job, failed bool) *fleetv1.FromJob {
	return &fleetv1.FromJob{JobId: strings.ToLower(job.GetId()), Failed: failed}
}

func TestTheTerminalsOfAnEarlierJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.finish(succeeded, failed, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE, unknown, cancelled)
		for name, c := range map[string]struct {
			sel  *fleetv1.Selection
			who  *access.Principal
			want string
		}{
			"all":                   {&fleetv1.Selection{FromJob: from(job, false)}, admin(), "T-0000 T-0001 T-0002 T-0003 T-0004"},
			"where it failed":       {&fleetv1.Selection{FromJob: from(job, true)}, admin(), "T-0001 T-0003 T-0004"},
			"and of a site":         {&fleetv1.Selection{FromJob: from(job, true), Sites: []string{"paris"}}, admin(), "T-0003"},
			"one of them":           {&fleetv1.Selection{FromJob: from(job, true), Limit: count(1)}, admin(), "T-0001"},
			"what the caller sees":  {&fleetv1.Selection{FromJob: from(job, true)}, at("paris", "paris"), "T-0003"},
			"a site with no target": {&fleetv1.Selection{FromJob: from(job, true), Sites: []string{"rome"}}, admin(), "nothing matches"},
			"where nobody may act":  {&fleetv1.Selection{FromJob: from(job, true)}, at("lyon paris", "paris"), `operator "bob": may not act on site "lyon"`},
			"a job out of sight":    {&fleetv1.Selection{FromJob: from(job, true)}, at("rome", "rome"), fmt.Sprintf("job %q: not found", job.GetId())},
			"no job":                {&fleetv1.Selection{FromJob: &fleetv1.FromJob{}}, admin(), `job "": not found`},
		} {
			if got := r.meant(c.who, c.sel); got != c.want && !strings.HasPrefix(got, c.want+"; ") {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
		again := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.FromJob = from(job, true) })
		expect(t, "selection in the record", again.GetSelection().GetFromJob().GetJobId(), job.GetId())
		expect(t, "targets", again.GetCounts().GetTotal(), 3)
	}, "lyon", "lyon", "lyon", "paris", "lyon")
}

func TestADecommissionedTerminalIsNotTakenFromAnEarlierJob(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.finish(failed, failed)
		r.fleet.terminals[0].Terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		expect(t, "targets", r.meant(admin(), &fleetv1.Selection{FromJob: from(job, true)}), "T-0001")
		r.fleet.terminals[1].Terminal.State = fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED
		_, err := r.tryCreate(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.FromJob = from(job, true) })
		expectRefusal(t, err, "NOTHING_MATCHES")
	}, "lyon", "lyon")
}

func TestTheFailuresOfAJobThatIsNotDoneAreNotKnown(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		job := r.create(nil)
		_, err := r.tryCreate(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.FromJob = from(job, true) })
		expectRefusal(t, err, "JOB_NOT_DONE")
		expect(t, "all of its targets", r.meant(admin(), &fleetv1.Selection{FromJob: from(job, false)}), "T-0000")
	}, "lyon")
}

func TestLimit(t *testing.T) {
	sites := []string{"paris", "lyon", "paris", "lyon", "paris", "lyon", "paris", "lyon", "paris", "lyon", "paris"}
	bubble(t, func(t *testing.T, r *rig) {
		for want, limit := range map[string]*fleetv1.Amount{
			"T-0001":                      count(1),
			"T-0000 T-0001":               percent(10),
			"T-0000 T-0001 T-0005 T-0006": count(4),
		} {
			sel := &fleetv1.Selection{Limit: limit}
			expect(t, "terminals", r.meant(admin(), sel), want)
			job := r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection = sel })
			expect(t, "targets of the job", int(job.GetCounts().GetTotal()), len(strings.Fields(want)))
		}
		for _, bad := range []*fleetv1.Amount{{}, count(0), percent(0), percent(101)} {
			_, err := r.tryCreate(func(q *fleetv1.CreateJobRequest) { q.Spec.Selection.Limit = bad })
			expectRefusal(t, err, "BAD_LIMIT")
		}
	}, sites...)
}

// A limit keeps as many as it says, each once, the same ones whatever order they come in, and near its share of every site.
func TestALimitIsEvenAndDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []*storagev1.TerminalRecord
		perSite := map[string]int{}
		for i := range rapid.IntRange(1, 60).Draw(t, "terminals") {
			site := fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(t, "site"))
			perSite[site]++
			all = append(all, &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: terminalID(i), Site: site}})
		}
		n := rapid.IntRange(1, 70).Draw(t, "limit")
		ids := func(list []*storagev1.TerminalRecord) (ids []string) {
			for _, rec := range limited(slices.Clone(list), count(uint32(n))) {
				ids = append(ids, rec.GetTerminal().GetId())
			}
			slices.Sort(ids)
			return ids
		}
		kept := ids(all)
		if want := min(n, len(all)); len(slices.Compact(slices.Clone(kept))) != want {
			t.Fatalf("%d of %d are kept, want %d", len(kept), len(all), want)
		}
		if other := ids(rapid.Permutation(all).Draw(t, "order")); !slices.Equal(kept, other) {
			t.Fatalf("%v are kept, and %v in another order", kept, other)
		}
		for site, total := range perSite {
			got := 0
			for _, rec := range all {
				if _, found := slices.BinarySearch(kept, rec.GetTerminal().GetId()); found && rec.GetTerminal().GetSite() == site {
					got++
				}
			}
			if share := float64(total) * float64(len(kept)) / float64(len(all)); float64(got) < share-1 || float64(got) > share+1 {
				t.Fatalf("%d of %d are kept at %s, want about %.1f", got, total, site, share)
			}
		}
	})
}
