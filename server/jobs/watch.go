package jobs

import (
	"context"
	"io"
	"math/bits"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

// watchChunk is how many tasks are read for a watch at a time.
const watchChunk = 100

// Watch follows one job. It remembers which tasks have changed since they were last told, not the changes: a slow reader costs
// no more memory than a bit per task, never holds the engine up, and is told of each task as it is when it is told.
type Watch struct {
	e    *Engine
	id   string
	seen scope
	// job is nil when the job was done before the watch began.
	job    *job
	signal chan struct{}
	synced bool
	ended  bool
	// told is true after the first message: only that one holds the selection, which may be long.
	told bool
	// queue are messages that are made and not yet read: a portion may be too large for one.
	queue []*fleetv1.WatchJobResponse

	// Below belongs to the engine's goroutine.
	dirty    []uint64
	dirtyJob bool
}

// Watch begins to follow a job: first everything is told, then what changes.
func (e *Engine) Watch(ctx context.Context, p *access.Principal, id string) (*Watch, error) {
	if _, err := e.Get(ctx, p, id); err != nil {
		return nil, err
	}
	w := &Watch{e: e, id: strings.ToUpper(id), seen: sees(p), signal: make(chan struct{}, 1)}
	err := e.do(ctx, func() {
		if w.job = e.byID[w.id]; w.job != nil {
			w.job.watches[w] = struct{}{}
			w.markAll(uint32(len(w.job.tasks)))
		}
	})
	if err != nil {
		// The closure may still run: what it does is undone after it.
		_ = e.post(context.WithoutCancel(ctx), w.leave)
		return nil, err
	}
	if w.job == nil {
		return w, w.countStored(ctx)
	}
	return w, nil
}

// countStored marks every task of a job that is done.
func (w *Watch) countStored(ctx context.Context) error {
	return w.e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, w.id)
		if err == nil {
			w.markAll(rec.GetJob().GetCounts().GetTotal())
		}
		return err
	})
}

func (w *Watch) markAll(total uint32) {
	w.dirtyJob = true
	w.dirty = make([]uint64, (total+63)/64)
	for i := range total {
		w.dirty[i/64] |= 1 << (i % 64)
	}
}

// Close ends the watch.
func (w *Watch) Close() {
	if w.job != nil {
		_ = w.e.post(context.Background(), w.leave)
	}
}

func (w *Watch) leave() {
	if w.job != nil {
		delete(w.job.watches, w)
	}
}

// Next waits for something new. io.EOF: the job is done and all has been told.
func (w *Watch) Next(ctx context.Context) (*fleetv1.WatchJobResponse, error) {
	for {
		if len(w.queue) > 0 {
			m := w.queue[0]
			w.queue = w.queue[1:]
			return m, nil
		}
		if w.ended {
			return nil, io.EOF
		}
		p, err := w.take(ctx)
		if err != nil {
			return nil, err
		}
		if p.news {
			if err := w.answer(ctx, p); err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-w.signal:
		case <-w.e.stopped:
			return nil, errStopped()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// portion is what is told in one message.
type portion struct {
	news    bool
	indexes []uint32
	live    []*live
	job     *fleetv1.Job
	refused error
	// last is true when nothing more is dirty, and over when the job is done too.
	last, over bool
}

// take takes the next changed tasks out of the set.
func (w *Watch) take(ctx context.Context) (*portion, error) {
	p := &portion{}
	if w.job == nil {
		return p, w.takeStored(ctx, p)
	}
	err := w.e.do(ctx, func() {
		w.pop(p)
		if !p.news {
			return
		}
		for _, i := range p.indexes {
			p.live = append(p.live, w.job.tasks[i].live(w.e.now()))
		}
		p.job, p.refused = visible(w.job.shown(), w.job.sites, w.seen)
		p.over = w.job.finished
	})
	return p, err
}

// takeStored does the same for a job that was done from the start.
func (w *Watch) takeStored(ctx context.Context, p *portion) error {
	w.pop(p)
	p.live = make([]*live, len(p.indexes))
	p.over = true
	return w.e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, w.id)
		if err == nil {
			p.job, p.refused = visibleStored(rec, w.seen)
		}
		return err
	})
}

func (w *Watch) pop(p *portion) {
	for word := range w.dirty {
		for w.dirty[word] != 0 && len(p.indexes) < watchChunk {
			bit := bits.TrailingZeros64(w.dirty[word])
			w.dirty[word] &^= 1 << bit
			p.indexes = append(p.indexes, uint32(word*64+bit))
		}
	}
	p.news = w.dirtyJob || len(p.indexes) > 0
	w.dirtyJob = false
	p.last = len(p.indexes) < watchChunk || !w.anyDirty()
}

func (w *Watch) anyDirty() bool {
	for _, word := range w.dirty {
		if word != 0 {
			return true
		}
	}
	return false
}

// answer reads the tasks of a portion and queues the messages that tell them.
func (w *Watch) answer(ctx context.Context, p *portion) error {
	if p.refused != nil {
		return p.refused
	}
	if w.told {
		p.job.Selection = nil
	}
	w.told = true
	records, err := w.read(ctx, p.indexes)
	if err != nil {
		return err
	}
	m, bytes := &fleetv1.WatchJobResponse{Job: p.job}, 0
	for i, rec := range records {
		if !w.seen(rec.GetTask().GetSite()) {
			continue
		}
		if err := w.e.overlay(ctx, rec.GetTask(), p.live[i]); err != nil {
			return err
		}
		if bytes += proto.Size(rec); bytes > maxBytes && len(m.GetTasks()) > 0 {
			w.queue = append(w.queue, m)
			m, bytes = &fleetv1.WatchJobResponse{Job: p.job}, proto.Size(rec)
		}
		m.Tasks = append(m.Tasks, rec.GetTask())
	}
	if p.last && !w.synced {
		w.synced, m.Synced = true, true
	}
	w.queue = append(w.queue, m)
	w.ended = p.last && p.over
	return nil
}

func (w *Watch) read(ctx context.Context, indexes []uint32) ([]*storagev1.TaskRecord, error) {
	var records []*storagev1.TaskRecord
	err := w.e.st.View(ctx, func(s store.Snapshot) error {
		records = make([]*storagev1.TaskRecord, 0, len(indexes))
		for _, i := range indexes {
			rec, err := readTask(s, w.id, i)
			if err != nil {
				return err
			}
			records = append(records, rec)
		}
		return nil
	})
	return records, err
}

// wake tells the reader that there is something new.
func (w *Watch) wake() {
	w.dirtyJob = true
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// changed tells the watchers of a task.
func (j *job) changed(index uint32) {
	for w := range j.watches {
		w.dirty[index/64] |= 1 << (index % 64)
		w.wake()
	}
}

// changedThroughout tells the watchers of what concerns every task that waits.
func (j *job) changedThroughout() {
	for w := range j.watches {
		w.markAll(uint32(len(j.tasks)))
		w.wake()
	}
}

// changedItself tells the watchers of the job's own record.
func (j *job) changedItself() {
	for w := range j.watches {
		w.wake()
	}
}
