package server

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// starter is the plugin whose action starts the Bluetooth Endpoint.
func starter() *agentv1.Plugin {
	p := plugin()
	p.Manifest.Actions[0].Params = []*actionv1.Param{{
		Name: "mode", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"restart", "ensure-running"}, DefaultValue: "restart",
	}}
	return p
}

func faultNews(sequence uint64, entry string, gone bool) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_News{News: &agentv1.News{Sequence: sequence, News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{
		Entry: entry, Gone: gone, Count: 1, Rule: "state", Confidence: agentv1.Confidence_CONFIDENCE_STATE,
	}}}}}
}

// until hears what the server says until it has acknowledged news and a result, if one is wanted; it does the tasks that come.
func (a *agent) until(sequence uint64, result bool) {
	a.t.Helper()
	for acked := false; !acked || result; {
		switch m := a.hear(); {
		case m.GetNewsAck() != nil:
			acked = m.GetNewsAck().GetSequence() >= sequence
		case m.GetDispatch() != nil:
			a.do(m.GetDispatch().GetTask().GetKey())
		case m.GetResultAck() != nil:
			result = false
		}
	}
}

// do does a task.
func (a *agent) do(key *agentv1.TaskKey) {
	a.t.Helper()
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{Key: key}}})
	a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{
		Key: key, Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint"},
	}}})
}

// fault waits until a fault is as it is wanted.
func (r *running) fault(id, want string, is func(*fleetv1.Fault) bool) *fleetv1.Fault {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := fleetv1.NewFaultServiceClient(r.admin).GetFault(r.t.Context(), &fleetv1.GetFaultRequest{Id: id})
		switch {
		case err == nil && is(got.GetFault()):
			return got.GetFault()
		case time.Now().After(deadline):
			r.t.Fatalf("fault %s is %v, %v; want %s", id, got.GetFault(), err, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func resolved(f *fleetv1.Fault) bool { return f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED }

// A fault goes from an agent's report over a policy to a job, or to a person's task, and from there to its end.
func TestFaultsGoTheirWholeWay(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrolWith(r.token("lyon"), "press-1", starter())
	defer a.conn.Close()
	a.connect("press-1")

	a.say(faultNews(1, "nbe-missing", false))
	a.until(1, true)
	f := r.fault("F-1", "a job done", func(f *fleetv1.Fault) bool { return f.GetPolicy() != "" && f.GetJobId() == "" })
	if f.GetPolicy() != "start-stopped-services" || f.GetTerminalId() != a.id {
		t.Errorf("fault %v, want it met by start-stopped-services at %s", f, a.id)
	}
	a.say(faultNews(2, "nbe-missing", true))
	a.until(2, false)
	if f = r.fault("F-1", "resolved", resolved); len(f.GetResolvedBy()) < 5 || f.GetResolvedBy()[:4] != "job " {
		t.Errorf("fault F-1 was resolved by %q, want the job", f.GetResolvedBy())
	}

	a.say(faultNews(3, "lock-domain-mismatch", false))
	a.until(3, false)
	f = r.fault("F-2", "a guided task", func(f *fleetv1.Fault) bool { return f.GetGuidedTask() != "" })
	a.say(faultNews(4, "lock-domain-mismatch", true))
	a.until(4, false)
	r.fault("F-2", "resolved", resolved)
	r.wantMoot(f.GetGuidedTask())
	r.wantFaultRights("F-1")
}

func (r *running) wantMoot(id string) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		got, err := fleetv1.NewGuidedServiceClient(r.admin).GetGuidedTask(r.t.Context(), &fleetv1.GetGuidedTaskRequest{Id: id})
		if err == nil && got.GetTask().GetState() == fleetv1.GuidedState_GUIDED_STATE_MOOT {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("guided task %v, %v; want it over as moot: its fault is gone", got.GetTask(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wantFaultRights wants a fault of lyon shown to who may read there, touched by who may act there, and hidden from everybody else.
func (r *running) wantFaultRights(id string) {
	r.t.Helper()
	r.token("turin")
	for name, c := range map[string]struct {
		site       string
		role       fleetv1.OperatorRole
		read, acts codes.Code
	}{
		"vera":  {"lyon", fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, codes.OK, codes.PermissionDenied},
		"otto":  {"lyon", asOperator, codes.OK, codes.OK},
		"tessa": {"turin", asOperator, codes.NotFound, codes.NotFound},
	} {
		faults := fleetv1.NewFaultServiceClient(r.operator(name, c.site, c.role))
		_, err := faults.GetFault(r.t.Context(), &fleetv1.GetFaultRequest{Id: id})
		wantCode(r.t, name+" reads the fault", err, c.read)
		_, err = faults.AssignFault(r.t.Context(), &fleetv1.AssignFaultRequest{Id: id, Assignee: "site-desk"})
		wantCode(r.t, name+" assigns the fault", err, c.acts)
		list, err := faults.ListFaults(r.t.Context(), &fleetv1.ListFaultsRequest{States: []fleetv1.FaultState{fleetv1.FaultState_FAULT_STATE_RESOLVED}})
		if shown := len(list.GetFaults()) > 0; err != nil || shown != (c.read == codes.OK) {
			r.t.Errorf("%s is shown %d faults, %v; want those of their sites only", name, len(list.GetFaults()), err)
		}
	}
}
