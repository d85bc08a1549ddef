package main

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// sample is what one round of one variant gave.
type sample struct {
	connectsPerSecond float64
	// Resident memory of the server per agent, in KB, above that of the server without agents.
	idleKB, busyKB float64
	// From the request to the last result: of fleetd, on disk.
	fanOut time.Duration
}

// variant is one kind of server.
type variant struct {
	name string
	// measure starts a server in dir, lets n agents connect, runs one job on all, and stops everything.
	measure func(dir string, n int) (sample, error)
}

func compare(c config) error {
	plain := variant{"plain grpc-go", measurePlain}
	fleet := variant{"fleetd", func(dir string, n int) (sample, error) { return measureFleetd(c.fleetd, dir, n) }}
	fmt.Printf("%-8s %-14s %12s %14s %14s %12s %12s\n", "agents", "server", "connects/s", "KB/agent idle", "KB/agent busy", "fan-out ms", "results/s")
	for _, n := range c.sizes {
		samples := map[string][]sample{}
		for range c.rounds {
			for _, v := range []variant{plain, fleet} {
				s, err := inTemporaryFolder(v, n)
				if err != nil {
					return fmt.Errorf("%s with %d agents: %w", v.name, n, err)
				}
				samples[v.name] = append(samples[v.name], s)
			}
		}
		p, f := median(samples[plain.name]), median(samples[fleet.name])
		printSample(n, plain.name, p)
		printSample(n, fleet.name, f)
		fmt.Printf("%-8d %-14s %12.2f %14.2f %14.2f %12.2f %12.2f\n\n", n, "ratio", f.connectsPerSecond/p.connectsPerSecond,
			f.idleKB/p.idleKB, f.busyKB/p.busyKB, f.fanOut.Seconds()/p.fanOut.Seconds(), p.fanOut.Seconds()/f.fanOut.Seconds())
	}
	return nil
}

func inTemporaryFolder(v variant, n int) (sample, error) {
	dir, err := os.MkdirTemp("", "bandfleet-bench-")
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return v.measure(dir, n)
}

func printSample(n int, name string, s sample) {
	fmt.Printf("%-8d %-14s %12.0f %14.1f %14.1f %12.0f %12.0f\n", n, name, s.connectsPerSecond, s.idleKB, s.busyKB,
		float64(s.fanOut.Microseconds())/1000, float64(n)/s.fanOut.Seconds())
}

// median takes the median of each figure by itself.
func median(samples []sample) sample {
	pick := func(figure func(sample) float64) float64 {
		var all []float64
		for _, s := range samples {
			all = append(all, figure(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return sample{
		connectsPerSecond: pick(func(s sample) float64 { return s.connectsPerSecond }),
		idleKB:            pick(func(s sample) float64 { return s.idleKB }),
		busyKB:            pick(func(s sample) float64 { return s.busyKB }),
		fanOut:            time.Duration(pick(func(s sample) float64 { return float64(s.fanOut) })),
	}
}
