package jobs

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// resultsPerUpdate results are one atomic update: a task record each, and two audit writes for each site.
	resultsPerUpdate = 40
	// resultsPerBatch bounds how long a batch takes, and so how long an acknowledgement waits.
	resultsPerBatch = 25 * resultsPerUpdate
	// retryAfter is how long the engine waits when the store has refused a write.
	retryAfter = time.Second
)

// batch is what is written at one time. Only one batch is being written.
type batch struct {
	permits []*task
	// starts are tasks that were told as started.
	starts   []*task
	results  []*settlement
	edits    []*edit
	finishes []*job
	// distrusted are terminals to be put into quarantine.
	distrusted []*terminal
	// news is written after the results, which it may need.
	news []*leaseNews
	// later holds results for tasks that this batch has a result for already.
	later []*settlement
	keys  map[settlementKey]struct{}

	permitErrs map[*task]error
	// unwritten are the edits that could not be written, in order.
	unwritten  []*edit
	resultErrs map[*settlement]error
	finished   map[*job]*storagev1.JobRecord
	failed     error
}

func newBatch() *batch { return &batch{keys: make(map[settlementKey]struct{})} }

func (b *batch) empty() bool {
	return len(b.permits) == 0 && len(b.starts) == 0 && len(b.results) == 0 && len(b.edits) == 0 && len(b.finishes) == 0 && len(b.distrusted) == 0 &&
		len(b.news) == 0
}

// addResult keeps two results for one task out of the same batch, whose updates have no order among them.
func (b *batch) addResult(s *settlement) {
	if _, twice := b.keys[s.settlementKey]; twice || len(b.results) >= resultsPerBatch {
		b.later = append(b.later, s)
		return
	}
	b.keys[s.settlementKey] = struct{}{}
	b.results = append(b.results, s)
}

// again puts results that could not be written before those that came since: of two for one task the first must be written first.
func (b *batch) again(refused []*settlement) {
	all := slices.Concat(refused, b.results, b.later)
	b.results, b.later = nil, nil
	clear(b.keys)
	for _, s := range all {
		b.addResult(s)
	}
}

// next makes the batch that follows b, and takes what b is not to write over into it.
func (b *batch) next() *batch {
	n := newBatch()
	n.finishes, b.finishes = b.finishes, nil
	for _, s := range b.later {
		n.addResult(s)
	}
	b.later = nil
	return n
}

// commit writes what is pending when nothing else is being written. A finish goes alone, after everything else: its counts must
// be those of all results that came before it.
func (e *Engine) commit() {
	if e.inFlight || e.pending.empty() || e.now().Before(e.retryAt) {
		return
	}
	b := e.pending
	if len(b.finishes) > 0 && len(b.edits) == 0 {
		alone := newBatch()
		alone.finishes, b.finishes = b.finishes, nil
		for _, j := range alone.finishes {
			j.final = j.progress()
		}
		b = alone
	} else {
		e.pending = b.next()
	}
	// What has ended needs no mark any more, and a job that is done must not be left one.
	b.starts = slices.DeleteFunc(b.starts, func(t *task) bool { return t.phase != permitted })
	e.inFlight = true
	go func() {
		e.write(b)
		e.committed <- b
	}()
}

// write puts a batch on disk. It runs beside the loop and touches only what the loop leaves alone while a task or a job is
// granting, closing or finishing. It is not cut short when the server stops: what has arrived is stored.
func (e *Engine) write(b *batch) {
	ctx := context.Background()
	b.permitErrs = make(map[*task]error)
	b.resultErrs = make(map[*settlement]error)
	b.finished = make(map[*job]*storagev1.JobRecord)
	var all sync.WaitGroup
	var mu sync.Mutex
	fail := func(note func(), err error) {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			note()
			b.failed = errors.Join(b.failed, err)
		}
	}
	permits, starts := byJob(b.permits), byJob(b.starts)
	b.starts = nil
	for j := range jobsOf(permits, starts) {
		all.Go(func() {
			err := e.writeMarks(ctx, j, permits[j], starts[j])
			fail(func() {
				for _, t := range permits[j] {
					b.permitErrs[t] = err
				}
				b.starts = append(b.starts, starts[j]...)
			}, err)
		})
	}
	for chunk := range updatesOf(b.results) {
		all.Go(func() {
			err := e.writeResults(ctx, chunk)
			fail(func() {
				for _, s := range chunk {
					b.resultErrs[s] = err
				}
			}, err)
		})
	}
	for _, edits := range byJobID(b.edits) {
		all.Go(func() {
			written, err := e.writeEdits(ctx, edits)
			fail(func() { b.unwritten = append(b.unwritten, edits[written:]...) }, err)
		})
	}
	all.Wait()
	var err error
	b.distrusted, err = e.writeDistrusted(ctx, b.distrusted)
	fail(func() {}, err)
	fail(func() {}, e.writeAllNews(ctx, b.news))
	for _, j := range b.finishes {
		rec, err := e.writeFinish(ctx, j)
		fail(func() {}, err)
		b.finished[j] = rec
	}
}

