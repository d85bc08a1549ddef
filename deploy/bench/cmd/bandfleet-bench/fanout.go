package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
)

// contender is one kind of server.
type contender struct {
	name string
	// prepare makes in dir what all rounds share: certificates, and for fleetd its terminals.
	prepare func(dir string, n int) error
	// open starts the server in dir.
	open func(dir string, n int) (*rig, error)
	// agents is the part of this program that plays the agents.
	agents string
}

// rig is a server that runs.
type rig struct {
	server *child.Child
	addr   string
	// job runs one job on all agents and returns when its last result is in, and on disk where there is one.
	job   func() error
	close func()
}

// sample is what one round of one contender gave.
type sample struct {
	connectsPerSecond float64
	// Memory of the server per agent, in KB, above that of the server without agents: all after connecting, all and the server's
	// own after the jobs.
	idleKB, busyKB, ownKB float64
	jobs                  []jobSample
}

// jobSample is one job, in milliseconds: the whole, and the task in the middle and the one of the slowest percent, each from
// the request for the job until its agent knows that its result was taken (with a store: is on disk).
type jobSample struct {
	whole, p50, p99 float64
	// cpu is the server's processor time.
	cpu float64
}

func fanOut(c config) error {
	field := contenders(c)
	fleet := field[len(field)-1]
	table := figures.NewTable("agents", "server", "connects/s", "KB/agent idle", "KB/agent after jobs", "of it its own", "job, ms", "task p50, ms", "task p99, ms",
		"server CPU, ms", "results/s")
	for _, n := range c.sizes {
		samples, err := rounds(c, field, n)
		if err != nil {
			return err
		}
		own := tell(table, n, fleet.name, samples[fleet.name])
		for _, other := range field[:len(field)-1] {
			ratio(table, own, tell(table, n, other.name, samples[other.name]), other.name)
		}
	}
	table.Write(os.Stdout)
	return nil
}

// contenders are those that take turns; the last one is what is measured.
func contenders(c config) []contender {
	build := func(name string, c config) contender {
		return contender{name, prepareFleetd, func(dir string, n int) (*rig, error) { return openFleetd(c, dir, n) }, "agents"}
	}
	if c.other != "" {
		other := c
		other.fleetd = c.other
		return []contender{build("other fleetd", other), build("fleetd", c)}
	}
	return []contender{
		{"plain grpc-go", preparePlain, openPlain, "agents"},
		{"plain grpc-go, same store writes", preparePlain, openPlainStored, "agents"},
		{"NATS request, many replies", preparePlain, openNATS, "nats-agents"},
		build("fleetd", c),
	}
}

// rounds lets the contenders take turns.
func rounds(c config, field []contender, n int) (map[string][]sample, error) {
	samples := map[string][]sample{}
	dirs := map[string]string{}
	for _, v := range field {
		dir, err := os.MkdirTemp("", "bandfleet-bench-")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		dirs[v.name] = dir
		if err := v.prepare(dir, n); err != nil {
			return nil, fmt.Errorf("%s with %d agents: %w", v.name, n, err)
		}
	}
	for round := range c.rounds {
		for _, v := range field {
			fmt.Fprintf(os.Stderr, "%d agents, round %d: %s\n", n, round+1, v.name)
			s, err := measure(v, dirs[v.name], n, c.jobs)
			if err != nil {
				return nil, fmt.Errorf("%s with %d agents: %w", v.name, n, err)
			}
			samples[v.name] = append(samples[v.name], s)
		}
	}
	return samples, nil
}

