package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/figures"
)

// settling is how long an agent is left alone before it is watched: the first looks are not idle.
const settling = 10 * time.Second

// idle measures two agents side by side while their server is away: one has orders and looks for faults, the other has none and looks for
// nothing. All else is alike.
func idle(c config) error {
	dir, err := os.MkdirTemp("", "bandfleet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r, err := serve(c, filepath.Join(dir, serverFolder))
	if err != nil {
		return err
	}
	defer r.close()
	looking := &realAgent{program: filepath.Join(filepath.Dir(c.fleetd), "fleet-agent"), dir: filepath.Join(dir, "looking"), site: "bench-looking"}
	blind := &realAgent{program: looking.program, dir: filepath.Join(dir, "blind"), site: "bench-blind"}
	defer looking.close()
	defer blind.close()
	if err := errors.Join(looking.enrol(r), blind.enrol(r), looking.start()); err != nil {
		return err
	}
	if err := r.awaitOrders(looking.site); err != nil {
		return err
	}
	time.Sleep(settling) // until the orders are in its journal
	r.close()
	if err := blind.start(); err != nil {
		return err
	}
	time.Sleep(settling)
	table := figures.NewTable("agent", "of a core, %", "memory, MB", "of it its own, MB")
	samples := map[string][][3]float64{}
	agents := []struct {
		name string
		*realAgent
	}{{"without orders", blind}, {"looks for faults", looking}}
	for range c.rounds {
		before := map[string]time.Duration{}
		for _, a := range agents {
			if before[a.name], err = a.process.CPU(); err != nil {
				return err
			}
		}
		time.Sleep(c.watched)
		for _, a := range agents {
			s, err := a.sample(before[a.name], c.watched)
			if err != nil {
				return fmt.Errorf("agent %s: %w", a.name, err)
			}
			samples[a.name] = append(samples[a.name], s)
		}
	}
	for _, a := range agents {
		var columns [3][]float64
		for _, s := range samples[a.name] {
			for i := range s {
				columns[i] = append(columns[i], s[i])
			}
		}
		table.Row(a.name, figures.Median(columns[0]), figures.Median(columns[1]), figures.Median(columns[2]))
	}
	table.Write(os.Stdout)
	return nil
}

// sample is what the agent's process has taken of a core since before, in per cent, and its memory in MB.
func (a *realAgent) sample(before, watched time.Duration) (s [3]float64, err error) {
	now, err := a.process.CPU()
	if err != nil {
		return s, err
	}
	memory, err := a.process.Memory()
	return [3]float64{100 * float64(now-before) / float64(watched), memory.Resident / 1000, memory.Own / 1000}, err
}
