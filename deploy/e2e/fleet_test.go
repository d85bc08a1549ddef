package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// longEnough bounds every wait for something that will happen; a busy machine needs more than an idle one.
	longEnough = 2 * time.Minute
	endpoint   = "Nymi Bluetooth Endpoint"
)

// fleet is a running server and the administrator's access to it.
type fleet struct {
	t       testing.TB
	dataDir string
	addr    string
	server  *process
	// agents are those that a script has made, by name.
	agents map[string]*agent
	// build is where the programs are from; the zero value is what people run.
	build buildOf
	// killAt is the kill point at which the server dies, empty for none.
	killAt string
	// env is what its environment has besides.
	env []string
	// under is the command that the program is run by, nil for none.
	under []string
}

// startFleet starts a server on a free port of host and waits until it answers.
func startFleet(t testing.TB, host string) *fleet {
	t.Helper()
	f := &fleet{t: t, dataDir: filepath.Join(t.TempDir(), "server"), addr: freeAddress(t, host)}
	f.start()
	return f
}

// start starts the server, again if it was stopped: same data, same address.
func (f *fleet) start() {
	f.t.Helper()
	cmd := under(f.under, f.build.program("fleetd"), "serve", "--data-dir", f.dataDir, "--listen", f.addr)
	cmd.Env = dyingAt(f.killAt, f.env...)
	f.server = startCommand(f.t, cmd)
	eventually(f.t, "fleetd answers", func() bool {
		f.server.mustRun()
		_, err := os.Stat(f.context())
		return err == nil && f.ctl("whoami").code == 0
	})
}

// context is the administrator's context file.
func (f *fleet) context() string { return filepath.Join(f.dataDir, "admin.yaml") }

// outcome is what came of a program that ran to its end.
type outcome struct {
	stdout, stderr string
	code           int
}

func (o outcome) String() string { return "exit code " + itoa(o.code) + "\n" + o.stdout + o.stderr }

// ctl runs fleetctl as the administrator.
func (f *fleet) ctl(args ...string) outcome {
	return runProgram(f.t, f.ctlCommand(args...))
}

func (f *fleet) ctlCommand(args ...string) *exec.Cmd {
	return exec.Command(program("fleetctl"), append([]string{"--config", f.context()}, args...)...)
}

// mustCtl runs fleetctl, which must succeed, and returns what it printed.
func (f *fleet) mustCtl(args ...string) string {
	f.t.Helper()
	o := f.ctl(args...)
	if o.code != 0 {
		f.t.Fatalf("fleetctl %s: %v", strings.Join(args, " "), o)
	}
	return o.stdout
}

// Roles of terminals.
const roleTerminal, roleNESHost = "user-terminal", "nes-host"

// token makes an enrolment token for user terminals.
func (f *fleet) token(site string) string {
	f.t.Helper()
	return f.tokenFor(site, roleTerminal)
}

// tokenFor makes an enrolment token for terminals of a role.
func (f *fleet) tokenFor(site, role string) string {
	f.t.Helper()
	return strings.TrimSpace(f.mustCtl("token", "create", "--site", site, "--role", role, "--uses", "10", "--ttl", "1h", "-o", "name"))
}

// fix starts a job without waiting and returns its id.
func (f *fleet) fix(args ...string) string {
	f.t.Helper()
	out := f.mustCtl(append([]string{"fix", "--yes", "--no-wait", "-o", "name"}, args...)...)
	id := strings.TrimSpace(out)
	return id[strings.LastIndex(id, "/")+1:]
}

// job reads a job.
func (f *fleet) job(id string) *fleetv1.Job {
	f.t.Helper()
	return f.show(id).GetJob()
}

// tasks reads a job's tasks.
func (f *fleet) tasks(job string) []*fleetv1.Task {
	f.t.Helper()
	return f.show(job).GetTasks()
}

func (f *fleet) show(job string) *fleetv1.WatchJobResponse {
	f.t.Helper()
	shown := &fleetv1.WatchJobResponse{}
	unmarshal(f.t, f.mustCtl("job", "show", job, "-o", "json"), shown)
	return shown
}

// onlyTask reads the task of a job with one target.
func (f *fleet) onlyTask(job string) *fleetv1.Task {
	f.t.Helper()
	tasks := f.tasks(job)
	if len(tasks) != 1 {
		f.t.Fatalf("job %s has %d tasks, want 1: each target is accounted for once", job, len(tasks))
	}
	return tasks[0]
}

// awaitTask waits for the end of the only task.
func (f *fleet) awaitTask(job string) *fleetv1.Task {
	f.t.Helper()
	var task *fleetv1.Task
	eventually(f.t, "job "+job+" has its result", func() bool {
		task = f.onlyTask(job)
		return task.GetState() == fleetv1.TaskState_TASK_STATE_DONE
	})
	return task
}

// awaitOnline waits until a terminal is connected.
func (f *fleet) awaitOnline(terminal string) {
	f.t.Helper()
	eventually(f.t, "terminal "+terminal+" is online", func() bool { return f.online(terminal) })
}

// awaitOffline waits until the server has noticed that a terminal is not connected.
func (f *fleet) awaitOffline(terminal string) {
	f.t.Helper()
	eventually(f.t, "terminal "+terminal+" is offline", func() bool { return f.isThere(terminal, "not online") })
}

