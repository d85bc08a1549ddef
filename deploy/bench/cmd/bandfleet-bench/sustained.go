package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
)

const (
	// sustainedAgents answer, and sustainedJobs run on all of them at a time.
	sustainedAgents = 1000
	sustainedJobs   = 4
	// looks is how often the server is looked at.
	looks = 10
)

// sustained streams results for minutes and looks whether the server grows.
func sustained(c config) error {
	dir, err := os.MkdirTemp("", "bandfleet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := prepareFleetd(dir, sustainedAgents); err != nil {
		return err
	}
	// Goroutines can be counted from inside alone.
	r, err := serve(config{}, filepath.Join(dir, serverFolder))
	if err != nil {
		return err
	}
	defer r.close()
	agents, err := child.Self("agents", dir, r.addr)
	if err != nil {
		return err
	}
	defer func() { _ = agents.Kill() }()
	if _, err := agents.Line(); err != nil {
		return err
	}
	s := &streaming{running: r, agents: agents, until: time.Now().Add(c.sustain)}
	return s.run(c.sustain)
}

// streaming is a server under a stream of results.
type streaming struct {
	*running
	agents *child.Child
	until  time.Time
	table  *figures.Table
}

func (s *streaming) run(d time.Duration) error {
	s.table = figures.NewTable("after", "results", "results/s", "memory, MB", "of it its own, MB", "goroutines", "open files", "store, MB")
	results := make(chan int, sustainedJobs)
	var all errgroup.Group
	for range sustainedJobs {
		all.Go(func() error { return s.stream(results) })
	}
	ended := make(chan error, 1)
	go func() { ended <- all.Wait(); close(results) }()
	if err := s.watch(d, results); err != nil {
		return err
	}
	if err := <-ended; err != nil {
		return err
	}
	s.table.Write(os.Stdout)
	return nil
}

// stream runs one job after the other.
func (s *streaming) stream(results chan<- int) error {
	for time.Now().Before(s.until) {
		if err := s.runJob(benchAction, sustainedAgents); err != nil {
			return err
		}
		results <- sustainedAgents
	}
	return nil
}

// watch looks at the server ten times, the first time after a tenth of the whole: what a server needs under load is there by then.
func (s *streaming) watch(d time.Duration, results <-chan int) error {
	tick := time.NewTicker(d / looks)
	defer tick.Stop()
	begun, last := time.Now(), time.Now()
	total, since := 0, 0
	for {
		select {
		case n, more := <-results:
			if !more {
				return nil
			}
			total, since = total+n, since+n
		case <-tick.C:
			rate := float64(since) / time.Since(last).Seconds()
			if err := s.look(time.Since(begun), total, rate); err != nil {
				return err
			}
			last, since = time.Now(), 0
		}
	}
}

func (s *streaming) look(after time.Duration, total int, rate float64) error {
	memory, err := s.child.Memory()
	if err != nil {
		return err
	}
	goroutines, err := s.child.Numbers("goroutines", 1)
	if err != nil {
		return err
	}
	files, err := s.child.Files()
	if err != nil {
		return err
	}
	size, err := s.storeSize()
	if err != nil {
		return err
	}
	const mega = 1 << 10
	s.table.Row(after.Round(time.Second), total, rate, memory.Resident/mega, memory.Own/mega, goroutines[0], files, size)
	// The agents' figures are not wanted here; asking has them forgotten.
	_, err = s.agents.Numbers(fmt.Sprintf("latencies %d", time.Now().UnixNano()), 2)
	return err
}

// storeSize is the size of the data directory in MB.
func (s *streaming) storeSize() (float64, error) {
	var bytes int64
	err := filepath.Walk(s.data, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return err
	})
	return float64(bytes) / (1 << 20), err
}
