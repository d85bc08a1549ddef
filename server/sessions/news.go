package sessions

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// maxNews is how much news of one agent may wait for the disk. An agent sends far less ahead of what is acknowledged.
	maxNews = 256
	// newsBatch is how much of it is handed over at once.
	newsBatch = 16
	// newsPause and newsPauseMost bound the time until news that could not be stored is tried again.
	newsPause, newsPauseMost = time.Second, time.Minute
	// maxNewsSize bounds a piece of it, in bytes: more than twice what an agent has to say of a fault.
	maxNewsSize = 64 << 10
	// maxTemplates, maxFileClass and maxTemplateLength bound lines that no rule knows; texts are in bytes.
	maxTemplates, maxFileClass, maxTemplateLength = 100, 128, 300
)

// Faults takes what agents tell of faults.
type Faults interface {
	// Report stores news in order and returns the sequence up to which all is on disk. What was stored before, of the same journal (the
	// record's journal_id is the session's), is not stored again, and what makes no sense is left out and counts as stored: it would
	// come again for ever. After an error all of it is offered again.
	Report(ctx context.Context, terminal *storagev1.TerminalRecord, news []*agentv1.News) (storedUpTo uint64, err error)
	// CountUnmatched counts lines that no rule knows.
	CountUnmatched(ctx context.Context, terminal *storagev1.TerminalRecord, u *agentv1.UnmatchedLines) error
}

// newsQueue is the news of one session that waits for the disk. A goroutine exists for it only while there is some, so that ten thousand
// agents without news cost nothing, and neither results nor permits wait for it.
type newsQueue struct {
	mu      sync.Mutex
	waiting []*agentv1.News
	storing bool
	// done waits for the goroutine.
	done sync.WaitGroup
}

// put queues news. full: the agent sends more ahead than it may; begin: there is nobody to store it.
func (q *newsQueue) put(n *agentv1.News) (full, begin bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxNews {
		return true, false
	}
	q.waiting = append(q.waiting, n)
	begin = !q.storing
	q.storing = true
	return false, begin
}

// first returns what is to be stored next; none, when it has ended the storing.
func (q *newsQueue) first() []*agentv1.News {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.storing, q.waiting = false, nil
		return nil
	}
	return q.waiting[:min(len(q.waiting), newsBatch)]
}

// stored forgets news up to a sequence, and says whether there was any.
func (q *newsQueue) stored(upTo uint64) (some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 && q.waiting[0].GetSequence() <= upTo {
		q.waiting[0] = nil
		q.waiting, some = q.waiting[1:], true
	}
	return some
}

// news takes a piece of news; it is acknowledged when it is on disk.
func (v *Service) news(ctx context.Context, s *session, n *agentv1.News) error {
	if v.Faults == nil {
		return nil
	}
	if n.GetSequence() == 0 {
		v.Log.Warn("news without a sequence was left out: it cannot be acknowledged", "terminal", s.terminalID)
		return nil
	}
	if tooMuch(n) {
		// It takes its place, so that it is counted and acknowledged like other news that makes no sense.
		n = &agentv1.News{Sequence: n.GetSequence()}
	}
	full, begin := s.news.put(n)
	if full {
		return refusal.New(refusal.Exhausted, "TOO_MUCH_NEWS", "terminal %q: more than %d pieces of its news wait", s.terminalID, maxNews)
	}
	if begin {
		s.news.done.Go(func() { v.storeNews(ctx, s) })
	}
	return nil
}

// storeNews stores what the session's agent has told, in order, until nothing is left or ctx ends. A disk that takes nothing is tried again.
func (v *Service) storeNews(ctx context.Context, s *session) {
	terminal := s.record(v.Terminal(ctx))
	pause := newsPause
	for {
		batch := s.news.first()
		if len(batch) == 0 || ctx.Err() != nil {
			return
		}
		upTo, err := v.Faults.Report(ctx, terminal, batch)
		if s.news.stored(upTo) {
			s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_NewsAck{NewsAck: &agentv1.NewsAck{Sequence: upTo}}})
			pause = newsPause
			continue
		}
		if ctx.Err() != nil {
			return
		}
		v.Log.Warn("news of a terminal was not stored; it is tried again", "terminal", s.terminalID, "from", batch[0].GetSequence(), "error", err, "in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, newsPauseMost)
	}
}

// record is the terminal's as the session knows it: with the journal that its agent has now.
func (s *session) record(of *storagev1.TerminalRecord) *storagev1.TerminalRecord {
	own := proto.CloneOf(of)
	own.JournalId = s.journal
	return own
}

// unmatched hands over lines that no rule knows. They only count: one that is not stored, or makes no sense, is no reason to end a session.
func (v *Service) unmatched(ctx context.Context, s *session, u *agentv1.UnmatchedLines) error {
	if v.Faults == nil {
		return nil
	}
	u.Templates = u.GetTemplates()[:min(len(u.GetTemplates()), maxTemplates)]
	u.Templates = slices.DeleteFunc(u.GetTemplates(), func(t *agentv1.UnmatchedTemplate) bool {
		return t.GetFileClass() == "" || len(t.GetFileClass()) > maxFileClass || len(t.GetTemplate()) > maxTemplateLength
	})
	if err := v.Faults.CountUnmatched(ctx, s.record(v.Terminal(ctx)), u); err != nil {
		v.Log.Warn("lines that no rule knows were not counted", "terminal", s.terminalID, "error", err)
	}
	return nil
}

// tooMuch bounds what waits for the disk; package faults says what of the rest makes sense.
func tooMuch(n *agentv1.News) bool { return proto.Size(n) > maxNewsSize }
