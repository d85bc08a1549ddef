package server

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// recorded is a message of a session that was recorded between programs of an earlier release.
type recorded struct {
	From    string          `json:"from"`
	Method  string          `json:"method"`
	Message json.RawMessage `json:"message"`
}

func readRecording(t *testing.T, name string) []recorded {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recorded
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var m recorded
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// replay plays an agent of an earlier release from its recording: what it sent is sent, with this fleet's keys and job ids, and what it was
// sent must come.
type replay struct {
	*running
	agent *agent
	// jobs are this fleet's jobs by the id that they had in the recording.
	asked   map[string]*fleetv1.Job
	results map[string]*agentv1.Result
	endOld  context.CancelFunc
}

func (m recorded) into(t *testing.T, to proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(m.Message, to); err != nil {
		t.Fatalf("a recorded message is not understood any more: %v\n%s", err, m.Message)
	}
}

func (p *replay) play(m recorded) {
	enrol := strings.HasSuffix(m.Method, "/Enroll")
	switch {
	case enrol && m.From == "agent":
		p.enrolAsRecorded(m)
	case enrol:
	case m.From == "agent":
		p.send(m)
	default:
		p.expect(m)
	}
}

func (p *replay) enrolAsRecorded(m recorded) {
	p.t.Helper()
	token, err := identity.ParseToken(p.token("lyon"))
	if err != nil {
		p.t.Fatal(err)
	}
	key, err := identity.GenerateKey()
	if err != nil {
		p.t.Fatal(err)
	}
	r := &agentv1.EnrollRequest{}
	m.into(p.t, r)
	r.TokenId, r.TokenSecret = token.ID, token.Secret
	if r.Csr, err = identity.NewCSR(key); err != nil {
		p.t.Fatal(err)
	}
	conn := p.dial(identity.EnrolTLS(token.CA))
	defer conn.Close()
	answer, err := agentv1.NewEnrollmentServiceClient(conn).Enroll(p.t.Context(), r)
	if err != nil {
		p.t.Fatalf("the earlier release's enrolment is refused: %v", err)
	}
	cfg := clientTLS(p.t, key, answer.GetCertificateChain(), answer.GetTrustBundle())
	p.agent = &agent{t: p.t, id: answer.GetTerminalId(), key: key, tls: cfg, conn: p.dial(cfg)}
}

func (p *replay) send(m recorded) {
	p.t.Helper()
	r := &agentv1.ConnectRequest{}
	m.into(p.t, r)
	if hello := r.GetHello(); hello != nil {
		p.newSession(hello)
	}
	if result := r.GetResult(); result != nil {
		p.results[result.GetKey().GetJobId()] = proto.CloneOf(result)
	}
	for _, key := range []*agentv1.TaskKey{
		r.GetAccepted().GetKey(), r.GetPermitRequest().GetKey(), r.GetStarted().GetKey(), r.GetProgress().GetKey(), r.GetResult().GetKey(),
	} {
		p.translate(key)
	}
	p.agent.say(r)
}

// newSession ends the session before it without a word, as a process does that is killed.
func (p *replay) newSession(hello *agentv1.Hello) {
	p.t.Helper()
	if p.endOld != nil {
		p.endOld()
	}
	ctx, cancel := context.WithCancel(p.t.Context())
	p.endOld = cancel
	st, err := agentv1.NewAgentServiceClient(p.agent.conn).Connect(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.agent.st = st
	for _, o := range hello.GetOpenTasks() {
		p.translate(o.GetKey())
	}
	hello.Epoch = 0
}

func (p *replay) translate(key *agentv1.TaskKey) {
	if key == nil {
		return
	}
	job := p.asked[key.GetJobId()]
	if job == nil {
		p.t.Fatalf("the recording speaks of job %s before it was dispatched", key.GetJobId())
	}
	key.JobId = job.GetId()
}

// expect wants the kind of message that the earlier release's server sent.
func (p *replay) expect(m recorded) {
	p.t.Helper()
	want := &agentv1.ConnectResponse{}
	m.into(p.t, want)
	task := want.GetDispatch().GetTask()
	if old := task.GetKey().GetJobId(); old != "" && p.asked[old] == nil {
		p.asked[old] = p.ask(task)
	}
	got := p.agent.hear()
	switch want.GetMessage().(type) {
	case *agentv1.ConnectResponse_Welcome:
		if got.GetWelcome().GetTerminalId() != p.agent.id {
			p.t.Fatalf("got %v, want a welcome", got)
		}
	case *agentv1.ConnectResponse_Dispatch:
		p.translate(task.GetKey())
		same := got.GetDispatch().GetTask()
		if same.GetKey().GetJobId() != task.GetKey().GetJobId() || same.GetAction() != task.GetAction() || same.GetDryRun() != task.GetDryRun() ||
			!got.GetDispatch().GetPermitValidFor().IsValid() {
			p.t.Fatalf("got %v, want the dispatch of %v with its permit", got, task)
		}
	case *agentv1.ConnectResponse_Permit:
		p.translate(want.GetPermit().GetKey())
		if k := got.GetPermit().GetKey().GetJobId(); k != want.GetPermit().GetKey().GetJobId() {
			p.t.Fatalf("got %v, want %v", got, want)
		}
	case *agentv1.ConnectResponse_ResultAck:
		p.translate(want.GetResultAck().GetKey())
		if k := got.GetResultAck().GetKey().GetJobId(); k != want.GetResultAck().GetKey().GetJobId() {
			p.t.Fatalf("got %v, want %v", got, want)
		}
	default:
		p.t.Fatalf("the recording holds a message that this test does not know: %v", want)
	}
}

// ask asks for the job that the recorded task belongs to.
func (p *replay) ask(task *agentv1.Task) *fleetv1.Job {
	p.t.Helper()
	answer, err := p.jobs().CreateJob(p.t.Context(), &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{
		Action: task.GetAction(), Params: task.GetParams(), DryRun: task.GetDryRun(), Selection: &fleetv1.Selection{Terminals: []string{p.agent.id}},
		InUse: fleetv1.InUse_IN_USE_PROCEED,
	}})
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.GetJob()
}

// An agent of the first release was recorded: it enrolled, made a plan, did two jobs of which one waited for the other's lock until its
// permit lapsed, was killed in the middle of a third, and came back with its result.
func TestAnAgentOfTheFirstReleaseIsServed(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	p := &replay{running: r, asked: map[string]*fleetv1.Job{}, results: map[string]*agentv1.Result{}}
	for _, m := range readRecording(t, "session-of-first-release.jsonl") {
		p.play(m)
	}
	defer p.agent.conn.Close()
	p.endOld()
	if len(p.results) != 5 {
		t.Fatalf("the recording held %d results, want 5", len(p.results))
	}
	for old, sent := range p.results {
		tasks, err := r.jobs().ListTasks(t.Context(), &fleetv1.ListTasksRequest{JobId: p.asked[old].GetId()})
		if err != nil || len(tasks.GetTasks()) != 1 {
			t.Fatalf("tasks of job %s: %v, %v", old, tasks, err)
		}
		if got := tasks.GetTasks()[0].GetResult(); !proto.Equal(got, sent.GetResult()) {
			t.Errorf("job %s: the server keeps\n%v\nand the agent had said\n%v", old, got, sent.GetResult())
		}
	}
}
