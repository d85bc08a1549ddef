package jobs

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// leaseNews is what became of a change with an end, on its way to the disk. Its lease is in the result of its task, which came before it.
type leaseNews struct {
	settlementKey
	lease  *actionv1.LeaseState
	stored func(error)

	// What came of it: err refuses this one and no other, failed is why the store did not take it.
	err, failed error
	changed     bool
	index       uint32
}

// LeaseNews hands over what became of a change with an end. stored is called from the engine's loop and must not block: with nil when it
// is on disk; with NOT_FOUND when there is no place for it any more; with another refusal when it belongs to no result of this terminal.
// While the store fails it is kept and tried again; stored is not called when the engine stops before.
func (e *Engine) LeaseNews(ctx context.Context, terminalID string, n *agentv1.LeaseNews, stored func(error)) error {
	key := settlementKey{n.GetKey().GetJobId(), terminalID, n.GetKey().GetAttempt()}
	return e.post(ctx, func() {
		e.pending.news = append(e.pending.news, &leaseNews{settlementKey: key, lease: n.GetLease(), stored: stored})
	})
}

// newsPerUpdate keeps an update below the store's limit of writes: a task record each, and two for its audit record.
const newsPerUpdate = 25

// writeAllNews writes news in updates of bounded size, which have no order among them: what comes later in a lease's life counts.
func (e *Engine) writeAllNews(ctx context.Context, all []*leaseNews) error {
	var updates errgroup.Group
	updates.SetLimit(sharedUpdates)
	for chunk := range slices.Chunk(all, newsPerUpdate) {
		updates.Go(func() error {
			err := e.writeNews(ctx, chunk)
			for _, n := range chunk {
				n.failed = err
			}
			return err
		})
	}
	return updates.Wait()
}

// writeNews is one update. News that cannot be taken is refused by itself and does not disturb the others.
func (e *Engine) writeNews(ctx context.Context, chunk []*leaseNews) error {
	return e.st.Update(ctx, func(w store.Writer) error {
		for _, n := range chunk {
			n.changed = false
			n.err = e.writeOneNews(w, n)
			var no *refusal.Error
			if n.err != nil && !errors.As(n.err, &no) && !errors.Is(n.err, store.ErrCorrupt) {
				return n.err
			}
		}
		return nil
	})
}

// writeOneNews puts the news into the stored result, with an audit record of the end and of the first failure.
func (e *Engine) writeOneNews(w store.Writer, n *leaseNews) error {
	rec, err := (&settlement{settlementKey: n.settlementKey}).find(w)
	if err != nil {
		return err
	}
	lease, err := n.leaseIn(rec)
	if err != nil || !n.isNewTo(lease) {
		return err
	}
	task, told := rec.GetTask(), lease.GetTries() > 0
	lease.Ended, lease.EndedAt, lease.Tries = n.lease.GetEnded(), n.lease.GetEndedAt(), n.lease.GetTries()
	lease.Outcome, lease.LastError = asLine(n.lease.GetOutcome()), asLine(n.lease.GetLastError())
	n.changed, n.index = true, task.GetIndex()
	if err := put(w, store.TableTasks, store.TaskKey(n.jobID, task.GetIndex()), rec); err != nil || told && !lease.GetEnded() {
		return err
	}
	return audit.Append(w, e.now(), leaseEntry(task, lease))
}

func asLine(text string) string { return clip(onePrintableLine(text), maxFinding) }

// leaseIn finds the lease in the result of its task.
func (n *leaseNews) leaseIn(rec *storagev1.TaskRecord) (*actionv1.LeaseState, error) {
	for _, l := range rec.GetTask().GetResult().GetLeases() {
		if l.GetId() == n.lease.GetId() {
			return l, nil
		}
	}
	id := clip(n.lease.GetId(), maxShown)
	if rec.GetTask().GetState() != fleetv1.TaskState_TASK_STATE_DONE || rec.GetByServer() {
		return nil, refusal.New(refusal.Precondition, noResult, "job %q: terminal %q: lease %q: its task has no result of the agent yet", n.jobID, n.terminalID, id).
			Then("tell it again after the result")
	}
	return nil, refusal.New(refusal.NotFound, "LEASE_NOT_FOUND", "job %q: terminal %q: lease %q: is not in the result of its task", n.jobID, n.terminalID, id).
		Then("look at `fleetctl job show %s`", n.jobID)
}

// noResult refuses news that came before the result, which is sent again then.
const noResult = "NO_RESULT"

// isNewTo says whether the news goes beyond what is stored: nothing comes after the end, and before it a later try does.
func (n *leaseNews) isNewTo(stored *actionv1.LeaseState) bool {
	return !stored.GetEnded() && (n.lease.GetEnded() || n.lease.GetTries() > stored.GetTries())
}

// leaseEntry is the audit record of what became of a change with an end. Its time is the server's.
func leaseEntry(task *fleetv1.Task, l *actionv1.LeaseState) audit.Entry {
	entry := audit.Entry{
		Site: task.GetSite(), Actor: identity.Name{Kind: identity.KindAgent, ID: task.GetTerminalId()}, Verb: "lease.fail",
		Object: "task/" + task.GetJobId() + "/" + task.GetTerminalId(),
		Changes: []*storagev1.AuditChange{
			audit.Change("lease", "", l.GetId()), audit.Change("resources", "", strings.Join(l.GetResources(), ", ")),
			audit.Change("tries", "", strconv.FormatUint(uint64(l.GetTries()), 10)),
		},
	}
	if !l.GetEnded() {
		entry.Changes = append(entry.Changes, audit.Change("error", "", l.GetLastError()))
		return entry
	}
	entry.Verb = "lease.end"
	entry.Changes = append(entry.Changes, audit.Change("ended", "", l.GetEndedAt().AsTime().Format(time.RFC3339)), audit.Change("not put back", "", l.GetOutcome()))
	return entry
}

// newsLanded goes on when news is on disk. What the store did not take, or what came with a result that it did not take, is kept.
func (e *Engine) newsLanded(all []*leaseNews) {
	for _, n := range all {
		if n.failed != nil || n.isEarly(e.pending) {
			e.pending.news = append(e.pending.news, n)
			continue
		}
		if j := e.byID[n.jobID]; j != nil && n.changed {
			j.changed(n.index)
		}
		n.stored(n.err)
	}
}

// isEarly says whether the result that the news needs is still to be written.
func (n *leaseNews) isEarly(pending *batch) bool {
	var no *refusal.Error
	its := func(s *settlement) bool { return s.settlementKey == n.settlementKey }
	waits := slices.ContainsFunc(pending.results, its) || slices.ContainsFunc(pending.later, its)
	return waits && errors.As(n.err, &no) && no.Reason == noResult
}
