// Package news is what an agent has to tell its server and must not lose: faults that came and went, what the agent did by itself, and
// breakers. It is kept in the journal from the moment that it is added until the server has it on its own disk, in one order, however long
// the server is away. Packages detect, logs and reflex add to it through reflex; package link sends it.
package news

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Journal is where news is kept. Package agent/journal implements it.
type Journal interface {
	// LastNews returns the sequence of the latest news ever, and the greatest that may have been sent.
	LastNews() (last, sent uint64, err error)
	PutNews(n *agentv1.News, b journal.Beside) error
	SendNews(upTo uint64) error
	DropNews(upTo uint64) (dropped int, err error)
	News(after uint64, fn func(*agentv1.News) (more bool)) error
}

// Limit is how much may wait before what can be left out is left out.
const Limit = 10_000

// Config is what an outbox is made of.
type Config struct {
	Journal Journal
	// Limit bounds what waits; 0 means Limit.
	Limit int
	Log   *slog.Logger
}

// Outbox keeps news. It is safe for concurrent use.
type Outbox struct {
	journal Journal
	limit   int
	log     *slog.Logger
	// more gets a token when there is news to send.
	more chan struct{}

	// mu is held over writes, so that sequences come in the order of the journal.
	mu sync.Mutex
	// last is the latest sequence, sent the greatest that may have been sent, and had the greatest that the server is known to have.
	last, sent, had uint64
	waiting         int
	// latest is the latest news of each fault, as far as it waits here.
	latest map[fault]*agentv1.News
	full   bool
}

// fault tells faults apart.
type fault struct{ entry, subject string }

// Open takes up what an earlier process left.
func Open(c Config) (*Outbox, error) {
	if c.Limit <= 0 {
		c.Limit = Limit
	}
	o := &Outbox{journal: c.Journal, limit: c.Limit, log: c.Log, more: make(chan struct{}, 1), latest: map[fault]*agentv1.News{}}
	var err error
	if o.last, o.sent, err = c.Journal.LastNews(); err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	err = c.Journal.News(0, func(n *agentv1.News) bool { o.note(n); o.waiting++; return true })
	if err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	return o, nil
}

// Add journals news; its sequence is chosen here. It is on disk when Add returns.
func (o *Outbox) Add(n *agentv1.News) error { return o.AddWith(n, journal.Beside{}) }

// AddWith is Add, and journals what is beside it in the same write. Nil news is none.
//
// That a fault goes on is folded into the report before it, as long as that was not sent, so that a server that is away for a week is told of
// each fault once, how often it was seen and when last. What opens or ends a fault, what the agent did and breakers are always kept; when
// too much waits, only that a fault goes on, which the server knows already, is left out.
func (o *Outbox) AddWith(n *agentv1.News, b journal.Beside) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.goesOn(n)
	switch {
	case n == nil:
	case before != nil && before.GetSequence() > o.sent:
		n = fold(before, n.GetFault())
	case before != nil && o.waiting >= o.limit:
		o.sayFull()
		n = nil
	default:
		n = proto.CloneOf(n)
		n.Sequence = o.last + 1
	}
	if err := o.journal.PutNews(n, b); err != nil {
		return fmt.Errorf("news: %w", err)
	}
	o.added(n)
	return nil
}

// goesOn returns the report that waits here of a fault that goes on, nil when there is none or the fault does not just go on.
func (o *Outbox) goesOn(n *agentv1.News) *agentv1.News {
	f := n.GetFault()
	if f == nil || f.GetGone() {
		return nil
	}
	before := o.latest[faultOf(f)]
	if before.GetFault().GetGone() {
		return nil
	}
	return before
}

func (o *Outbox) added(n *agentv1.News) {
	if n == nil {
		return
	}
	if n.GetSequence() > o.last {
		o.last = n.GetSequence()
		o.waiting++
	}
	o.note(n)
	o.poke()
}

func (o *Outbox) note(n *agentv1.News) {
	if f := n.GetFault(); f != nil {
		o.latest[faultOf(f)] = n
	}
}

func (o *Outbox) sayFull() {
	if !o.full {
		o.log.Warn("too much waits to be told to the server; that known faults go on is left out until it is there", "waiting", o.waiting, "limit", o.limit)
	}
	o.full = true
}

// fold takes what is reported of a fault that goes on into the report before it.
func fold(before *agentv1.News, later *agentv1.FaultReport) *agentv1.News {
	n := proto.CloneOf(before)
	f := n.GetFault()
	f.Count += later.GetCount()
	f.LastSeen = later.GetLastSeen()
	if later.GetConfidence() > f.GetConfidence() {
		// A line that may mean it came first, then the state itself.
		f.Confidence, f.Rule, f.Candidates = later.GetConfidence(), later.GetRule(), later.GetCandidates()
	}
	f.Historical = f.GetHistorical() && later.GetHistorical()
	if len(later.GetEvidence()) > 0 {
		f.Evidence = later.GetEvidence()
	}
	return n
}

func faultOf(f *agentv1.FaultReport) fault { return fault{f.GetEntry(), f.GetSubject()} }

// Pending returns at most so many pieces of news after a sequence, in order.
func (o *Outbox) Pending(after uint64, most int) ([]*agentv1.News, error) {
	var news []*agentv1.News
	err := o.journal.News(after, func(n *agentv1.News) bool {
		if len(news) < most {
			news = append(news, n)
		}
		return len(news) < most
	})
	if err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	return news, nil
}

// Take is Pending for who sends it: from now on nothing is folded into what it returns.
func (o *Outbox) Take(after uint64, most int) ([]*agentv1.News, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	news, err := o.Pending(after, most)
	if err != nil || len(news) == 0 {
		return nil, err
	}
	upTo := news[len(news)-1].GetSequence()
	if upTo <= o.sent {
		return news, nil
	}
	if err := o.journal.SendNews(upTo); err != nil {
		return nil, fmt.Errorf("news: %w", err)
	}
	o.sent = upTo
	return news, nil
}

// Acknowledge notes that the server has news up to a sequence. What was never sent is not taken for that.
func (o *Outbox) Acknowledge(upTo uint64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	upTo = min(upTo, o.sent)
	if upTo <= o.had {
		return nil
	}
	dropped, err := o.journal.DropNews(upTo)
	if err != nil {
		return fmt.Errorf("news: %w", err)
	}
	o.had = upTo
	o.waiting -= dropped
	o.full = o.full && o.waiting >= o.limit
	maps.DeleteFunc(o.latest, func(_ fault, n *agentv1.News) bool { return n.GetSequence() <= upTo })
	return nil
}

// More gets a token when there is news to send. One reads it at a time.
func (o *Outbox) More() <-chan struct{} { return o.more }

func (o *Outbox) poke() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}
