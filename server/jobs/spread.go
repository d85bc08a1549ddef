package jobs

import (
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// spread is how far a job's rollout is. All of it but the wave, what was forgiven and the end of a soak is worked out from the
// tasks when the job is taken up again.
type spread struct {
	plan *rollout.Plan
	// wave counts from 1.
	wave  int
	slots int
	// placed is how many tasks take a place in the waves so far: they may be running, or have run. Of those, ran are done.
	placed, ran int
	// failed are the tasks that failed, in the order of their results. The first forgiven of them no longer count.
	failed   []uint32
	forgiven int
	// row is how many of the last results were failures, one after the other.
	row int
	// final is the progress that the record of the job is closed with.
	final *fleetv1.RolloutProgress
	// soak is nil when none is going on.
	soak *soak
	// groups are those under the job's floor, and members who is in them.
	groups  map[groupKey]*group
	members []member
}

// errors is what counts against the limits.
func (s *spread) errors() int { return len(s.failed) - s.forgiven + len(s.soak.ill()) }

// newSpread takes up the rollout of a job of which so many targets can be served.
func newSpread(job *fleetv1.Job, servable int) spread {
	return spread{
		plan: rollout.NewPlan(job.GetRollout(), servable), wave: max(1, int(job.GetProgress().GetWave())),
		groups: make(map[groupKey]*group),
	}
}

// isFailure reports whether a result counts against the limits. What never started neither counts nor ends a row.
func isFailure(s actionv1.TaskStatus) bool {
	return !isSuccess(s) && !neverStarted(s)
}

func isSuccess(s actionv1.TaskStatus) bool {
	return s == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || s == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
}

// tally counts a result.
func (s *spread) tally(index uint32, status actionv1.TaskStatus) {
	switch {
	case isSuccess(status):
		s.row = 0
	case isFailure(status):
		s.failed = append(s.failed, index)
		s.row++
	}
}

// retally counts a result that took the place of another, as the latest one. It reports whether a failure that was forgiven is
// gone.
func (s *spread) retally(index uint32, status actionv1.TaskStatus) (unforgiven bool) {
	at := slices.Index(s.failed, index)
	if at >= 0 {
		if at >= len(s.failed)-s.row {
			s.row--
		}
		s.failed = slices.Delete(s.failed, at, at+1)
		if at < s.forgiven {
			s.forgiven--
			unforgiven = true
		}
	}
	s.tally(index, status)
	return unforgiven
}

// forgive lets the failures up to now count no longer: the first so many.
func (s *spread) forgive(failures int) {
	s.forgiven = min(failures, len(s.failed))
	s.row = min(s.row, len(s.failed)-s.forgiven)
}

// progress is how far the rollout is, for people.
func (s *spread) progress() *fleetv1.RolloutProgress {
	p := s.plan.Progress(s.wave, s.errors(), s.row)
	if s.soak != nil {
		p.SoakUntil = timestamppb.New(s.soak.until)
		for _, t := range s.soak.ill()[:min(len(s.soak.ill()), maxSick)] {
			p.Sick = append(p.Sick, t.name)
		}
	}
	return p
}
