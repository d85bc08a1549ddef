package link

import (
	"context"
	"errors"
	"io"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// outboxSize bounds what may wait for a slow line, in messages.
const outboxSize = 256

var errSlow = errors.New("the server takes messages too slowly: too many are waiting")

// outbox holds what waits to be sent on one session. Putting never blocks.
type outbox struct {
	queue chan *agentv1.ConnectRequest
	// cut ends the session.
	cut context.CancelCauseFunc
}

func newOutbox(cut context.CancelCauseFunc) *outbox {
	return &outbox{queue: make(chan *agentv1.ConnectRequest, outboxSize), cut: cut}
}

// put queues a message. When the queue is full, progress is dropped; anything else ends the session, because the next one
// begins with all that the server must know.
func (b *outbox) put(m *agentv1.ConnectRequest) {
	select {
	case b.queue <- m:
	default:
		if m.GetProgress() == nil {
			b.cut(errSlow)
		}
	}
}

// drain sends the backlog and then what is put, until ctx ends or a send fails.
func (b *outbox) drain(ctx context.Context, backlog []*agentv1.ConnectRequest, send func(*agentv1.ConnectRequest) error) {
	for _, m := range backlog {
		if !b.sent(send(m)) {
			return
		}
	}
	for {
		select {
		case m := <-b.queue:
			if !b.sent(send(m)) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// sent tells whether a send succeeded. io.EOF stands for an error that the receiver has; any other is ours, and ends the
// session.
func (b *outbox) sent(err error) bool {
	if err != nil && !errors.Is(err, io.EOF) {
		b.cut(err)
	}
	return err == nil
}
