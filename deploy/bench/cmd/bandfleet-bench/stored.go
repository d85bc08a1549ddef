package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// storedJob is how many tasks each stored job has, and how many terminals there are.
	storedJob = 1000
	// filling is how many jobs run at a time while the store is filled.
	filling = 8
	// calls is how often each call is measured.
	calls = 300
	// creations is how often the creation of a job is measured; each leaves its tasks behind.
	creations = 30
)

// stored compares a server with many stored tasks with one that has few. Both run at the same time, and take turns call by call.
func stored(c config) error {
	dir, err := os.MkdirTemp("", "bandfleet-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	few, many := filepath.Join(dir, "few"), filepath.Join(dir, "many")
	if err := prepareFleetd(few, storedJob); err != nil {
		return err
	}
	if err := fill(c, few, c.stored[0]/storedJob); err != nil {
		return err
	}
	if err := copyFolder(few, many); err != nil {
		return err
	}
	if err := fill(c, many, (c.stored[1]-c.stored[0])/storedJob); err != nil {
		return err
	}
	var servers [2]*shelf
	for i, d := range []string{few, many} {
		begun := time.Now()
		r, err := serve(c, filepath.Join(d, serverFolder))
		if err != nil {
			return err
		}
		defer r.close()
		fmt.Fprintf(os.Stderr, "%d stored tasks: the server is there after %s\n", c.stored[i], time.Since(begun).Round(time.Millisecond))
		servers[i] = &shelf{running: r, chance: rand.New(rand.NewPCG(1, 1))}
		if err := servers[i].list(); err != nil {
			return err
		}
	}
	return compareCalls(c, servers)
}

// copyFolder copies files with their modes: a server does not start on a key that others can read.
func copyFolder(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, rest), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rest), content, 0o600)
	})
}

// fill runs jobs on all terminals until so many more are stored.
func fill(c config, dir string, jobs int) error {
	r, err := serve(c, filepath.Join(dir, serverFolder))
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
	var all errgroup.Group
	all.SetLimit(filling)
	for range jobs {
		all.Go(func() error { return r.runJob(benchAction, storedJob) })
	}
	return all.Wait()
}

// shelf is a server with stored jobs.
type shelf struct {
	*running
	ids    []string
	chance *rand.Rand
}

// list learns the ids of all jobs.
func (s *shelf) list() error {
	token := ""
	for {
		page, err := s.jobs.ListJobs(context.Background(), &fleetv1.ListJobsRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			return err
		}
		for _, j := range page.GetJobs() {
			s.ids = append(s.ids, j.GetId())
		}
		if token = page.GetNextPageToken(); token == "" {
			return nil
		}
	}
}

// any is one of the jobs by chance.
func (s *shelf) any() string { return s.ids[s.chance.IntN(len(s.ids))] }

// call is something that an operator does.
type call struct {
	name  string
	times int
	do    func(context.Context, *shelf) error
}

func operations() []call {
	return []call{
		{"list jobs (page of 10)", calls, func(ctx context.Context, s *shelf) error {
			page, err := s.jobs.ListJobs(ctx, &fleetv1.ListJobsRequest{PageSize: 10})
			return wantItems(len(page.GetJobs()), 10, err)
		}},
		{"get job", calls, func(ctx context.Context, s *shelf) error {
			_, err := s.jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: s.any()})
			return err
		}},
		{"list tasks (page of 100)", calls, func(ctx context.Context, s *shelf) error {
			page, err := s.jobs.ListTasks(ctx, &fleetv1.ListTasksRequest{JobId: s.any(), PageSize: 100})
			return wantItems(len(page.GetTasks()), 100, err)
		}},
		{"describe one task", calls, func(ctx context.Context, s *shelf) error {
			page, err := s.jobs.ListTasks(ctx, &fleetv1.ListTasksRequest{JobId: s.any(), Terminal: fmt.Sprintf("bench-%d", s.chance.IntN(storedJob))})
			return wantItems(len(page.GetTasks()), 1, err)
		}},
		{"overview of the fleet", calls, func(ctx context.Context, s *shelf) error {
			_, err := s.jobs.GetOverview(ctx, &fleetv1.GetOverviewRequest{})
			return err
		}},
		{fmt.Sprintf("create job (%d targets)", storedJob), creations, func(ctx context.Context, s *shelf) error {
			_, err := s.create(ctx, benchAction, nil)
			return err
		}},
	}
}

func wantItems(got, want int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d items came, want %d", got, want)
	}
	return err
}

func compareCalls(c config, servers [2]*shelf) error {
	table := figures.NewTable("call", fmt.Sprintf("ms with %d stored tasks", c.stored[0]), fmt.Sprintf("with %d", c.stored[1]), "ratio", "p95 ratio", "CPU ratio")
	for _, op := range operations() {
		took, cpu, err := op.measure(servers)
		if status.Code(err) == codes.Unimplemented {
			fmt.Fprintf(os.Stderr, "%s: this server does not have it\n", op.name)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
		few, many := figures.Median(took[0]), figures.Median(took[1])
		table.Row(op.name, few, many, many/few, figures.Percentile(took[1], 95)/figures.Percentile(took[0], 95), cpu[1]/cpu[0])
	}
	table.Write(os.Stdout)
	return nil
}

// measure does the call on both servers in turns, and returns how long each took in milliseconds and the processor time that
// each server needed for all of them. The first of each is not counted.
func (op call) measure(servers [2]*shelf) (took [2][]float64, cpu [2]float64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), jobPatience)
	defer cancel()
	for i := range op.times + 1 {
		for n, s := range servers {
			before, err := s.child.CPU()
			if err != nil {
				return took, cpu, err
			}
			begun := time.Now()
			if err := op.do(ctx, s); err != nil {
				return took, cpu, err
			}
			spent := time.Since(begun)
			after, err := s.child.CPU()
			if err != nil {
				return took, cpu, err
			}
			if i > 0 {
				took[n] = append(took[n], milliseconds(spent))
				cpu[n] += milliseconds(after - before)
			}
		}
	}
	return took, cpu, nil
}
