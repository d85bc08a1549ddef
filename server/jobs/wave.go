package jobs

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
)

// waveFull reports whether all that the present wave reaches have started.
func (s *spread) waveFull() bool { return s.soak != nil || s.placed >= s.plan.Reaches(s.wave) }

// waveDone reports whether as many as the present wave reaches have a result that came of running, and nothing runs.
func (s *spread) waveDone() bool { return s.ran >= s.plan.Reaches(s.wave) && s.ran >= s.placed }

// waveWords says what a wave waits for.
func (s *spread) waveWords() string {
	which := fmt.Sprintf("wave %d of %d, %s", s.wave, len(s.plan.Reach), countOf(s.plan.Reaches(s.wave), "terminal"))
	if s.soak != nil {
		return fmt.Sprintf("%s: the health of those served is watched until %s", which, s.soak.until.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s: %d without a result yet", which, max(0, s.placed-s.ran))
}

// advance begins what comes after the present wave when that is done: its soak, or the next one. A job that is shut stays where
// it is, and whoever opens it calls this again.
func (e *Engine) advance(j *job) {
	now := e.now()
	if j.soak != nil {
		j.lookNoLaterThan(now)
		return
	}
	for j.waveDone() && !j.plan.IsLast(j.wave) && j.open > 0 && !j.over(now) && j.shut(now) == byNothing {
		if j.plan.Soak > 0 {
			e.beginSoak(j, now.Add(j.plan.Soak))
			return
		}
		e.nextWave(j)
	}
}

// nextWave goes on to the next wave.
func (e *Engine) nextWave(j *job) {
	old, wave := j.wave, j.wave+1
	e.endSoak(j)
	j.wave = wave
	entry := jobEntry(identity.Name{}, "job.wave", j.rec, "")
	entry.Changes = append(entry.Changes, audit.Change("wave", fmt.Sprint(old), fmt.Sprint(wave)),
		audit.Change("reach", fmt.Sprint(j.plan.Reaches(old)), fmt.Sprint(j.plan.Reaches(wave))))
	e.edit(j, entry, func(job *fleetv1.Job, _ *storagev1.JobRecord) {
		job.Progress = &fleetv1.RolloutProgress{Wave: uint32(wave)}
	})
	j.changedThroughout()
}

// beginSoak watches the health of those that were served, until then.
func (e *Engine) beginSoak(j *job, until time.Time) {
	entry := jobEntry(identity.Name{}, "job.soak", j.rec, "")
	entry.Changes = append(entry.Changes, audit.Change("wave", "", fmt.Sprint(j.wave)), audit.Change("until", "", until.UTC().Format(time.RFC3339)))
	wave := uint32(j.wave)
	e.edit(j, entry, func(job *fleetv1.Job, _ *storagev1.JobRecord) {
		job.Progress = &fleetv1.RolloutProgress{Wave: wave, SoakUntil: timestamppb.New(until)}
	})
	e.watchServed(j, until)
	j.changedThroughout()
}
