// Package notify tells people and other systems what happened: by webhook, syslog, e-mail and a plain file. A domain package posts a notice in
// the same transaction as the change that it tells of, so that neither exists without the other; here each receiver is handed the notices
// that its routes name, in their order, again and again until it has taken them, however long it or the server is away. Receivers and
// their secrets come from the server's configuration; routes are in the store.
//
// A notice may reach a receiver twice when the server is killed between the receiver's answer and the note of it; its id tells that.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// giveUpAfter is how old a notice may become before a receiver that does not take it is spared it.
	giveUpAfter = 72 * time.Hour
	// lookEvery is how often a receiver's task looks at the latest, whatever it heard.
	lookEvery = time.Minute
	// batch is how many notices are read at a time.
	batch = 100
	// sendTimeout bounds one try.
	sendTimeout = 30 * time.Second
)

// Config is what a desk is made of.
type Config struct {
	Store     store.Store
	Receivers []ReceiverConfig
	// Host is the server's name in what it sends.
	Host string
	Now  func() time.Time
	Log  *slog.Logger
}

// Desk hands notices to receivers. Its methods are safe for concurrent use.
type Desk struct {
	cfg       Config
	receivers []*receiver
}

// receiver is one that the configuration names, and how it fares.
type receiver struct {
	cfg    ReceiverConfig
	sender sender
	// wake tells its task that there may be something new.
	wake chan struct{}

	mu sync.Mutex
	// problem is what the last try came to, empty when it was well; delivered is when something was taken last.
	problem   string
	delivered time.Time
	givenUp   uint64
}

// sender brings one message to one receiver.
type sender interface {
	// send returns what the receiver answered, for people. An error that is a refused error is not tried again.
	send(ctx context.Context, m *message) (answer string, err error)
}

// message is a notice in the words of the route that sends it.
type message struct {
	notice *fleetv1.Notice
	// text is what the route's template made of it; empty when there is none.
	text string
}

// refused says that a receiver will never take this message.
type refused struct{ error }

// New makes a desk. Its receivers must have been checked.
func New(cfg Config) (*Desk, error) {
	d := &Desk{cfg: cfg}
	for _, r := range cfg.Receivers {
		s, err := newSender(r, cfg.Host)
		if err != nil {
			return nil, err
		}
		d.receivers = append(d.receivers, &receiver{cfg: r, sender: s, wake: make(chan struct{}, 1)})
	}
	return d, nil
}

// Post keeps a notice to be told, as part of the caller's update. Its id and time are set here. Without receivers nothing is kept.
func (d *Desk) Post(w store.Writer, n *fleetv1.Notice) error {
	if d == nil || len(d.receivers) == 0 {
		return nil
	}
	at, err := last(w)
	if err != nil {
		return err
	}
	n = proto.CloneOf(n)
	d.stamp(n, at+1)
	text, err := proto.Marshal(n)
	if err != nil {
		return err
	}
	return errors.Join(w.Put(store.TableMeta, store.Key(store.KeyNotices), store.Number(at+1)), w.Put(store.TableNotices, store.Number(at+1), text))
}

// last is the sequence of the newest notice, 0 when there was none.
func last(r store.Reader) (uint64, error) {
	text, err := r.Get(store.TableMeta, store.Key(store.KeyNotices))
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return store.ParseNumber(text), err
}

func (d *Desk) find(name string) *receiver {
	for _, r := range d.receivers {
		if r.cfg.Name == name {
			return r
		}
	}
	return nil
}
