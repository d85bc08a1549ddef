package fleet_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/deploy/fleetsim/fleet"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server"
)

const site = "lyon"

// control is a server in this process with one site, and its administrator.
type control struct {
	t     *testing.T
	addr  string
	admin *grpc.ClientConn
}

func startServer(t *testing.T) *control {
	t.Helper()
	dir := t.TempDir()
	s, err := server.New(t.Context(), server.Config{DataDir: dir, Listen: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	access, err := identity.ReadContext(filepath.Join(dir, "admin.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := access.TLS()
	if err != nil {
		t.Fatal(err)
	}
	c := &control{t: t, addr: s.Addr()}
	if c.admin, err = grpc.NewClient(c.addr, grpc.WithTransportCredentials(credentials.NewTLS(config))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.admin.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	if _, err := fleetv1.NewInventoryServiceClient(c.admin).CreateSite(t.Context(), &fleetv1.CreateSiteRequest{Name: site}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *control) token(uses int) string {
	return c.tokenFor(site, fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, uses)
}

func (c *control) tokenFor(site string, role fleetv1.TerminalRole, uses int) string {
	c.t.Helper()
	made, err := fleetv1.NewAccessServiceClient(c.admin).CreateToken(c.t.Context(), &fleetv1.CreateTokenRequest{
		Site: site, Role: role, Uses: uint32(uses), Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return made.GetText()
}

// run starts a fleet. What it returns ends the fleet.
func (c *control) run(config fleet.Config) (*fleet.Fleet, func()) {
	c.t.Helper()
	f, err := fleet.Open(c.t.Context(), config)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	return f, func() {
		c.t.Helper()
		stop()
		if err := errors.Join(<-ended, f.Close()); err != nil {
			c.t.Errorf("the fleet ended with %v: an agent failed in a way that no script asks for", err)
		}
	}
}

// create makes a job over the whole site that starts everywhere at once, whatever fails.
func (c *control) create(action string, params map[string]string) string {
	c.t.Helper()
	all := &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: 100}}
	made, err := fleetv1.NewJobServiceClient(c.admin).CreateJob(c.t.Context(), &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{
		Action: action, Params: params, Selection: &fleetv1.Selection{Sites: []string{site}}, Reason: "test",
		Rollout: &fleetv1.Rollout{Waves: []*fleetv1.Amount{all}, MaxConcurrent: all, OnLimit: fleetv1.LimitAction_LIMIT_ACTION_CONTINUE},
	}})
	if err != nil {
		c.t.Fatal(err)
	}
	return made.GetJob().GetId()
}

// finish waits until a job is done.
func (c *control) finish(id string, f *fleet.Fleet) *fleetv1.Job {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 2*time.Minute)
	defer cancel()
	st, err := fleetv1.NewJobServiceClient(c.admin).WatchJob(ctx, &fleetv1.WatchJobRequest{Id: id})
	if err != nil {
		c.t.Fatal(err)
	}
	var job *fleetv1.Job
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return job
		}
		if err != nil {
			c.t.Fatalf("job %s: %v; counts %v; fleet: %s", id, err, job.GetCounts(), f.Counts())
		}
		job = m.GetJob()
	}
}

// Two hundred terminals, some of which fail or flap while their lines are cut, get one job: each is accounted for, and on none
// was anything started twice.
func TestAJobOverAFleetThatFailsFlapsAndIsCut(t *testing.T) {
	const agents = 200
	c := startServer(t)
	f, end := c.run(fleet.Config{
		Server: c.addr, Token: c.token(agents), Dir: t.TempDir(), Agents: agents, Seed: 7, Log: slog.New(slog.DiscardHandler),
		Script: fleet.Script{Latency: fleet.Latency{Least: 5 * time.Millisecond, Most: 300 * time.Millisecond}, Fail: 0.05, Flap: 0.1, Cut: 12},
	})
	job := c.finish(c.create(fleet.RestartAction, map[string]string{"stable_for": "2s"}), f)
	got, counts := f.Counts(), job.GetCounts()
	end()
	t.Logf("%s", got)
	if counts.GetTotal() != agents || counts.GetWaiting()+counts.GetRunning() != 0 {
		t.Errorf("counts are %v, want every one of %d targets with a result", counts, agents)
	}
	if accounted := counts.GetSucceeded() + counts.GetFailed() + counts.GetRolledBack() + counts.GetRollbackFailed(); accounted != agents {
		t.Errorf("counts are %v, want %d that succeeded, failed or were put back: every agent was there in the end", counts, agents)
	}
	if got.Started != agents || got.StartedTwice != 0 {
		t.Errorf("%d tasks were started, %d of them twice, want %d and none: a cut line must not start anything again", got.Started, got.StartedTwice, agents)
	}
	if got.Stops != agents {
		t.Errorf("%d services were stopped, want %d: one for each terminal", got.Stops, agents)
	}
	if got.Cuts == 0 || got.FailedStarts == 0 || got.Flaps == 0 {
		t.Errorf("the script did too little (%s): this test shows nothing then", got)
	}
	if int(counts.GetSucceeded()) == agents {
		t.Error("every target succeeded although starts failed and services died: that is a false success")
	}
}

// A fleet that is stopped and started again on its folder is the same fleet.
func TestAFleetComesBack(t *testing.T) {
	const agents = 10
	c := startServer(t)
	config := fleet.Config{Server: c.addr, Token: c.token(agents), Dir: t.TempDir(), Agents: agents, Log: slog.New(slog.DiscardHandler)}
	f, end := c.run(config)
	c.finish(c.create(fleet.CheckAction, nil), f)
	end()
	config.Token = ""
	f, end = c.run(config)
	defer end()
	job := c.finish(c.create(fleet.CheckAction, nil), f)
	if n := job.GetCounts(); n.GetTotal() != agents || n.GetNoChange() != agents {
		t.Errorf("counts are %v, want %d terminals, the same as before, each with nothing to change", n, agents)
	}
	if got := f.Counts(); got.Enrolled != 0 {
		t.Errorf("%d agents were enrolled again, want none", got.Enrolled)
	}
}

func TestOpenRefusesWhatMakesNoFleet(t *testing.T) {
	for name, config := range map[string]fleet.Config{
		"no agents":        {},
		"no token":         {Agents: 1, Server: "127.0.0.1:1"},
		"a bad token":      {Agents: 1, Server: "127.0.0.1:1", Token: "nonsense"},
		"a share above 1":  {Agents: 1, Script: fleet.Script{Fail: 1.1}},
		"a negative share": {Agents: 1, Script: fleet.Script{Flap: -0.1}},
		"too many cuts":    {Agents: 1, Script: fleet.Script{Cut: 601}},
		"a late latency":   {Agents: 1, Script: fleet.Script{Latency: fleet.Latency{Least: 2, Most: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			config.Dir, config.Log = t.TempDir(), slog.New(slog.DiscardHandler)
			f, err := fleet.Open(t.Context(), config)
			if err == nil {
				f.Close()
				t.Error("it was opened")
			}
		})
	}
}

func TestParseLatency(t *testing.T) {
	for text, want := range map[string]fleet.Latency{
		"50ms":    {Least: 50 * time.Millisecond, Most: 50 * time.Millisecond},
		"10ms-2s": {Least: 10 * time.Millisecond, Most: 2 * time.Second},
	} {
		if got, err := fleet.ParseLatency(text); err != nil || got != want {
			t.Errorf("latency %q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "fast", "2s-1s", "-1s", "1s-", "1s-2s-3s", "2m"} {
		if got, err := fleet.ParseLatency(text); err == nil {
			t.Errorf("latency %q is %v, want it refused", text, got)
		}
	}
}
