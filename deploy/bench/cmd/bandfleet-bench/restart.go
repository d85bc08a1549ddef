package main

import (
	"fmt"
	"os"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
)

// restarts measures how long a fleet takes to come back after a stop and after a kill of its server, in turns.
func restarts(c config) error {
	f, err := openSimFleet(c)
	if err != nil {
		return err
	}
	defer f.close()
	ways := []struct {
		name string
		end  func(*child.Child) error
	}{{"stop", (*child.Child).Stop}, {"kill -9", (*child.Child).Kill}}
	samples := map[string][]comeback{}
	for range c.rounds {
		for _, way := range ways {
			back, err := f.restart(way.end)
			if err != nil {
				return fmt.Errorf("after a %s: %w", way.name, err)
			}
			fmt.Fprintf(os.Stderr, "restart after %s: %+v\n", way.name, back)
			samples[way.name] = append(samples[way.name], back)
		}
	}
	table := figures.NewTable("agents", "server ended by", "server there again after, s", "half back, s", "99 % back, s", "all back, s", "agents/s")
	for _, way := range ways {
		pick := func(figure func(comeback) float64) float64 {
			var all []float64
			for _, s := range samples[way.name] {
				all = append(all, figure(s))
			}
			return figures.Median(all)
		}
		all := pick(func(b comeback) float64 { return b.all })
		table.Row(c.sim, way.name, pick(func(b comeback) float64 { return b.server }), pick(func(b comeback) float64 { return b.half }),
			pick(func(b comeback) float64 { return b.most }), all, float64(c.sim)/all)
	}
	table.Write(os.Stdout)
	return nil
}

// comeback is one return, in seconds since the server was ended: until it answered again, and until half, 99 in 100 and all agents
// had a new session.
type comeback struct{ server, half, most, all float64 }

// restart ends the server and starts it again at once on the same address.
func (f *simFleet) restart(end func(*child.Child) error) (comeback, error) {
	before, err := f.sessions()
	if err != nil {
		return comeback{}, err
	}
	begun := time.Now()
	since := func() float64 { return time.Since(begun).Seconds() }
	f.conn.Close()
	if err := end(f.child); err != nil {
		return comeback{}, err
	}
	again, err := serveAt(f.config, f.data, f.addr)
	if err != nil {
		return comeback{}, err
	}
	f.running = again
	back := comeback{server: since()}
	err = f.allBack(before, func(n int) {
		if back.half == 0 && n*2 >= f.config.sim {
			back.half = since()
		}
		if back.most == 0 && n*100 >= f.config.sim*99 {
			back.most = since()
		}
	})
	back.all = since()
	return back, err
}
