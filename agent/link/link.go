// Package link is the agent's one connection to its server: enrolment, the session and the renewal of the certificate. It
// owns nothing durable: what must not be lost is in the journal, and each new session says again what the server has not
// acknowledged. Package agent runs it; it feeds the runner with what the server sends and carries the runner's reports.
package link

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/identity"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Runner is what the link needs of the runner. Calls come from one goroutine of the current session, in the order in which
// the server sent; SessionStarted and SessionEnded enclose them.
type Runner interface {
	// Dispatch journals a task, and permits it when the dispatch says so. An error means that it is not journalled.
	Dispatch(ctx context.Context, d *agentv1.Dispatch) error
	Permit(p *agentv1.Permit)
	Cancel(key *agentv1.TaskKey, reason string)
	// Hold takes a permit back.
	Hold(key *agentv1.TaskKey, reason string)
	// Answer hands over what a person has said to a question.
	Answer(a *agentv1.Answer)
	// OpenQuestions are the questions that wait for a person.
	OpenQuestions() []*agentv1.Question
	// Acknowledge says that a result is on the server's disk.
	Acknowledge(key *agentv1.TaskKey)
	// LeaseNews is what became of changes with an end, as far as the server may not know it; LeaseNewsAcknowledged says what it does know.
	LeaseNews() ([]*agentv1.LeaseNews, error)
	LeaseNewsAcknowledged(ack *agentv1.LeaseNewsAck)
	// OpenTasks and Unacknowledged are what the server has not settled yet. After an error no session may be opened: the server
	// would take what it is not told of for lost.
	OpenTasks() ([]*agentv1.OpenTask, error)
	Unacknowledged() ([]*agentv1.Result, error)
	SessionStarted()
	SessionEnded()
	SetTerminal(t *actionv1.Terminal)
	// SetServerTime tells the server's clock at this moment.
	SetServerTime(t time.Time)
	// Epoch is the greatest epoch of a server's store that was seen; SetEpoch tells of one.
	Epoch() (uint64, error)
	SetEpoch(epoch uint64) error
}

// Journal is what the server is told of the runner's journal, so that it sees when it was lost or rolled back.
type Journal interface {
	ID() string
	// BeginSession makes a write for a session that is about to begin, and returns the sequence. After an error no session may be opened.
	BeginSession() (uint64, error)
	// Sequence is how often the journal has been written to; it never shrinks.
	Sequence() uint64
}

// Config is what a link is made of.
type Config struct {
	Identity *identity.Identity
	Runner   Runner
	// Journal is the runner's.
	Journal Journal
	// Plugins are the pinned plugins.
	Plugins []*agentv1.Plugin
	// Spool holds the files that are to be brought to the server; nil for none.
	Spool Spool
	// Guide is what is told and ordered of faults; nil for an agent that looks for none.
	Guide *Guide
	// Prober connects to hosts for tasks of other terminals; nil refuses that.
	Prober Prober
	// Dial opens the connection to the server; nil connects by TCP. A simulated fleet cuts its lines by it.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	Log  *slog.Logger
}

// Link keeps a session open while it runs. It implements the runner's Reporter and Asker.
type Link struct {
	config Config
	timing timing
	dial   func(ctx context.Context, addr string) (net.Conn, error)
	// chance is a random number in [0, 1) that spreads the returns of a fleet.
	chance func() float64
	// offset is the server's clock minus this machine's, in nanoseconds.
	offset atomic.Int64

	mu      sync.Mutex
	facts   *agentv1.Facts
	current *outbox
	// asks are the questions that wait for an answer, by their number.
	asks    map[uint64]*asked
	lastAsk uint64

	// failing is why there was no session the last time; empty after one. Only keepSession uses it.
	failing string
}

// New makes a link. Facts are to be set before it runs.
func New(c Config) *Link {
	l := &Link{config: c, timing: defaultTiming(), dial: c.Dial, chance: chance, asks: make(map[uint64]*asked)}
	if l.dial == nil {
		l.dial = dialTCP
	}
	return l
}

// Run keeps a session open and the certificate fresh until ctx ends.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { l.keepSession(ctx); return nil })
	group.Go(func() error { l.keepCertificate(ctx); return nil })
	return group.Wait()
}

// SetFacts replaces what the server is told of this machine. The link keeps f: it must not be changed afterwards.
func (l *Link) SetFacts(f *agentv1.Facts) {
	l.mu.Lock()
	l.facts = f
	l.mu.Unlock()
	l.report(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Facts{Facts: f}})
}

func (l *Link) currentFacts() *agentv1.Facts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.facts
}

// bind makes box the way of all reports; nil means that there is no session. It returns the questions that wait for an answer, which are
// not put into the box.
func (l *Link) bind(box *outbox) []*agentv1.ConnectRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = box
	var waiting []*agentv1.ConnectRequest
	for _, id := range slices.Sorted(maps.Keys(l.asks)) {
		waiting = append(waiting, askMessage(l.asks[id].ask))
	}
	return waiting
}

// keepSession opens one session after the other until ctx ends.
func (l *Link) keepSession(ctx context.Context) {
	attempt := 0
	var returnWithin time.Duration
	for ctx.Err() == nil {
		end := l.runSession(ctx)
		if ctx.Err() != nil {
			return
		}
		if end.lasted >= l.timing.stable {
			attempt = 0
		}
		switch {
		case end.lost():
			returnWithin = end.returnWithin
		case end.lasted > 0:
			returnWithin = 0
		}
		end.returnWithin = returnWithin
		wait := l.timing.pause(end, attempt, l.chance())
		l.logEnding(end, wait)
		attempt++
		sleep(ctx, wait)
	}
}

func (l *Link) logEnding(end ending, wait time.Duration) {
	log := l.config.Log.With("server", l.config.Identity.Record().Server, "retry_in", wait.Round(time.Millisecond))
	switch {
	case end.goodbye.GetFinal():
		log.Error("the server does not want this terminal any more", "cause", end.err)
	case end.goodbye != nil:
		log.Info("the server ended the session", "reason", end.goodbye.GetReason())
	case end.lasted > 0:
		log.Warn("session lost", "cause", end.err)
	default:
		log.Log(context.Background(), l.failureLevel(end.err), "no session; trying on, and saying so once", "cause", end.err)
		return
	}
	l.failing = ""
}

// failureLevel lets a trouble that lasts be logged once: a server that is away for a night must not fill the log.
func (l *Link) failureLevel(cause error) slog.Level {
	if fmt.Sprint(cause) == l.failing {
		return slog.LevelDebug
	}
	l.failing = fmt.Sprint(cause)
	return slog.LevelWarn
}

// now is the server's clock as far as it is known: it decides when the certificate is due.
func (l *Link) now() time.Time { return time.Now().Add(time.Duration(l.offset.Load())) }

// pluginsOf returns the pinned plugins with these hashes.
func (l *Link) pluginsOf(hashes []string) []*agentv1.Plugin {
	wanted := make(map[string]bool, len(hashes))
	for _, h := range hashes {
		wanted[h] = true
	}
	var out []*agentv1.Plugin
	for _, p := range l.config.Plugins {
		if wanted[p.GetSha256()] {
			out = append(out, proto.CloneOf(p))
		}
	}
	return out
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
