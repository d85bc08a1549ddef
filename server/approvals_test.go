package server

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

const (
	asOperator = fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR
	asApprover = fleetv1.OperatorRole_OPERATOR_ROLE_APPROVER
)

// person makes an operator of lyon with these roles, and returns what that person calls with.
func (r *running) person(name string, roles ...fleetv1.OperatorRole) *grpc.ClientConn {
	r.t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		r.t.Fatal(err)
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		r.t.Fatal(err)
	}
	q := &fleetv1.CreateOperatorRequest{Name: name, Csr: csr}
	for _, role := range roles {
		q.Bindings = append(q.Bindings, &fleetv1.RoleBinding{Role: role, Sites: []string{"lyon"}})
	}
	made, err := fleetv1.NewAccessServiceClient(r.admin).CreateOperator(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.dial(clientTLS(r.t, key, made.GetCertificateChain(), made.GetTrustBundle()))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func wantCode(t *testing.T, what string, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// asked is a job that bob asks for, and that one other person must approve.
func asked(t *testing.T, bob fleetv1.JobServiceClient) *fleetv1.Job {
	t.Helper()
	made, err := bob.CreateJob(t.Context(), &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{
		Action: "ble-restart", Selection: &fleetv1.Selection{Sites: []string{"lyon"}}, Reason: "INC-1", Approvals: 1,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return made.GetJob()
}

// A job goes its whole way: approved by another, answered by a third, in the overview all the time, and not to be tried again.
func TestAnApprovedJobGoesItsWholeWay(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	a.connect("line-1")
	ctx := t.Context()
	bob := fleetv1.NewJobServiceClient(r.person("bob", asOperator, asApprover))
	cleo := fleetv1.NewJobServiceClient(r.person("cleo", asApprover))
	job := asked(t, bob)
	approval := &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: job.GetApproval().GetDigest()}
	_, own := bob.ApproveJob(ctx, approval)
	wantCode(t, "the requester approves", own, codes.PermissionDenied)
	_, stale := cleo.ApproveJob(ctx, &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: strings.Repeat("0", 64)})
	wantCode(t, "an approval of something else", stale, codes.Aborted)
	_, early := bob.RetryJob(ctx, &fleetv1.RetryJobRequest{Id: job.GetId()})
	wantCode(t, "a retry of a job that waits", early, codes.FailedPrecondition)
	o, err := cleo.GetOverview(ctx, &fleetv1.GetOverviewRequest{})
	if err != nil || o.GetUnapprovedJobs() != 1 || len(o.GetSites()) != 1 || o.GetSites()[0].GetTerminals() != 1 || o.GetSites()[0].GetOnline() != 1 {
		t.Errorf("overview %v, %v; want one job that waits for approval, and lyon with its one terminal online", o, err)
	}
	if _, err := cleo.ApproveJob(ctx, approval); err != nil {
		t.Fatal(err)
	}
	task := a.hear().GetDispatch().GetTask()
	if task.GetPluginSha256() != plugin().GetSha256() {
		t.Errorf("dispatched for plugin %q, want the one that was approved", task.GetPluginSha256())
	}
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{Key: task.GetKey()}}})
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Question{Question: &agentv1.Question{
		Key: task.GetKey(), PlanId: "1", Prompt: "is the cable in?", Deadline: timestamppb.New(time.Now().Add(time.Hour)),
	}}})
	answerQuestion(t, bob, job)
	if got := a.hear().GetAnswer(); got.GetPlanId() != "1" || !got.GetConfirmed() || got.GetBy() != "bob" {
		t.Errorf("the agent was told %v, want bob's yes", got)
	}
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{
		Key: task.GetKey(), Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint"},
	}}})
	if ack := a.hear().GetResultAck(); ack.GetKey().GetJobId() != job.GetId() {
		t.Errorf("after the result came %v, want its acknowledgement", ack)
	}
	_, none := bob.RetryJob(ctx, &fleetv1.RetryJobRequest{Id: job.GetId()})
	wantCode(t, "a retry of what succeeded", none, codes.FailedPrecondition)
	_, late := cleo.RejectJob(ctx, &fleetv1.RejectJobRequest{Id: job.GetId()})
	wantCode(t, "a rejection of what is done", late, codes.FailedPrecondition)
}

