package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	succeeded = actionv1.TaskStatus_TASK_STATUS_SUCCEEDED
	failed    = actionv1.TaskStatus_TASK_STATUS_FAILED
	unknown   = actionv1.TaskStatus_TASK_STATUS_UNKNOWN
	cancelled = actionv1.TaskStatus_TASK_STATUS_CANCELLED
)

// crashPoint is one row of the crash table: who dies where, what happens meanwhile, and what must come of it.
type crashPoint struct {
	// server or agent is the kill point at which that program dies.
	server, agent string
	// action is one-shot, repeatable or probe, which is the usual one.
	action string
	// arrange is done to the machine first, and meanwhile what happens while the program is dead.
	arrange, meanwhile func(c *crash)
	want               actionv1.TaskStatus
	// begun is how often the action began to do something, as it says itself.
	begun int
	// starts is how often the machine started the service after it was made.
	starts int
}

// crashPoints are the rows of the crash table that begin with the death of a program, by name.
func crashPoints() map[string]crashPoint {
	const oneShot, repeatable = "one-shot", "repeatable"
	hangs := func(c *crash) { c.agent.set("hang-on-stop") }
	// The service, which hangs, is gone when the agent is back: only then it can be told that it was stopped.
	ended := func(c *crash) { c.agent.set("stopped"); c.agent.set("normal") }
	cancel := func(c *crash) { c.fleet.mustCtl("job", "cancel", c.job()) }
	return map[string]crashPoint{
		"server before it commits the job":        {server: "before commit of job", want: succeeded, begun: 1, starts: 1},
		"server after it commits the job":         {server: "after commit of job", want: succeeded, begun: 1, starts: 1},
		"server before it commits the permit":     {server: "before commit of permit", want: succeeded, begun: 1, starts: 1},
		"server after commit, before send":        {server: "after commit of permit", want: succeeded, begun: 1, starts: 1},
		"server on the way to send":               {server: "before sending task", want: succeeded, begun: 1, starts: 1},
		"server after send, before noting it":     {server: "told of start", want: succeeded, begun: 1, starts: 1},
		"server with a result in its hands":       {server: "told of result", want: succeeded, begun: 1, starts: 1},
		"server before it commits the result":     {server: "before commit of result", want: succeeded, begun: 1, starts: 1},
		"server committed, ack lost":              {server: "after commit of result", want: succeeded, begun: 1, starts: 1},
		"server committed, ack lost, one-shot":    {server: "after commit of result", action: oneShot, want: succeeded, begun: 1, starts: 1},
		"agent before ACCEPTED":                   {agent: "before accept", want: succeeded, begun: 1, starts: 1},
		"agent ACCEPTED, nobody told":             {agent: "after accept", want: succeeded, begun: 1, starts: 1},
		"agent ACCEPTED, not STARTED":             {agent: "before start", want: succeeded, begun: 1, starts: 1},
		"agent ACCEPTED, cancelled meanwhile":     {agent: "before start", meanwhile: cancel, want: cancelled},
		"agent STARTED, cancelled meanwhile":      {agent: "before intent", meanwhile: cancel, want: failed, begun: 1},
		"agent STARTED, repeatable, cancelled":    {agent: "after deed", action: repeatable, meanwhile: cancel, want: succeeded, begun: 2, starts: 2},
		"agent STARTED, nobody told":              {agent: "after start", want: failed},
		"agent STARTED, nobody told, repeatable":  {agent: "after start", action: repeatable, want: succeeded, begun: 1, starts: 1},
		"agent STARTED, nobody told, one-shot":    {agent: "after start", action: oneShot, want: failed},
		"agent before the deed":                   {agent: "before deed", want: failed, begun: 1},
		"agent before the deed, repeatable":       {agent: "before deed", action: repeatable, want: succeeded, begun: 2, starts: 1},
		"agent before the deed, one-shot":         {agent: "before deed", action: oneShot, want: unknown, begun: 1},
		"agent in the deed":                       {agent: "during deed", arrange: hangs, meanwhile: ended, want: succeeded, begun: 1, starts: 1},
		"agent in the deed, repeatable":           {agent: "during deed", action: repeatable, arrange: hangs, meanwhile: ended, want: succeeded, begun: 2, starts: 2},
		"agent in the deed, one-shot":             {agent: "during deed", action: oneShot, arrange: hangs, meanwhile: ended, want: unknown, begun: 1, starts: 1},
		"agent after the deed":                    {agent: "after deed", want: succeeded, begun: 1, starts: 1},
		"agent after the deed, repeatable":        {agent: "after deed", action: repeatable, want: succeeded, begun: 2, starts: 2},
		"agent after the deed, one-shot":          {agent: "after deed", action: oneShot, want: unknown, begun: 1, starts: 1},
		"agent before RESULT":                     {agent: "before finish", want: succeeded, begun: 1, starts: 1},
		"agent before RESULT, one-shot":           {agent: "before finish", action: oneShot, want: unknown, begun: 1, starts: 1},
		"agent RESULT journalled, unsent":         {agent: "after finish", want: succeeded, begun: 1, starts: 1},
		"agent acknowledged, not noted":           {agent: "before acknowledge", want: succeeded, begun: 1, starts: 1},
		"agent acknowledged, not noted, one-shot": {agent: "before acknowledge", action: oneShot, want: succeeded, begun: 1, starts: 1},
	}
}

