package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// faultsEach is how many faults each agent reports at a time.
const faultsEach = 2

// taker is a server that takes reports of faults.
type taker struct {
	contender
	// ready is called before agents connect, and kept counts the faults that are on disk afterwards; nil where there is nothing to see.
	ready func(data string, addr string) (kept func() (int, error), done func(), err error)
}

// faults measures how many faults a second a server takes from agents that report all at once, each of which waits until its are on disk.
func faults(c config) error {
	field := []taker{
		{contender: contender{"plain grpc-go", preparePlain, openPlain, "tellers"}},
		{contender: contender{"plain grpc-go, a record each in the store", preparePlain, openPlainStored, "tellers"}},
		{contender{"fleetd", prepareFleetd, func(dir string, n int) (*rig, error) { return openFleetd(c, dir, n) }, "tellers"}, watchFaults},
	}
	rates, cpus := map[string][]float64{}, map[string][]float64{}
	dirs := map[string]string{}
	for _, v := range field {
		dir, err := os.MkdirTemp("", "bandfleet-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		dirs[v.name] = dir
		if err := v.prepare(dir, c.faulty); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	for round := range c.rounds {
		for _, v := range field {
			fmt.Fprintf(os.Stderr, "%d agents, round %d: %s\n", c.faulty, round+1, v.name)
			rate, cpu, err := v.take(dirs[v.name], c.faulty, round)
			if err != nil {
				return fmt.Errorf("%s: %w", v.name, err)
			}
			rates[v.name], cpus[v.name] = append(rates[v.name], rate), append(cpus[v.name], cpu)
		}
	}
	table := figures.NewTable("agents", "server", "faults/s", "server CPU, ms for 1000")
	own := figures.Median(rates["fleetd"])
	for _, v := range field {
		table.Row(c.faulty, v.name, figures.Median(rates[v.name]), figures.Median(cpus[v.name]))
		if v.name != "fleetd" {
			table.Row("", "fleetd / "+v.name, own/figures.Median(rates[v.name]), figures.Median(cpus["fleetd"])/figures.Median(cpus[v.name]))
		}
	}
	table.Write(os.Stdout)
	return nil
}

// take is one round: faults a second, and the server's milliseconds for a thousand. A fault that is lost is an error.
func (v taker) take(dir string, n, round int) (rate, cpu float64, err error) {
	r, err := v.open(dir, n)
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	kept := func() (int, error) { return 0, nil }
	if v.ready != nil {
		var done func()
		if kept, done, err = v.ready(dir, r.addr); err != nil {
			return 0, 0, err
		}
		defer done()
	}
	agents, err := child.Self(v.agents, dir, r.addr, fmt.Sprint(round*faultsEach))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = agents.Kill() }()
	if _, err := agents.Line(); err != nil {
		return 0, 0, err
	}
	earlier, err := kept()
	if err != nil {
		return 0, 0, err
	}
	before, err := r.server.CPU()
	if err != nil {
		return 0, 0, err
	}
	took, err := agents.Numbers(fmt.Sprintf("tell %d", faultsEach), 1)
	if err != nil {
		return 0, 0, err
	}
	after, err := r.server.CPU()
	if err != nil {
		return 0, 0, err
	}
	if now, err := kept(); err != nil || v.ready != nil && now-earlier != n*faultsEach {
		return 0, 0, fmt.Errorf("%d faults are stored of %d that were acknowledged: %w", now-earlier, n*faultsEach, err)
	}
	total := float64(n * faultsEach)
	return total / took[0], milliseconds(after-before) * 1000 / total, nil
}

// watchFaults stops all that fleetd would do about faults by itself, so that taking them is what is measured (that it looks at each, and
// writes that it is frozen, is in the figures), and counts them.
func watchFaults(dir, addr string) (kept func() (int, error), done func(), err error) {
	o, err := dialOperator(filepath.Join(dir, serverFolder), addr, startPatience)
	if err != nil {
		return nil, nil, err
	}
	_, err = fleetv1.NewPolicyServiceClient(o.conn).Freeze(context.Background(), &fleetv1.FreezeRequest{Reason: "benchmark"})
	return o.faults, func() { o.conn.Close() }, err
}

// faults counts the faults that are open.
func (o *operator) faults() (n int, err error) {
	r := &fleetv1.ListFaultsRequest{PageSize: 1000}
	for {
		page, err := fleetv1.NewFaultServiceClient(o.conn).ListFaults(context.Background(), r)
		if err != nil {
			return 0, err
		}
		n += len(page.GetFaults())
		if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
			return n, nil
		}
	}
}