func byJob(tasks []*task) map[*job][]*task {
	groups := make(map[*job][]*task)
	for _, t := range tasks {
		groups[t.job] = append(groups[t.job], t)
	}
	return groups
}

// jobsOf are the jobs that have tasks in the one or the other.
func jobsOf(groups ...map[*job][]*task) map[*job]struct{} {
	all := make(map[*job]struct{})
	for _, g := range groups {
		for j := range g {
			all[j] = struct{}{}
		}
	}
	return all
}

// writeMarks marks tasks of one job as permitted, and others as told as started.
func (e *Engine) writeMarks(ctx context.Context, j *job, permits, starts []*task) error {
	given, told := e.markOf(permits), e.markOf(starts)
	told.Started = true
	puts := make(map[string]*storagev1.PermitBatch)
	for _, m := range []*storagev1.PermitBatch{given, told} {
		if len(m.GetIndexes()) > 0 {
			puts[string(store.PermitKey(j.id, j.nextPermit))] = m
			j.nextPermit++
		}
	}
	return e.st.Update(ctx, func(w store.Writer) error {
		for key, m := range puts {
			if err := put(w, store.TablePermits, []byte(key), m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *Engine) markOf(tasks []*task) *storagev1.PermitBatch {
	m := &storagev1.PermitBatch{Time: timestamppb.New(e.now())}
	for _, t := range tasks {
		m.Indexes, m.Journals = append(m.Indexes, t.index), append(m.Journals, t.journal)
		m.Sequences = append(m.Sequences, t.sequence)
	}
	return m
}

// writeFinish closes the record of a job whose every task is done, and drops the marks that only an active job needs.
func (e *Engine) writeFinish(ctx context.Context, j *job) (*storagev1.JobRecord, error) {
	marks, err := keysUnder(ctx, e.st, store.TablePermits, store.JobKey(j.id))
	if err != nil {
		return nil, err
	}
	if err := deleteKeys(ctx, e.st, store.TablePermits, marks); err != nil {
		return nil, err
	}
	var finished *storagev1.JobRecord
	err = e.st.Update(ctx, func(w store.Writer) error {
		rec, err := readJob(w, j.id)
		if err != nil {
			return err
		}
		rec.SiteCounts = j.sites
		rec.Job.Counts, rec.Job.Progress = sumCounts(j.sites, everywhere), j.final
		rec.Job.State, rec.Job.Finished = fleetv1.JobState_JOB_STATE_DONE, timestamppb.New(e.now())
		endPause(rec.GetJob(), rec.GetJob().GetFinished(), "", "")
		finished = proto.CloneOf(rec)
		if err := w.Delete(store.TableActiveJobs, store.JobKey(j.id)); err != nil {
			return err
		}
		return errors.Join(put(w, store.TableJobs, store.JobKey(j.id), rec), e.announceFailure(w, rec))
	})
	return finished, err
}

// landed takes a written batch back into the loop.
func (e *Engine) landed(b *batch) {
	e.inFlight = false
	if b.failed != nil {
		e.log.Error("the store refuses writes; results are kept and tried again", "error", b.failed)
		e.retryAt = e.now().Add(retryAfter)
	}
	e.pending.edits = append(b.unwritten, e.pending.edits...)
	e.pending.starts = append(b.starts, e.pending.starts...)
	e.pending.distrusted = append(b.distrusted, e.pending.distrusted...)
	// Results first: a failure among them may be what keeps the permits from being sent.
	var refused []*settlement
	for _, s := range b.results {
		if b.resultErrs[s] != nil {
			refused = append(refused, s)
			continue
		}
		e.settled(s)
	}
	if len(refused) > 0 {
		e.pending.again(refused)
	}
	e.newsLanded(b.news)
	for _, t := range b.permits {
		e.granted(t, b.permitErrs[t])
	}
	for _, j := range b.finishes {
		e.finished(j, b.finished[j])
	}
}

// finished drops a job that is done, or tries again.
func (e *Engine) finished(j *job, rec *storagev1.JobRecord) {
	if rec == nil {
		e.pending.finishes = append(e.pending.finishes, j)
		return
	}
	j.rec, j.finished = rec, true
	e.endSoak(j)
	e.dissolveGroups(j)
	delete(e.byID, j.id)
	e.active = without(e.active, j)
	for w := range j.watches {
		w.wake()
	}
}

func without(list []*job, j *job) []*job {
	kept := list[:0]
	for _, o := range list {
		if o != j {
			kept = append(kept, o)
		}
	}
	clear(list[len(kept):])
	return kept
}
