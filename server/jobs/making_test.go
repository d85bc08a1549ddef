package jobs

import (
	"context"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// onceStored calls then when the update that makes a job real is on disk, before the engine's loop knows of the job.
type onceStored struct {
	store.Store
	then func(id string)
}

func (s *onceStored) Update(ctx context.Context, fn func(store.Writer) error) error {
	err := s.Store.Update(ctx, fn)
	if then := s.then; then != nil && err == nil {
		if id := s.active(ctx); id != "" {
			s.then = nil
			then(id)
		}
	}
	return err
}

func (s *onceStored) active(ctx context.Context) (id string) {
	_ = s.View(ctx, func(v store.Snapshot) error {
		return v.Scan(store.TableJobs, nil, nil, func(key, value []byte) bool {
			if rec, err := parseJob(string(key), value); err == nil && rec.GetJob().GetState() == fleetv1.JobState_JOB_STATE_ACTIVE {
				id = string(key)
			}
			return true
		})
	})
	return id
}

// Whoever sees a job may cancel or pause it, also in the moment between its creation and its start.
func TestAWordToAJobThatIsJustBeingMade(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(r *rig, id string) error
		done bool
	}{
		"cancel": {func(r *rig, id string) error { _, err := r.engine.Cancel(r.t.Context(), admin(), id, ""); return err }, true},
		"pause":  {func(r *rig, id string) error { _, err := r.engine.Pause(r.t.Context(), admin(), id, ""); return err }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.connect(0)
				said := false
				r.engine.st = &onceStored{Store: r.disk, then: func(id string) {
					said = true
					if err := c.say(r, id); err != nil {
						t.Error(err)
					}
				}}
				job := r.create(nil)
				expect(t, "said", said, true)
				expectSent(t, r.wire.take(terminalID(0)))
				expect(t, "done", r.job(job).GetState() == fleetv1.JobState_JOB_STATE_DONE, c.done)
			}, "lyon")
		})
	}
}
