package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
)

// A store that was restored from a backup is older than the fleet. Jobs that it holds as active may have been done or cancelled
// since, so nothing of them is started; what became of their tasks only the agents' journals know. Jobs that were asked for
// since are not in it; what agents say of those is recorded all the same.

// restorer stands for an operator's name where one is wanted; no operator can have it.
const restorer = "fleetd restore"

// maxLost bounds how many results of jobs that are not in the store an engine records.
const maxLost = 100_000

// Withdraw cancels every active job of a store that is being restored, and returns how many.
func Withdraw(ctx context.Context, st store.Store, now time.Time) (withdrawn int, err error) {
	keys, err := keysUnder(ctx, st, store.TableActiveJobs, nil)
	if err != nil {
		return 0, err
	}
	for _, key := range keys {
		done := false
		err := st.Update(ctx, func(w store.Writer) (err error) {
			done, err = withdraw(w, now, string(key))
			return err
		})
		if err != nil {
			return 0, err
		}
		if done {
			withdrawn++
		}
	}
	return withdrawn, nil
}

func withdraw(w store.Writer, now time.Time, id string) (bool, error) {
	rec, err := readJob(w, id)
	if err != nil || rec.GetJob().GetState() != fleetv1.JobState_JOB_STATE_ACTIVE {
		return false, err
	}
	rec.Restored = true
	if !rec.GetJob().GetCancelled() {
		rec.Job.Cancelled, rec.Job.CancelledBy = true, restorer
		rec.Job.CancelReason = "the server's store was restored from a backup; ask again for what is still needed"
	}
	return true, errors.Join(
		put(w, store.TableJobs, store.JobKey(id), rec),
		audit.Append(w, now, jobEntry(identity.Name{}, "job.withdraw", rec, rec.GetJob().GetCancelReason())))
}

// inquire asks an agent what became of a task: it answers with the result when its journal knows the task, else it takes the
// task and drops it at once, and says that. Without a permit nothing can start in between.
func (e *Engine) inquire(t *task) {
	if e.dispatch(t, 0) {
		e.takeBack(t.terminal.id, t.key(), cancelReason(t.job.rec.GetJob()))
	}
}

// outlivedItsJob reports whether the store lacks the job because it was restored: the job's id tells when it was made.
func (s *settlement) outlivedItsJob(r store.Reader) bool {
	id, err := ulid.ParseStrict(s.jobID)
	if err != nil || s.attempt != attempt {
		return false
	}
	if _, err := r.Get(store.TableJobs, store.JobKey(s.jobID)); !errors.Is(err, store.ErrNotFound) {
		return false
	}
	restored, err := r.Get(store.TableMeta, store.Key(store.KeyRestored))
	return err == nil && id.Time() <= store.ParseNumber(restored)
}

// noteLost makes the audit record's line of a result without a task, so that the agent may stop sending it.
func (s *settlement) noteLost(r store.Reader) (*storagev1.AuditChange, error) {
	terminal := &storagev1.TerminalRecord{}
	value, err := r.Get(store.TableTerminals, store.TerminalKey(s.terminalID))
	if err == nil {
		err = proto.Unmarshal(value, terminal)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("terminal %q: %w", s.terminalID, err)
	}
	s.outcome.lost, s.outcome.site = true, terminal.GetTerminal().GetSite()
	return &storagev1.AuditChange{Name: s.name() + " of a job that the restored store lacks", New: describe(s.result)}, nil
}
