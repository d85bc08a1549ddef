package store

import (
	"context"
	"slices"
	"sync"
)

// watchBuffer is how many events wait for a reader before it is told to resync.
const watchBuffer = 256

// hub hands events to those who watch. It never waits for them. Its zero value is ready.
type hub struct {
	mu     sync.Mutex
	subs   map[*subscriber]struct{}
	closed bool
}

// subscriber has one place more than watchBuffer: the last place holds nothing but a Resync. While it is taken, an unread
// Resync is the newest event, so that later events may be dropped.
type subscriber struct {
	tables []Table
	events chan Event
}

func (h *hub) subscribe(ctx context.Context, tables []Table) <-chan Event {
	s := &subscriber{tables: slices.Clone(tables), events: make(chan Event, watchBuffer+1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || ctx.Err() != nil {
		close(s.events)
		return s.events
	}
	if h.subs == nil {
		h.subs = map[*subscriber]struct{}{}
	}
	h.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() { h.remove(s) })
	return s.events
}

func (h *hub) remove(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subs[s]; ok {
		delete(h.subs, s)
		close(s.events)
	}
}

// publish tells of what a commit wrote.
func (h *hub) publish(batch []*update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) == 0 {
		return
	}
	for _, u := range batch {
		for _, w := range u.writes {
			for s := range h.subs {
				s.offer(w)
			}
		}
	}
}

func (s *subscriber) offer(w write) {
	if !slices.Contains(s.tables, w.table) {
		return
	}
	switch n := len(s.events); {
	case n < watchBuffer:
		// The key is shared between subscribers: each gets its own copy, for it may change it.
		s.events <- Event{Table: w.table, Key: slices.Clone(w.key)}
	case n == watchBuffer:
		s.events <- Event{Resync: true}
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for s := range h.subs {
		delete(h.subs, s)
		close(s.events)
	}
}
