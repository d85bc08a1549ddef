package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// aged is a rig with a job that was done, and one that was created and still waits, 100 days ago.
func aged(t *testing.T, r *rig) (done, waiting *fleetv1.Job) {
	t.Helper()
	done = r.create(nil)
	for i := range r.fleet.terminals {
		r.connect(i)
		if err := r.result(i, done, succeeded); err != nil {
			t.Fatal(err)
		}
		r.disconnect(i)
	}
	time.Sleep(80 * 24 * time.Hour)
	waiting = r.create(func(q *fleetv1.CreateJobRequest) { q.Spec.ExpiresIn = durationpb.New(30 * 24 * time.Hour) })
	time.Sleep(20 * 24 * time.Hour)
	return done, waiting
}

func ninetyDaysAgo() time.Time { return time.Now().Add(-90 * 24 * time.Hour) }

func TestASweepForgetsWhatWasDoneLongAgo(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		done, waiting := aged(t, r)
		n, more, err := Sweep(t.Context(), r.store, ninetyDaysAgo(), time.Now())
		if err != nil || n != 1 || more {
			t.Fatalf("swept %d, more %v, %v; want the one old job and no more", n, more, err)
		}
		if _, err := r.engine.Get(t.Context(), admin(), done.GetId()); err == nil {
			t.Error("a job whose retention is over is still shown")
		}
		expect(t, "state of the one that waits", r.job(waiting).GetState(), fleetv1.JobState_JOB_STATE_ACTIVE)
		expect(t, "records of it being forgotten", r.audited("job.forget"), 1)
		expect(t, "records of its creation", r.audited("job.create"), 2)
		if found, err := Verify(t.Context(), r.store); err != nil || found != "1 jobs (1 of them active), 2 tasks" {
			t.Errorf("after the sweep: %s, %v", found, err)
		}
		if n, _, err := Sweep(t.Context(), r.store, ninetyDaysAgo(), time.Now()); n != 0 || err != nil {
			t.Errorf("a second sweep found %d, %v", n, err)
		}
	}, "lyon", "lyon")
}

// dying fails every update after some.
type dying struct {
	store.Store
	updates int
}

func (d *dying) Update(ctx context.Context, fn func(store.Writer) error) error {
	if d.updates--; d.updates < 0 {
		return errors.New("killed")
	}
	return d.Store.Update(ctx, fn)
}

// Wherever a sweep is killed, the job is either as it was or hidden, and the next start removes what is left of it.
func TestASweepThatIsKilledIsFinishedAtTheNextStart(t *testing.T) {
	for updates := range 3 {
		bubble(t, func(t *testing.T, r *rig) {
			done, _ := aged(t, r)
			if _, _, err := Sweep(t.Context(), &dying{r.store, updates}, ninetyDaysAgo(), time.Now()); err == nil {
				t.Fatal("the sweep did not die")
			}
			if _, err := Verify(t.Context(), r.store); err != nil {
				t.Errorf("killed after %d updates: %v", updates, err)
			}
			_, err := r.engine.Get(t.Context(), admin(), done.GetId())
			if shown := err == nil; shown != (updates == 0) {
				t.Errorf("killed after %d updates: shown %v", updates, shown)
			}
			r.restart()
			if found, err := Verify(t.Context(), r.store); updates > 0 && (err != nil || found != "1 jobs (1 of them active), 2 tasks") {
				t.Errorf("killed after %d updates, restarted: %s, %v", updates, found, err)
			}
		}, "lyon", "lyon")
	}
}
