package fleet

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/news"
	"github.com/bandfleet/bandfleet/agent/orders"
	"github.com/bandfleet/bandfleet/agent/reflex"
	"github.com/bandfleet/bandfleet/agent/runner"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// standsFor is how long a service must be down, or be there again, before that is a fault, or the end of one. Real detectors wait for
// longer.
const standsFor = 500 * time.Millisecond

// scripted is the service of a machine that the script is about, and the catalogue's entry of the fault that it does not run.
func scripted(role string) (service, entry string) {
	if role == roleNESHost {
		return hosttest.WebService, "console-iis-stopped"
	}
	return host.EndpointService, "nbe-missing"
}

// guide is an agent's part in faults: real orders, news and reflexes. What is found is what the scripted service does, and what Report says.
type guide struct {
	outbox *news.Outbox
	engine *reflex.Engine
	orders *orders.Keeper
	runner *runner.Runner

	machine *machine
}

// newGuide makes what comes before the runner, which asks the engine.
func newGuide(book *journal.Journal, p *plugins, m *machine, log *slog.Logger) (*guide, error) {
	outbox, err := news.Open(news.Config{Journal: book, Log: log})
	if err != nil {
		return nil, err
	}
	return &guide{outbox: outbox, machine: m, engine: reflex.New(reflex.Config{Journal: book, News: outbox, Plugins: p, Log: log})}, nil
}

// remedies is what the runner asks; nil when the agent has no part in faults.
func (g *guide) remedies() runner.Remedies {
	if g == nil {
		return nil
	}
	return g.engine
}

// complete takes up what an earlier process left.
func (g *guide) complete(r *runner.Runner, book *journal.Journal, first *agentv1.Facts, log *slog.Logger) (err error) {
	if g == nil {
		return nil
	}
	g.runner = r
	g.engine.SetRunner(r)
	if err := g.engine.Recover(); err != nil {
		return err
	}
	g.engine.SetFacts(first)
	g.orders, err = orders.Open(book, log, g.engine)
	return err
}

// carried is what the link has of it; nil when there is none, which is what agents of an earlier release have.
func (g *guide) carried() *link.Guide {
	if g == nil {
		return nil
	}
	return &link.Guide{Orders: g.orders, News: g.outbox, Breakers: g.engine}
}

func (g *guide) run(ctx context.Context, group *errgroup.Group) {
	if g == nil {
		return
	}
	group.Go(func() error { return g.engine.Run(ctx) })
	group.Go(func() error { return g.watch(ctx) })
}

// watch reports when the scripted service has stood for a while, and when it runs again.
func (g *guide) watch(ctx context.Context) error {
	down := slices.ContainsFunc(g.engine.KnownStates(), func(f *agentv1.FaultReport) bool { return f.GetEntry() == g.machine.entry })
	g.machine.hint()
	for {
		select {
		case <-g.machine.changed:
		case <-ctx.Done():
			return nil
		}
		if !pause(ctx, standsFor) {
			return nil
		}
		status := g.machine.observed().GetStatus()
		if down == (status == stopped) || status != stopped && status != running {
			continue
		}
		down = status == stopped
		if err := g.report(&agentv1.FaultReport{Entry: g.machine.entry, Gone: !down}); err != nil {
			return err
		}
	}
}

// report adds what every report of a state has. It is in the journal when report returns.
func (g *guide) report(r *agentv1.FaultReport) error {
	r = proto.CloneOf(r)
	now := timestamppb.New(g.runner.ServerTime())
	r.Rule, r.Confidence, r.OrdersVersion, r.Count = "state", agentv1.Confidence_CONFIDENCE_STATE, g.orders.Version(), 1
	r.FirstSeen, r.LastSeen = now, now
	return g.engine.Fault(r)
}

// roleNESHost is a role as identities have it.
const roleNESHost = "nes-host"
