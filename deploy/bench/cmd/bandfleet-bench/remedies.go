package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/deploy/bench/child"
	"github.com/bandfleet/bandfleet/deploy/bench/figures"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// apart is the time between two services that end.
	apart = 2 * time.Second
	// repairPatience bounds one repair.
	repairPatience = 3 * time.Minute
)

// realAgent is an agent's process on a simulated machine whose services are processes.
type realAgent struct {
	program, dir, site string
	process            *child.Child
}

func (a *realAgent) machine() string { return filepath.Join(a.dir, "machine") }

// run runs the agent's program to its end.
func (a *realAgent) run(args ...string) error {
	if out, err := exec.Command(a.program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", a.program, strings.Join(args, " "), err, out)
	}
	return nil
}

// enrol makes the machine, healthy, and a site of its own, and enrols the agent there: what is found at one terminal must not keep the
// remedies of another.
func (a *realAgent) enrol(r *running) error {
	ctx := context.Background()
	if _, err := fleetv1.NewInventoryServiceClient(r.conn).CreateSite(ctx, &fleetv1.CreateSiteRequest{Name: a.site}); err != nil {
		return err
	}
	token, err := fleetv1.NewAccessServiceClient(r.conn).CreateToken(ctx, &fleetv1.CreateTokenRequest{
		Site: a.site, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: 1, Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		return err
	}
	return errors.Join(
		a.run("sim", "init", a.machine(), "--hostname", a.site+".example"),
		a.run("sim", "set", a.machine(), "usb-suspend", "off"),
		a.run("enroll", "--data-dir", filepath.Join(a.dir, "agent"), "--server", r.addr, "--token", token.GetText(), "--name", a.site,
			"--plugins", filepath.Join(filepath.Dir(a.program), "plugins"), "--host", "sim:"+a.machine()),
	)
}

func (a *realAgent) start() (err error) {
	a.process, err = child.Start(a.program, "run", "--data-dir", filepath.Join(a.dir, "agent"), "--log-level", "error")
	return err
}

func (a *realAgent) close() {
	if a.process != nil {
		_ = a.process.Stop()
	}
	_ = a.run("sim", "stop", a.machine())
}

// repair is one repair, in seconds since the service ended: until the fault was on the server, until its job was made, until the action
// began, until its own check had held, and until the detector had seen that the fault is gone. decide is from the second to the third.
type repair struct{ reported, decided, begun, verified, resolved, decide float64 }

// remedies measures repairs with everything that comes with the product: detectors, policies, plugins.
func remedies(c config) error {
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
	repairs := make([]repair, c.repaired)
	var all errgroup.Group
	for i := range repairs {
		a := &realAgent{program: filepath.Join(filepath.Dir(c.fleetd), "fleet-agent"), dir: filepath.Join(dir, fmt.Sprint(i)), site: fmt.Sprintf("bench-%d", i)}
		defer a.close()
		if err := errors.Join(a.enrol(r), a.start()); err != nil {
			return err
		}
		if err := r.awaitOrders(a.site); err != nil {
			return err
		}
		all.Go(func() (err error) {
			time.Sleep(time.Duration(c.repaired)*time.Second + time.Duration(i)*apart)
			repairs[i], err = r.repairOf(a)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	tellRepairs(repairs)
	return nil
}

func tellRepairs(repairs []repair) {
	table := figures.NewTable("seconds", "least", "median", "p95", "most")
	for _, row := range []struct {
		name string
		of   func(repair) float64
	}{
		{"service ended, until the server has the fault", func(r repair) float64 { return r.reported }},
		{"until the policy has made its job", func(r repair) float64 { return r.decided }},
		{"of it, from the fault on the server to the job", func(r repair) float64 { return r.decide }},
		{"until the action has begun", func(r repair) float64 { return r.begun }},
		{"until the repair is verified by its own check", func(r repair) float64 { return r.verified }},
		{"until the detector has seen that the fault is gone", func(r repair) float64 { return r.resolved }},
	} {
		var all []float64
		for _, one := range repairs {
			all = append(all, row.of(one))
		}
		table.Row(row.name, figures.Percentile(all, 0), figures.Median(all), figures.Percentile(all, 95), figures.Percentile(all, 100))
	}
	fmt.Printf("%d repairs\n\n", len(repairs))
	table.Write(os.Stdout)
}

// awaitOrders waits until a site's terminal is connected. Its orders come with the session.
func (o *operator) awaitOrders(site string) error {
	late := time.Now().Add(startPatience)
	for {
		page, err := fleetv1.NewInventoryServiceClient(o.conn).ListTerminals(context.Background(), &fleetv1.ListTerminalsRequest{
			Selection: &fleetv1.Selection{Sites: []string{site}},
		})
		if err != nil {
			return err
		}
		if all := page.GetTerminals(); len(all) == 1 && all[0].GetOnline() {
			return nil
		}
		if time.Now().After(late) {
			return fmt.Errorf("the terminal of site %s is not connected after %s", site, startPatience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// repairOf ends the service and waits until its fault is resolved.
func (o *operator) repairOf(a *realAgent) (repair, error) {
	ended := time.Now()
	if err := a.run("sim", "set", a.machine(), "service", host.EndpointService, "stopped"); err != nil {
		return repair{}, err
	}
	f, err := o.resolved(a.site, reportedEntry)
	if err != nil {
		return repair{}, err
	}
	id := strings.TrimPrefix(f.GetResolvedBy(), byJob)
	job, err := o.jobs.GetJob(context.Background(), &fleetv1.GetJobRequest{Id: id})
	if err != nil {
		return repair{}, err
	}
	tasks, err := o.jobs.ListTasks(context.Background(), &fleetv1.ListTasksRequest{JobId: id})
	if err != nil || len(tasks.GetTasks()) != 1 {
		return repair{}, fmt.Errorf("job %s has %d tasks, want 1: %w", id, len(tasks.GetTasks()), err)
	}
	since := func(t time.Time) float64 { return t.Sub(ended).Seconds() }
	task, opened := tasks.GetTasks()[0], f.GetHistory()[0].GetTime().AsTime()
	return repair{
		reported: since(opened), decided: since(job.GetJob().GetCreated().AsTime()), begun: since(task.GetStarted().AsTime()),
		verified: since(task.GetFinished().AsTime()), resolved: since(f.GetResolved().AsTime()),
		decide: job.GetJob().GetCreated().AsTime().Sub(opened).Seconds(),
	}, nil
}

// byJob begins what a fault says that a job has remedied. The detector mostly sees that it is gone before the job has verified it.
const byJob = "job "

// resolved waits until the one fault of an entry at a site is resolved, and its job done.
func (o *operator) resolved(site, entry string) (*fleetv1.Fault, error) {
	late := time.Now().Add(repairPatience)
	faults := fleetv1.NewFaultServiceClient(o.conn)
	done := []fleetv1.FaultState{fleetv1.FaultState_FAULT_STATE_RESOLVED}
	for {
		page, err := faults.ListFaults(context.Background(), &fleetv1.ListFaultsRequest{Site: site, Entry: entry, States: done})
		if err != nil {
			return nil, err
		}
		if len(page.GetFaults()) == 1 && strings.HasPrefix(page.GetFaults()[0].GetResolvedBy(), byJob) {
			got, err := faults.GetFault(context.Background(), &fleetv1.GetFaultRequest{Id: page.GetFaults()[0].GetId()})
			return got.GetFault(), err
		}
		if time.Now().After(late) {
			return nil, fmt.Errorf("fault %s of site %s is not resolved by a job after %s", entry, site, repairPatience)
		}
		time.Sleep(200 * time.Millisecond)
	}
}