// TestCrashPoints kills the server or the agent at exactly the point that a row of the crash table names, and lets it come back.
// The operator's command waits all the while. In the end there is one job, one attempt, one result, one audit record of it; the
// action was begun and the service was started as often as the row says, by their own records; and the service runs.
func TestCrashPoints(t *testing.T) {
	for name, p := range crashPoints() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrash(t, p.server, p.agent)
			if p.arrange != nil {
				p.arrange(c)
			}
			fix := startCommand(t, c.fixCommand(p.action))
			c.awaitDeath()
			if p.meanwhile != nil {
				p.meanwhile(c)
			}
			c.revive()
			code := fix.awaitExit()
			if ok := code == 0; ok != (p.want == succeeded) {
				t.Errorf("fix ended with exit code %d; the task's status is to be %v\n%s", code, p.want, fix.log)
			}
			c.check(p)
		})
	}
}

// crash is a fleet of one terminal in which a program is to die.
type crash struct {
	t      *testing.T
	fleet  *fleet
	agent  *agent
	victim func() *process
	// records is where the action counts.
	records string
}

func newCrash(t *testing.T, serverDiesAt, agentDiesAt string) *crash {
	t.Helper()
	c := &crash{t: t, fleet: startMortalFleet(t, serverDiesAt), records: t.TempDir()}
	c.fleet.mustCtl("site", "add", "lyon")
	c.agent = c.fleet.newAgent("lyon", "line-1")
	c.victim = func() *process { return c.fleet.server }
	if agentDiesAt != "" {
		c.victim = func() *process { return c.agent.process }
		c.agent.stop()
		c.agent.killAt = agentDiesAt
		c.agent.start()
		c.fleet.awaitOnline("line-1")
	}
	return c
}

// stop ends the agent as a service manager would.
func (a *agent) stop() {
	a.process.signal(syscall.SIGTERM)
	a.process.awaitExit()
}

// fixCommand is the operator's command; empty is an action of kind probe.
func (c *crash) fixCommand(kind string) *exec.Cmd {
	if kind == "" {
		kind = "probe"
	}
	return c.fleet.ctlCommand("fix", "fault-"+kind, "--site", "lyon", "--yes", "--param", "tag=only", "--param", "record="+c.records)
}

// awaitDeath waits until the victim has died by its own hand.
func (c *crash) awaitDeath() {
	c.t.Helper()
	victim := c.victim()
	victim.awaitExit()
	status, ok := victim.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		c.t.Fatalf("the program ended with %v, want that it was killed at its point\n%s", victim.cmd.ProcessState, victim.log)
	}
}

