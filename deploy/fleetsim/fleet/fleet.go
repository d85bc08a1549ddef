// Package fleet is many simulated agents in one process: real enrolment, real TLS sessions, the real link, runner and journal,
// on scripted machines that are slow, fail, flap and lose their lines as the script says; with Faults also real orders, news and reflexes. What is not real: a machine is a
// few numbers in memory, an action runs in this process instead of one of its own, and all agents write to one shared journal
// file. Program fleetsim, the benchmarks and tests of faults use it.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// preparing is how many agents enrol or load at once. The server has room for 128 callers without certificate.
const preparing = 32

// Config is what a fleet is made of.
type Config struct {
	// Server is the host and port of fleetd.
	Server string
	// Token is the text of an enrolment token with a use for each agent that is not enrolled in Dir yet.
	Token string
	// Dir holds identities and the journal. A fleet that is opened on it again is the same fleet.
	Dir    string
	Agents int
	// Prefix begins the agents' names, a number follows; empty means "sim-".
	Prefix string
	Script Script
	// Seed makes the script's chances repeatable.
	Seed uint64
	// Faults has the agents take orders and tell of faults: that their service does not run, and what Report says.
	Faults bool
	// Arrive is the time over which the agents connect first; 0 means at once.
	Arrive time.Duration
	Log    *slog.Logger
}

// Fleet is a fleet whose agents are enrolled.
type Fleet struct {
	config  Config
	counts  *Counts
	journal *journal.Shared
	plugins *plugins
	// healthy is one machine for all that the script does not concern. It is only read.
	healthy *hosttest.Memory
	agents  []*agent
}

// Open enrols the agents that are not yet, and loads the others. The caller closes the fleet.
func Open(ctx context.Context, c Config) (*Fleet, error) {
	if c.Agents < 1 {
		return nil, fmt.Errorf("a fleet of %d agents: want at least 1", c.Agents)
	}
	if err := c.Script.check(); err != nil {
		return nil, err
	}
	if c.Prefix == "" {
		c.Prefix = "sim-"
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	f := &Fleet{config: c, counts: newCounts(), healthy: hosttest.NewMemory(), agents: make([]*agent, c.Agents)}
	var err error
	if f.plugins, err = newPlugins(); err != nil {
		return nil, err
	}
	if f.journal, err = journal.OpenShared(filepath.Join(c.Dir, "journal.db")); err != nil {
		return nil, err
	}
	if err := f.prepare(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Close closes the journal. The fleet must not run.
func (f *Fleet) Close() error { return f.journal.Close() }

// Counts tells how the fleet is.
func (f *Fleet) Counts() Count { return f.counts.read() }

// Kill ends the service of machine i, from 0, as a crash does.
func (f *Fleet) Kill(i int) { f.agents[i].machine.die() }

// Report has agent i, from 0, find a fault (its entry and subject), or find it gone. The server is told as soon as there is a session. The
// fleet must have been opened with Faults.
func (f *Fleet) Report(i int, r *agentv1.FaultReport) error { return f.agents[i].guide.report(r) }

func (f *Fleet) prepare(ctx context.Context) error {
	token, err := f.token()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(preparing)
	for i := range f.agents {
		group.Go(func() error {
			a, err := f.newAgent(ctx, i, token)
			if err != nil {
				return fmt.Errorf("agent %q: %w", f.name(i), err)
			}
			f.agents[i] = a
			return ctx.Err()
		})
	}
	return group.Wait()
}

// token is nil when none was given: all agents are enrolled then.
func (f *Fleet) token() (*fleetid.Token, error) {
	if f.config.Token == "" {
		return nil, nil
	}
	t, err := fleetid.ParseToken(f.config.Token)
	return &t, err
}

func (f *Fleet) name(i int) string { return fmt.Sprintf("%s%05d", f.config.Prefix, i+1) }

// Run runs the agents until ctx ends or one of them fails in a way that no script asks for.
func (f *Fleet) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, a := range f.agents {
		arrive := f.config.Arrive * time.Duration(i) / time.Duration(len(f.agents))
		group.Go(func() error {
			if !pause(ctx, arrive) {
				return nil
			}
			if err := a.run(ctx); err != nil {
				return fmt.Errorf("agent %q: %w", a.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// pause waits for d; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
