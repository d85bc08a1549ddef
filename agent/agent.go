// Package agent puts a whole agent together: it enrols a machine, and runs the journal, the plugins, the runner and the link
// to the server on it. It owns nothing but the order in which they start and stop. Only cmd/fleet-agent uses it.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/agent/facts"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/kept"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/spool"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Config is what a running agent is made of.
type Config struct {
	// DataDir is an enrolled data directory.
	DataDir string
	// Machine is what the agent acts on. An empty Host means the one named at enrolment.
	Machine Machine
	// Version is this program's version.
	Version string
	// Spool bounds the files that wait for the server.
	Spool spool.Limits
	// MinLease is the least time that a change which ends by itself may be asked for; 0 means 5 minutes.
	MinLease time.Duration
	// LookEvery is the most time between two looks at anything that may be wrong; 0 leaves it to what each look costs.
	LookEvery time.Duration
	Log       *slog.Logger
	// Ready is called once when everything is up, whether or not the server can be reached.
	Ready func()
}

// Run runs the agent until ctx ends, then lets tasks in flight put back what they stopped. One process at a time may run
// on a data directory: the journal's lock sees to it.
func Run(ctx context.Context, c Config) (err error) {
	dir := identity.Dir(c.DataDir)
	id, err := identity.Load(dir)
	if err != nil {
		return input(err)
	}
	book, err := journal.Open(dir.Journal())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	files, err := spool.Open(spool.Config{
		Dir: dir.Spool(), Journal: book, Limits: c.Spool, Free: private.Free, Now: time.Now, Log: c.Log.With("part", "spool"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	earlier, err := kept.Open(dir.Kept())
	if err != nil {
		return err
	}
	p, err := assemble(ctx, c, id, storage{book, files, earlier})
	if err != nil {
		return err
	}
	c.Log.Info("agent is up", "version", c.Version, "terminal", id.Record().TerminalID, "name", id.Record().Name, "data_dir", c.DataDir)
	c.Ready()
	err = p.run(ctx)
	c.Log.Info("agent is down")
	return err
}

// parts are the agent's moving parts.
type parts struct {
	runner    *runner.Runner
	link      *link.Link
	collector *facts.Collector
	guide     *guide
}

// storage is where an agent keeps what must outlast it.
type storage struct {
	book  *journal.Journal
	files *spool.Spool
	kept  *kept.Folder
}

func assemble(ctx context.Context, c Config, id *identity.Identity, s storage) (*parts, error) {
	record := id.Record()
	if c.Machine.Host == "" {
		c.Machine.Host = record.Host
	}
	machine, simulated, err := openMachine(c.Machine)
	if err != nil {
		return nil, err
	}
	set, err := pinned(identity.Dir(c.DataDir), c.Log)
	if err != nil {
		return nil, err
	}
	collector := facts.New(facts.Config{Host: machine, AgentVersion: c.Version, Simulated: simulated, Log: c.Log.With("part", "facts")})
	first := collector.Collect(ctx)
	watch, err := newGuide(s.book, set, c.Log)
	if err != nil {
		return nil, err
	}
	run := runner.New(runner.Config{
		Host: mortalHost(machine), Journal: mortalJournal(s.book), Plugins: set, Spool: s.files, Kept: s.kept, MinLease: c.MinLease, BootID: first.GetBootId(), Log: c.Log.With("part", "runner"),
		Unsealer: id, Remedies: watch.engine,
		Terminal: &actionv1.Terminal{Id: record.TerminalID, Name: record.Name, Site: record.Site, Role: record.Role},
	})
	if err := watch.complete(c, id, machine, s.book, run); err != nil {
		return nil, err
	}
	session := link.New(link.Config{
		Identity: id, Runner: run, Journal: s.book, Plugins: set.Report(), Spool: s.files, Prober: machine.Network, Guide: watch.carried(),
		Log: c.Log.With("part", "link"),
	})
	session.SetFacts(first)
	watch.engine.SetFacts(first)
	run.SetReporter(session)
	run.SetAsker(session)
	return &parts{runner: run, link: session, collector: collector, guide: watch}, nil
}

func openMachine(m Machine) (h *host.Host, simulated bool, err error) {
	if m, err = m.Absolute(); err != nil {
		return nil, false, err
	}
	h, err = m.open()
	return h, m.simulated(), err
}

// pinned loads the plugins that were pinned at enrolment.
func pinned(dir identity.Dir, log *slog.Logger) (*plugins.Set, error) {
	pins, err := plugins.LoadPins(dir.Pins())
	if err != nil {
		return nil, fmt.Errorf("%w; enrol this machine again with `fleet-agent enroll --force-re-enrol`", err)
	}
	return plugins.NewSet(pins, log.With("part", "plugins"))
}

// run takes up what an earlier process left behind and runs until ctx ends. The link goes on until the runner has come to
// rest, so that what it settles on the way out is still reported.
func (p *parts) run(ctx context.Context) error {
	if err := p.runner.Recover(); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer unlink()
		return p.runner.Run(ctx)
	})
	group.Go(func() error { return p.link.Run(linked) })
	group.Go(func() error {
		p.collector.Watch(ctx, func(f *agentv1.Facts) {
			p.link.SetFacts(f)
			p.guide.engine.SetFacts(f)
		})
		return nil
	})
	p.guide.run(ctx, group)
	return group.Wait()
}