// revive starts the victim again, which does not die any more.
func (c *crash) revive() {
	if c.fleet.killAt != "" {
		c.fleet.killAt = ""
		c.fleet.start()
		return
	}
	c.agent.killAt = ""
	c.agent.start()
}

// job is the one job.
func (c *crash) job() string {
	c.t.Helper()
	var list fleetv1.ListJobsResponse
	unmarshal(c.t, c.fleet.mustCtl("get", "jobs", "-o", "json"), &list)
	if len(list.GetJobs()) != 1 {
		c.t.Fatalf("%d jobs, want the one that was asked for once: %v", len(list.GetJobs()), list.GetJobs())
	}
	return list.GetJobs()[0].GetId()
}

func (c *crash) check(p crashPoint) {
	c.t.Helper()
	job := c.job()
	task := c.fleet.awaitTask(job)
	wantOneAttempt(c.t, task)
	if task.GetStatus() != p.want {
		c.t.Errorf("status %v (%s), want %v", task.GetStatus(), task.GetResult().GetReason(), p.want)
	}
	eventually(c.t, "the endpoint runs: nothing may be left stopped", func() bool { return c.agent.endpoint().Status == "running" })
	c.checkRecords(p)
	c.checkAudit(task)
}

// checkRecords compares with what the action and the machine have written themselves.
func (c *crash) checkRecords(p crashPoint) {
	c.t.Helper()
	if n := len(begun(c.t, c.records, "line-1")); n != p.begun {
		c.t.Errorf("the action was begun %d times, want %d", n, p.begun)
	}
	// The first start is that of the machine's making.
	if n := len(c.agent.starts()) - 1; n != p.starts {
		c.t.Errorf("the machine started the service %d times, want %d", n, p.starts)
	}
}

// checkAudit stops the server, has its store checked from end to end and counts the audit records of the task's result.
func (c *crash) checkAudit(task *fleetv1.Task) {
	c.t.Helper()
	c.fleet.server.signal(syscall.SIGTERM)
	c.fleet.server.awaitExit()
	mustRun(c.t, program("fleetd"), "check", "--data-dir", c.fleet.dataDir)
	name := "task/" + task.GetJobId() + "/" + task.GetTerminalId() + "/1"
	if n := auditedChanges(c.t, c.fleet.dataDir)[name]; n != 1 {
		c.t.Errorf("%d audit records change %s, want 1: a result is recorded once", n, name)
	}
}

// begun reads the tags that a terminal's action wrote when it began, one for each time.
func begun(t testing.TB, records, terminal string) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(records, terminal))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var tags []string
	for line := range strings.Lines(string(content)) {
		tag, _, _ := strings.Cut(line, " ")
		tags = append(tags, tag)
	}
	return tags
}

// starts reads from the endpoint's own log when it was started.
func (a *agent) starts() []time.Time {
	a.t.Helper()
	content, err := os.ReadFile(filepath.Join(a.machine, "services", "NymiBluetoothEndpoint", "output.log"))
	if err != nil {
		a.t.Fatal(err)
	}
	var starts []time.Time
	for line := range strings.Lines(string(content)) {
		at, what, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(what, "runs as process") {
			continue
		}
		parsed, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			a.t.Fatalf("the endpoint's log: %v", err)
		}
		starts = append(starts, parsed)
	}
	return starts
}

// auditedChanges counts, in the store of a stopped server, the audit records that change each name.
func auditedChanges(t testing.TB, dataDir string) map[string]int {
	t.Helper()
	st, err := store.OpenReadOnly(filepath.Join(dataDir, "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	changes := make(map[string]int)
	err = st.View(context.Background(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, value []byte) bool {
			rec := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, rec); err != nil {
				t.Error(err)
			}
			for _, change := range rec.GetChanges() {
				changes[change.GetName()]++
			}
			return true
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return changes
}
