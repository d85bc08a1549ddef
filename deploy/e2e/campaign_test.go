package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/deploy/faults"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// What a campaign is when nobody says otherwise. `make campaign COUNT=N SEED=S` does, over the environment.
const (
	campaignRounds = 8
	campaignSeed   = 20260301
	campaignAgents = 6
)

// minKills is how many kills of each side, per round, a campaign must have seen: one that kills nobody shows nothing.
const minKills = 5

// TestCampaign plays rounds of jobs under faults on a fleet of real programs: the server and agents are killed, lines hold back,
// stall, trickle and are reset, while jobs are asked for and cancelled. After each round everything is whole again, and within
// two minutes every job must be done and agree with what the client, the action and the machines have noted themselves.
// The seed decides what is done and in which order; when exactly it meets the programs is up to the machine.
func TestCampaign(t *testing.T) {
	t.Parallel()
	rounds, seed := int(setting(t, "CAMPAIGN_ROUNDS", campaignRounds)), setting(t, "CAMPAIGN_SEED", campaignSeed)
	t.Logf("seed %d, %d rounds; again: make campaign COUNT=%d SEED=%d", seed, rounds, rounds, seed)
	c := newCampaign(t, seed)
	for n := range rounds {
		c.round(n)
		if t.Failed() {
			t.Fatalf("round %d of seed %d; again: make campaign COUNT=%d SEED=%d\n%s", n, seed, n+1, seed, c.story())
		}
	}
	c.checkAtRest()
	t.Logf("%d kills of the server, %d of agents; %d tasks interrupted, %d jobs paused, %d approved; %v",
		c.serverKills, c.agentKills, c.interrupted, c.pauses.Load(), c.approvals.Load(), c.statuses)
	if least := minKills * rounds; c.serverKills < least || c.agentKills < least {
		t.Errorf("%d kills of the server and %d of agents, want at least %d of each", c.serverKills, c.agentKills, least)
	}
	if c.statuses[succeeded] == 0 || c.interrupted == 0 || c.pauses.Load() == 0 || c.approvals.Load() == 0 {
		t.Errorf("%d tasks succeeded, %d were interrupted; %d jobs were paused and %d approved: a campaign that meets nobody at work shows nothing",
			c.statuses[succeeded], c.interrupted, c.pauses.Load(), c.approvals.Load())
	}
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		t.Fatalf("%s is %q, want a number above zero", name, text)
	}
	return n
}

// campaign is a fleet under faults, and what the client has noted.
type campaign struct {
	ledger
	fleet   *fleet
	random  *rand.Rand
	members []*member
	// going counts the calls that are being made.
	going sync.WaitGroup

	// paused are the jobs that were paused in this round.
	paused []string
	// pauses counts those that were taken.
	pauses atomic.Int32

	serverKills, agentKills int
	steps                   []string
}

// member is an agent behind a line of its own.
type member struct {
	*agent
	line *faults.Line
}

func newCampaign(t *testing.T, seed uint64) *campaign {
	t.Helper()
	b, err := mortal()
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, "127.0.0.1"), build: buildOf{}}
	f.start()
	f.mustCtl("site", "add", "lyon")
	c := &campaign{fleet: f, random: rand.New(rand.NewPCG(seed, seed))}
	approver := filepath.Join(t.TempDir(), "bob.yaml")
	f.mustCtl("operator", "create", "bob", "--role", "approver", "--site", "lyon", "--out", approver)
	c.ledger = ledger{t: t, records: t.TempDir(), api: dialOperator(t, f.context()), approver: dialOperator(t, approver)}
	for n := range campaignAgents {
		c.members = append(c.members, newMember(f, b, fmt.Sprintf("line-%d", n+1)))
	}
	return c
}

// newMember enrols an agent, whose server is at the end of the line. Its plugins are those that count; its program is what
// people run.
func newMember(f *fleet, plugins buildOf, name string) *member {
	f.t.Helper()
	dir := f.t.TempDir()
	a := &agent{t: f.t, name: name, dataDir: filepath.Join(dir, "agent"), machine: filepath.Join(dir, "machine")}
	mustRun(f.t, program("fleet-agent"), "sim", "init", a.machine)
	f.t.Cleanup(func() { mustRun(f.t, program("fleet-agent"), "sim", "stop", a.machine) })
	line, err := faults.NewLine(f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = line.Close() })
	mustRun(f.t, program("fleet-agent"), "enroll", "--data-dir", a.dataDir, "--server", line.Addr(), "--token", f.token("lyon"),
		"--plugins", plugins.program("plugins"), "--name", a.name, "--host", "sim:"+a.machine)
	a.start()
	f.awaitOnline(name)
	return &member{a, line}
}

