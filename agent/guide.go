package agent

import (
	"context"
	"crypto/x509"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/agent/detect"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/logs"
	"github.com/bandfleet/bandfleet/agent/news"
	"github.com/bandfleet/bandfleet/agent/orders"
	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/agent/reflex"
	"github.com/bandfleet/bandfleet/agent/runner"
)

// guide is what looks for faults, remedies them while the server is away, and has the server told.
type guide struct {
	outbox *news.Outbox
	engine *reflex.Engine
	states *detect.Detector
	logs   *logs.Watcher
	orders *orders.Keeper
}

// newGuide makes what comes before the runner, which asks the engine.
func newGuide(book *journal.Journal, set *plugins.Set, log *slog.Logger) (*guide, error) {
	g := &guide{}
	var err error
	if g.outbox, err = news.Open(news.Config{Journal: book, Log: log.With("part", "news")}); err != nil {
		return nil, err
	}
	g.engine = reflex.New(reflex.Config{Journal: book, News: g.outbox, Plugins: set, Nudge: g.nudge, Log: log.With("part", "reflex")})
	return g, nil
}

// nudge has the state detectors look again: what was wrong may be gone.
func (g *guide) nudge() { g.states.Nudge() }

// complete makes the rest, and takes up what an earlier process left. Nothing runs yet.
func (g *guide) complete(c Config, id *identity.Identity, machine *host.Host, book *journal.Journal, run *runner.Runner) (err error) {
	g.engine.SetRunner(run)
	if err := g.engine.Recover(); err != nil {
		return err
	}
	g.states = detect.New(detect.Config{
		Host: machine, Sink: g.engine, Role: id.Record().Role, Now: run.ServerTime, Offset: run.ClockOffset,
		Certificate: certificateOf(id), Leases: run.Leases, Known: g.engine.KnownStates(), Timings: detect.AtMost(c.LookEvery), Log: c.Log.With("part", "detect"),
	})
	g.logs = logs.New(logs.Config{
		Files: machine.Files, Users: machine.Users, Sink: g.engine, Marks: identity.Dir(c.DataDir).Marks(), Now: run.ServerTime, Log: c.Log.With("part", "logs"),
	})
	g.orders, err = orders.Open(book, c.Log.With("part", "orders"), g.states, g.logs, g.engine)
	return err
}

// certificateOf returns the agent's own certificate, as it is when asked; nil when there is none.
func certificateOf(id *identity.Identity) func() *x509.Certificate {
	return func() *x509.Certificate {
		c, err := id.TLS().GetClientCertificate(nil)
		if err != nil {
			return nil
		}
		return c.Leaf
	}
}

// carried is what the link has of it.
func (g *guide) carried() *link.Guide {
	return &link.Guide{Orders: g.orders, News: g.outbox, Breakers: g.engine, Lines: g.logs}
}

// run looks for faults until ctx ends.
func (g *guide) run(ctx context.Context, group *errgroup.Group) {
	group.Go(func() error { return g.engine.Run(ctx) })
	group.Go(func() error { return g.logs.Run(ctx) })
	group.Go(func() error { g.states.Run(ctx); return nil })
}
