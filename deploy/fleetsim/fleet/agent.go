package fleet

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/agent/facts"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// version is what the agents say that they are.
const version = "0.0.0-sim"

// agent is one simulated agent, composed as package agent composes a real one.
type agent struct {
	name   string
	runner *runner.Runner
	link   *link.Link
	// guide is nil when the agent has no part in faults.
	guide   *guide
	machine *machine
}

// newAgent enrols agent i if need be and puts it together.
func (f *Fleet) newAgent(ctx context.Context, i int, token *fleetid.Token) (*agent, error) {
	name := f.name(i)
	book, err := f.journal.Journal(name)
	if err != nil {
		return nil, err
	}
	log := f.config.Log.With("agent", name)
	chance := newChance(f.config.Seed, i)
	machine := newMachine(f.config.Script, chance, f.counts)
	host := machine.host(name, f.healthy.Host())
	first := facts.New(facts.Config{Host: host, AgentVersion: version, Simulated: true, Log: log}).Collect(ctx)
	id, err := f.identity(ctx, name, token, book.ID(), first)
	if err != nil {
		return nil, err
	}
	record := id.Record()
	machine.service, machine.entry = scripted(record.Role)
	var g *guide
	if f.config.Faults {
		if g, err = newGuide(book, f.plugins, machine, log); err != nil {
			return nil, err
		}
	}
	r := runner.New(runner.Config{
		Host: host, Journal: counted(book, f.counts), Plugins: f.plugins, BootID: first.GetBootId(), Log: log, Remedies: g.remedies(),
		Terminal: &actionv1.Terminal{Id: record.TerminalID, Name: record.Name, Site: record.Site, Role: record.Role},
	})
	if err := g.complete(r, book, first, log); err != nil {
		return nil, err
	}
	line := &line{chance: chance, perMinute: f.config.Script.Cut, counts: f.counts}
	l := link.New(link.Config{
		Identity: id, Runner: &present{Runner: r, counts: f.counts}, Journal: book, Plugins: f.plugins.report(), Dial: line.dial, Guide: g.carried(), Log: log,
	})
	l.SetFacts(first)
	r.SetReporter(l)
	return &agent{name: name, runner: r, link: l, guide: g, machine: machine}, nil
}

// run takes up what an earlier process left and runs until ctx ends. The link goes on until the runner has come to rest.
func (a *agent) run(ctx context.Context) error {
	if err := a.runner.Recover(); err != nil {
		return err
	}
	var group errgroup.Group
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer unlink()
		return a.runner.Run(ctx)
	})
	group.Go(func() error { return a.link.Run(linked) })
	a.guide.run(ctx, &group)
	return group.Wait()
}

// errNoToken says that an agent is to be enrolled and cannot.
var errNoToken = errors.New("is not enrolled, and there is no token; give one that has a use for each agent (`fleetctl token create --uses N`)")