// measure connects n agents to a server and runs jobs on all.
func measure(v contender, dir string, n, jobs int) (sample, error) {
	r, err := v.open(dir, n)
	if err != nil {
		return sample{}, err
	}
	defer r.close()
	empty, err := r.server.Memory()
	if err != nil {
		return sample{}, err
	}
	agents, err := child.Self(v.agents, dir, r.addr)
	if err != nil {
		return sample{}, err
	}
	// What is measured is the server.
	defer func() { _ = agents.Kill() }()
	line, err := agents.Line()
	if err != nil {
		return sample{}, err
	}
	took, err := child.ParseNumbers(line, 1)
	if err != nil {
		return sample{}, err
	}
	idle, err := r.server.Memory()
	if err != nil {
		return sample{}, err
	}
	s := sample{connectsPerSecond: float64(n) / took[0], idleKB: (idle.Resident - empty.Resident) / float64(n)}
	for i := range jobs + 1 {
		j, err := measureJob(r, agents)
		if err != nil {
			return sample{}, err
		}
		if i > 0 {
			s.jobs = append(s.jobs, j)
		}
	}
	busy, err := r.server.Memory()
	s.busyKB, s.ownKB = (busy.Resident-empty.Resident)/float64(n), (busy.Own-empty.Own)/float64(n)
	return s, err
}

func measureJob(r *rig, agents *child.Child) (jobSample, error) {
	before, err := r.server.CPU()
	if err != nil {
		return jobSample{}, err
	}
	begun := time.Now()
	if err := r.job(); err != nil {
		return jobSample{}, err
	}
	took := time.Since(begun)
	after, err := r.server.CPU()
	if err != nil {
		return jobSample{}, err
	}
	tasks, err := agents.Numbers(fmt.Sprintf("latencies %d", begun.UnixNano()), 2)
	if err != nil {
		return jobSample{}, err
	}
	return jobSample{whole: milliseconds(took), p50: tasks[0], p99: tasks[1], cpu: milliseconds(after - before)}, nil
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// summary is the medians of a contender's samples.
type summary struct {
	connectsPerSecond, idleKB, busyKB, ownKB float64
	job                                      jobSample
}

func summarise(samples []sample) summary {
	pick := func(figure func(sample) float64) float64 {
		var all []float64
		for _, s := range samples {
			all = append(all, figure(s))
		}
		return figures.Median(all)
	}
	pickJob := func(figure func(jobSample) float64) float64 {
		var all []float64
		for _, s := range samples {
			for _, j := range s.jobs {
				all = append(all, figure(j))
			}
		}
		return figures.Median(all)
	}
	return summary{
		connectsPerSecond: pick(func(s sample) float64 { return s.connectsPerSecond }),
		idleKB:            pick(func(s sample) float64 { return s.idleKB }),
		busyKB:            pick(func(s sample) float64 { return s.busyKB }),
		ownKB:             pick(func(s sample) float64 { return s.ownKB }),
		job: jobSample{
			whole: pickJob(func(j jobSample) float64 { return j.whole }),
			p50:   pickJob(func(j jobSample) float64 { return j.p50 }),
			p99:   pickJob(func(j jobSample) float64 { return j.p99 }),
			cpu:   pickJob(func(j jobSample) float64 { return j.cpu }),
		},
	}
}

// tell adds a contender's row.
func tell(t *figures.Table, n int, name string, samples []sample) summary {
	s := summarise(samples)
	t.Row(n, name, s.connectsPerSecond, s.idleKB, s.busyKB, s.ownKB, s.job.whole, s.job.p50, s.job.p99, s.job.cpu, float64(n)*1000/s.job.whole)
	return s
}

// ratio adds the row of fleetd's figures divided by another's.
func ratio(t *figures.Table, own, other summary, name string) {
	t.Row("", "fleetd / "+name, own.connectsPerSecond/other.connectsPerSecond, own.idleKB/other.idleKB, own.busyKB/other.busyKB, own.ownKB/other.ownKB,
		own.job.whole/other.job.whole, own.job.p50/other.job.p50, own.job.p99/other.job.p99, own.job.cpu/other.job.cpu, other.job.whole/own.job.whole)
}

// profileOf is the file for the profile of a part.
func (c config) profileOf(name string) string { return filepath.Join(c.profile, name+".pprof") }