// answerQuestion says yes as soon as the task is seen to ask.
func answerQuestion(t *testing.T, c fleetv1.JobServiceClient, job *fleetv1.Job) {
	t.Helper()
	st, err := c.WatchJob(t.Context(), &fleetv1.WatchJobRequest{Id: job.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := st.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range m.GetTasks() {
			if task.GetQuestion() == nil {
				continue
			}
			yes := &fleetv1.ConfirmTaskRequest{JobId: job.GetId(), Terminal: "line-1", Confirmed: true}
			if _, err := c.ConfirmTask(t.Context(), yes); err != nil {
				t.Fatal(err)
			}
			yes.Confirmed = false
			_, other := c.ConfirmTask(t.Context(), yes)
			wantCode(t, "another answer", other, codes.FailedPrecondition)
			return
		}
	}
}

// A machine that comes back with another plugin is not what was approved, also when its manifest is news to the server.
func TestAnotherPluginTakesApprovalsBack(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	bob := fleetv1.NewJobServiceClient(r.person("bob", asOperator))
	cleo := fleetv1.NewJobServiceClient(r.person("cleo", asApprover))
	a.connect("line-1")
	before := r.fix()
	a.serve()
	job := asked(t, bob)
	newer := plugin()
	newer.Sha256 = strings.Repeat("cd", 32)
	a.connectWith("line-1", newer.GetSha256())
	if ask := a.hear().GetPluginsRequest().GetSha256(); len(ask) != 1 || ask[0] != newer.GetSha256() {
		t.Errorf("asked for the manifests of %v, want that of the new plugin", ask)
	}
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Plugins{Plugins: &agentv1.PluginsReport{Plugins: []*agentv1.Plugin{newer}}}})
	// What an agent says is taken in order: when this old result is acknowledged, the manifest is known.
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{
		Key:    &agentv1.TaskKey{JobId: before.GetId(), Attempt: 1},
		Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint"},
	}}})
	if a.hear().GetResultAck() == nil {
		t.Error("a repeated result was not acknowledged")
	}
	_, stale := cleo.ApproveJob(t.Context(), &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: job.GetApproval().GetDigest()})
	wantCode(t, "an approval of the plugin before", stale, codes.Aborted)
	now, err := cleo.GetJob(t.Context(), &fleetv1.GetJobRequest{Id: job.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cleo.ApproveJob(t.Context(), &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: now.GetJob().GetApproval().GetDigest()}); err != nil {
		t.Fatal(err)
	}
	if task := a.hear().GetDispatch().GetTask(); task.GetPluginSha256() != newer.GetSha256() {
		t.Errorf("dispatched for plugin %q, want the new one, which was approved", task.GetPluginSha256())
	}
}

func TestARevokedApproversWordIsTakenBack(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	bob := fleetv1.NewJobServiceClient(r.person("bob", asOperator))
	cleo := fleetv1.NewJobServiceClient(r.person("cleo", asApprover))
	job := asked(t, bob)
	if _, err := cleo.ApproveJob(t.Context(), &fleetv1.ApproveJobRequest{Id: job.GetId(), Digest: job.GetApproval().GetDigest()}); err != nil {
		t.Fatal(err)
	}
	if _, err := fleetv1.NewAccessServiceClient(r.admin).RevokeOperator(t.Context(), &fleetv1.RevokeOperatorRequest{Name: "cleo"}); err != nil {
		t.Fatal(err)
	}
	got, err := r.jobs().GetJob(t.Context(), &fleetv1.GetJobRequest{Id: job.GetId()})
	if lapsed := got.GetJob().GetApproval().GetApprovals(); err != nil || len(lapsed) != 1 || lapsed[0].GetLapsed() != "cleo was revoked" {
		t.Errorf("approvals are %v (%v), want cleo's to count no more", lapsed, err)
	}
	if _, err := r.jobs().RejectJob(t.Context(), &fleetv1.RejectJobRequest{Id: job.GetId(), Reason: "not today"}); err != nil {
		t.Fatal(err)
	}
	if done := r.watch(job.GetId()); done.GetCounts().GetCancelled() != 1 {
		t.Errorf("the job is %v, want its task cancelled by the rejection", done)
	}
}