func dialOperator(t *testing.T, contextFile string) *client.Client {
	t.Helper()
	access, err := identity.ReadContext(contextFile)
	if err != nil {
		t.Fatal(err)
	}
	api, err := client.Dial(access, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api
}

// round asks for jobs, does harm, mends everything, and compares.
func (c *campaign) round(n int) {
	c.note("round %d", n)
	steps := []func(){
		c.killServer, c.killServer, c.killServer, c.killServer, c.killServer, c.killAgents, c.killAgents,
		c.spoilLine, c.spoilLine, c.spoilLine, c.cancel, c.pauseJob, c.pauseJob, c.ask, c.ask,
	}
	c.random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	for range 3 {
		c.ask()
	}
	for _, step := range steps {
		step()
		c.pause()
	}
	c.mend()
	c.going.Wait()
	c.resume()
	c.awaitDone()
	c.check(c.members)
}

// pause lets the programs go on for a time that the seed decides, so that the next step meets them somewhere else.
func (c *campaign) pause() { time.Sleep(time.Duration(c.random.IntN(400)) * time.Millisecond) }

func (c *campaign) note(format string, args ...any) {
	c.steps = append(c.steps, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// story is what was done in the latest rounds.
func (c *campaign) story() string {
	story := ""
	for _, step := range c.steps[max(0, len(c.steps)-40):] {
		story += step + "\n"
	}
	return story
}

// ask asks for a job on some terminals or all. The answer is awaited beside everything else.
func (c *campaign) ask() {
	kinds := []string{"one-shot", "repeatable", "probe"}
	a := &asked{tag: fmt.Sprintf("job-%d", len(c.jobs)), kind: kinds[c.random.IntN(len(kinds))]}
	for _, m := range c.members {
		if c.random.IntN(3) > 0 {
			a.targets = append(a.targets, m.name)
		}
	}
	if len(a.targets) == 0 {
		a.targets = []string{c.members[0].name}
	}
	// Every third job may not start before somebody else has approved it.
	a.needsApproval = len(c.jobs)%3 == 2
	c.jobs = append(c.jobs, a)
	c.note("ask for %s, %s on %v", a.tag, a.kind, a.targets)
	c.going.Go(func() {
		c.create(a)
		c.approve(a)
	})
}

// cancel takes back one of the latest jobs, if the server has acknowledged it.
func (c *campaign) cancel() {
	a := c.latest()
	id := a.acknowledged()
	c.note("cancel %s (%s)", a.tag, id)
	if id == "" {
		return
	}
	c.going.Go(func() {
		c.insist("cancel "+id, func(ctx context.Context) error {
			_, err := c.api.Jobs.CancelJob(ctx, &fleetv1.CancelJobRequest{Id: id})
			return err
		})
	})
}

// latest is one of the latest jobs.
func (c *campaign) latest() *asked {
	const latest = 3
	return c.jobs[len(c.jobs)-1-c.random.IntN(latest)]
}

// pauseJob pauses one of the latest jobs, if the server has acknowledged it and it is not over by then.
func (c *campaign) pauseJob() {
	a := c.latest()
	id := a.acknowledged()
	c.note("pause %s (%s)", a.tag, id)
	if id == "" {
		return
	}
	c.paused = append(c.paused, id)
	c.going.Go(func() {
		c.insist("pause "+id, func(ctx context.Context) error {
			_, err := c.api.Jobs.PauseJob(ctx, &fleetv1.PauseJobRequest{Id: id})
			if err == nil {
				c.pauses.Add(1)
			}
			return unlessOver(err)
		})
	})
}

// resume lets every job go on that was paused.
func (c *campaign) resume() {
	for _, id := range c.paused {
		c.insist("resume "+id, func(ctx context.Context) error {
			_, err := c.api.Jobs.ResumeJob(ctx, &fleetv1.ResumeJobRequest{Id: id})
			return unlessOver(err)
		})
	}
	c.paused = nil
}

func (c *campaign) killServer() {
	c.note("kill the server")
	c.fleet.server.kill()
	c.serverKills++
	c.pause()
	c.fleet.start()
}

// killAgents kills one to three agents at a time, and lets them come back after a while.
func (c *campaign) killAgents() {
	victims := slices.Clone(c.members)
	c.random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	victims = victims[:1+c.random.IntN(3)]
	c.kill(victims)
	c.pause()
	for _, m := range victims {
		m.start()
	}
}

func (c *campaign) kill(victims []*member) {
	for _, m := range victims {
		c.note("kill the agent of %s", m.name)
		m.process.kill()
		c.agentKills++
	}
}

// spoilLine changes how one terminal reaches the server.
func (c *campaign) spoilLine() {
	modes := []faults.Mode{faults.Pass, faults.HoldUp, faults.HoldDown, faults.Stall, faults.Slow, faults.Reset}
	m, mode := c.members[c.random.IntN(len(c.members))], modes[c.random.IntN(len(modes))]
	c.note("line of %s: %v", m.name, mode)
	m.line.Set(mode)
}

// mend makes every line whole and starts every agent anew, so that none is still waiting for its next attempt to connect.
func (c *campaign) mend() {
	for _, m := range c.members {
		m.line.Set(faults.Pass)
	}
	c.kill(c.members)
	for _, m := range c.members {
		m.start()
	}
	c.note("mended")
}