// online says whether the server says that a terminal is connected.
func (f *fleet) online(terminal string) bool { return f.isThere(terminal, "online") }

// isThere reports whether a terminal is known and fits an expression.
func (f *fleet) isThere(terminal, expression string) bool {
	o := f.ctl("get", "terminals", "-s", expression, "-o", "name")
	return o.code == 0 && slices.Contains(strings.Fields(o.stdout), terminal)
}

// agent is an enrolled agent on a simulated terminal.
type agent struct {
	t       testing.TB
	name    string
	dataDir string
	machine string
	// role is roleNESHost, or empty for a user terminal.
	role    string
	process *process
	build   buildOf
	// flags are further settings that it runs with.
	flags []string
	// killAt is the kill point at which the agent dies, empty for none.
	killAt string
	// under is the command that the program is run by, nil for none.
	under []string
}

// newAgent makes a simulated terminal, enrols it, starts its agent and waits until it is online.
func (f *fleet) newAgent(site, name string) *agent {
	f.t.Helper()
	return f.newAgentWith(site, name, "plugins")
}

// newAgentWith is newAgent with the plugins of a folder beside the programs.
func (f *fleet) newAgentWith(site, name, plugins string) *agent {
	f.t.Helper()
	return f.newMachineWith(site, name, plugins, roleTerminal)
}

// newMachineWith is newAgentWith on a machine of a role. A NES host calls itself NAME.example.
func (f *fleet) newMachineWith(site, name, plugins, role string) *agent {
	f.t.Helper()
	dir := f.t.TempDir()
	a := &agent{t: f.t, name: name, dataDir: filepath.Join(dir, "agent"), machine: filepath.Join(dir, "machine"), build: f.build, role: role}
	initArgs := []string{"sim", "init", a.machine, "--role", role}
	if role == roleNESHost {
		initArgs = append(initArgs, "--hostname", name+".example")
	}
	mustRun(f.t, program("fleet-agent"), initArgs...)
	f.t.Cleanup(func() { mustRun(f.t, program("fleet-agent"), "sim", "stop", a.machine) })
	f.enrol(a, f.addr, site, plugins)
	a.start()
	f.awaitOnline(name)
	return a
}

// enrol lets an agent in, which finds its server at an address and its plugins in a folder beside the programs.
func (f *fleet) enrol(a *agent, server, site, plugins string) {
	f.t.Helper()
	mustRun(f.t, program("fleet-agent"), "enroll", "--data-dir", a.dataDir, "--server", server, "--token", f.tokenFor(site, cmp.Or(a.role, roleTerminal)),
		"--plugins", f.build.program(plugins), "--name", a.name, "--host", "sim:"+a.machine)
}

func (a *agent) start() {
	a.t.Helper()
	run := []string{"run", "--data-dir", a.dataDir, "--host", "sim:" + a.machine}
	cmd := under(a.under, a.build.program("fleet-agent"), append(run, a.flags...)...)
	cmd.Env = dyingAt(a.killAt)
	a.process = startCommand(a.t, cmd)
}

// set changes the simulated endpoint.
func (a *agent) set(behaviour string) {
	a.t.Helper()
	mustRun(a.t, program("fleet-agent"), "sim", "set", a.machine, "service", endpoint, behaviour)
}

// simService is what `sim show` says of a service.
type simService struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	PID    int    `json:"pid"`
}

// endpoint reads the simulated endpoint.
func (a *agent) endpoint() simService {
	a.t.Helper()
	var shown struct {
		Services []simService `json:"services"`
	}
	out := mustRun(a.t, program("fleet-agent"), "sim", "show", a.machine)
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		a.t.Fatalf("sim show: %v in %s", err, out)
	}
	for _, s := range shown.Services {
		if s.Name == endpoint {
			return s
		}
	}
	a.t.Fatalf("sim show has no %q: %s", endpoint, out)
	return simService{}
}

// taken are the ports that this process has given out: a server that is killed comes back to its own.
var taken sync.Map

// freeAddress picks a port below those that the system gives to outgoing connections, and to listeners that name none: one of them could
// take it while the server that it is for is down.
func freeAddress(t testing.TB, host string) string {
	t.Helper()
	const lowest, count, attempts = 10000, 10000, 100
	for range attempts {
		addr := net.JoinHostPort(host, strconv.Itoa(lowest+rand.N(count)))
		if _, given := taken.LoadOrStore(addr, true); given {
			continue
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatalf("found no free port of %d to %d", lowest, lowest+count-1)
	return ""
}

func unmarshal(t testing.TB, text string, m proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("output is not the protojson of %s: %v\n%s", m.ProtoReflect().Descriptor().FullName(), err, text)
	}
}

// runProgram runs a program to its end.
func runProgram(t testing.TB, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// mustRun runs a program, which must succeed, and returns what it printed.
func mustRun(t testing.TB, path string, args ...string) string {
	t.Helper()
	o := runProgram(t, exec.Command(path, args...))
	if o.code != 0 {
		t.Fatalf("%s %s: %v", filepath.Base(path), strings.Join(args, " "), o)
	}
	return o.stdout
}
