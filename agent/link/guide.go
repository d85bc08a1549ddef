package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// newsWindow is how much news is sent ahead of what is acknowledged: the box has room for it beside everything else.
	newsWindow = 64
	// linesEvery is the time between two reports of lines that no rule knows.
	linesEvery = 10 * time.Minute
)

// Guide is what the link carries of faults. All of it is required but Lines.
type Guide struct {
	Orders   Orders
	News     News
	Breakers Breakers
	// Lines may be nil.
	Lines Lines
}

// Orders takes what the server orders. Package agent/orders implements it.
type Orders interface {
	// Version names the orders that are gone by, for the hello.
	Version() string
	Take(o *agentv1.Orders) *agentv1.OrdersTaken
}

// News keeps what the server must learn. Package agent/news implements it.
type News interface {
	// Take returns at most so much news after a sequence, to be sent now.
	Take(after uint64, most int) ([]*agentv1.News, error)
	// More gets a token when there is news.
	More() <-chan struct{}
	Acknowledge(upTo uint64) error
}

// Breakers close when a person says so. Package agent/reflex implements it.
type Breakers interface {
	Reset(r *agentv1.BreakerReset)
}

// Lines are those that say "error" and that no rule knows. Package agent/logs implements it.
type Lines interface {
	// Unmatched returns what came since it was called last; nil is nothing. What is lost with the line is not told again: it only counts.
	Unmatched() *agentv1.UnmatchedLines
}

// ordered takes orders and answers. A server that sends orders knows what news is; one of the release before sends none, and is told none.
func (s *session) ordered(o *agentv1.Orders) {
	g := s.link.config.Guide
	if g == nil {
		return
	}
	s.box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_OrdersTaken{OrdersTaken: g.Orders.Take(o)}})
	if !s.opened {
		s.opened = true
		close(s.open)
	}
}

// newsAcknowledged notes what the server has. The session ends when that cannot be noted: the journal is broken.
func (s *session) newsAcknowledged(ack *agentv1.NewsAck) error {
	g := s.link.config.Guide
	if g == nil || !s.opened {
		return errors.New("the server acknowledged news that it was not told")
	}
	if err := g.News.Acknowledge(ack.GetSequence()); err != nil {
		return fmt.Errorf("acknowledgement of news: %w", err)
	}
	// The latest one says all; what waits here is an earlier one.
	select {
	case <-s.acked:
	default:
	}
	s.acked <- ack.GetSequence()
	return nil
}

func (s *session) resetBreaker(r *agentv1.BreakerReset) {
	if g := s.link.config.Guide; g != nil {
		g.Breakers.Reset(r)
	}
}

// tellGuide tells the server all news, in order, and now and then of lines that no rule knows, until ctx ends.
func (s *session) tellGuide(ctx context.Context) {
	g := s.link.config.Guide
	if g == nil {
		return
	}
	select {
	case <-s.open:
	case <-ctx.Done():
		return
	}
	lines := time.NewTicker(linesEvery)
	defer lines.Stop()
	var w progress
	for {
		if err := s.tellNews(g.News, &w); err != nil {
			s.box.cut(err)
			return
		}
		select {
		case <-g.News.More():
		case w.acked = <-s.acked:
		case <-lines.C:
			s.tellLines(g.Lines)
		case <-ctx.Done():
			return
		}
	}
}

// progress is how far the news of one session is: the latest sequence that was sent, and the latest that was acknowledged.
type progress struct{ sent, acked uint64 }

func (w progress) room() int {
	if w.sent <= w.acked {
		return newsWindow
	}
	return newsWindow - int(min(w.sent-w.acked, newsWindow))
}

// tellNews puts into the box what the window has room for.
func (s *session) tellNews(news News, w *progress) error {
	for w.room() > 0 {
		batch, err := news.Take(w.sent, w.room())
		if err != nil || len(batch) == 0 {
			return err
		}
		if w.sent == 0 {
			w.acked = batch[0].GetSequence() - 1
		}
		for _, n := range batch {
			s.box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_News{News: n}})
			w.sent = n.GetSequence()
		}
	}
	return nil
}

func (s *session) tellLines(lines Lines) {
	if lines == nil {
		return
	}
	if u := lines.Unmatched(); len(u.GetTemplates()) > 0 {
		s.box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_UnmatchedLines{UnmatchedLines: u}})
	}
}
