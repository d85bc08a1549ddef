package agent

import (
	"context"
	"errors"

	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/kept"
	"github.com/bandfleet/bandfleet/agent/runner"
)

// RevertLeases puts back what an agent has changed for a time, before it is taken away: nobody would be there at the end of that time. The
// agent must not be running. Of c it needs DataDir, Machine and Log. A folder without an agent has nothing to put back.
func RevertLeases(ctx context.Context, c Config) (err error) {
	dir := identity.Dir(c.DataDir)
	if enrolled, err := dir.Enrolled(); err != nil || !enrolled {
		return input(err)
	}
	id, err := identity.Load(dir)
	if err != nil {
		return input(err)
	}
	if c.Machine.Host == "" {
		c.Machine.Host = id.Record().Host
	}
	machine, _, err := openMachine(c.Machine)
	if err != nil {
		return err
	}
	book, err := journal.Open(dir.Journal())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	earlier, err := kept.Open(dir.Kept())
	if err != nil {
		return err
	}
	r := runner.New(runner.Config{Host: machine, Journal: book, Kept: earlier, Log: c.Log})
	return r.RevertLeases(ctx)
}
