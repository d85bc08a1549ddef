package agent_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// askFirst is restart, once a person has confirmed that nobody needs the endpoint.
type askFirst struct{ restart }

func (askFirst) Manifest() *actionv1.Action {
	m := restart{}.Manifest()
	m.Name, m.MaxDuration, m.Repeatability = "ask-first", durationpb.New(time.Hour), actionv1.Repeatability_REPEATABILITY_REPEATABLE
	m.Capabilities = append(m.Capabilities, sdk.AskPerson())
	return m
}

func (a askFirst) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	plan, err := a.restart.Plan(ctx, r)
	if err != nil {
		return nil, err
	}
	ask := sdk.Planned("ask", sdk.Confirm("nobody signs in at press 1", 30*time.Minute), "nobody has confirmed", "a person has confirmed")
	plan.Effects = append([]*actionv1.PlannedEffect{ask}, plan.GetEffects()...)
	return plan, nil
}

func (a askFirst) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	if _, err := r.Confirm(ctx, "ask"); err != nil {
		return err
	}
	return a.restart.Apply(ctx, r)
}

// TestQuestionFromPluginToPersonAndBack follows a question through a real plugin process, over the wire, over a cut line and over
// a restart of the agent, and the answer back.
func TestQuestionFromPluginToPersonAndBack(t *testing.T) {
	f := newFleetd(t)
	c := good(t, f)
	c.Plugins = locked(t)
	if _, err := agent.Enroll(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stop := start(t, c)
	key := &agentv1.TaskKey{JobId: "j-1", Attempt: 1}
	asked := func(s *session) *agentv1.Question {
		t.Helper()
		return s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetQuestion() != nil }).GetQuestion()
	}

	s := <-f.sessions
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{
		Task:           &agentv1.Task{Key: key, Action: "ask-first", Epoch: 1, Expires: timestamppb.New(time.Now().Add(time.Hour))},
		PermitValidFor: durationpb.New(30 * time.Second),
	}}})
	first := asked(s)
	if first.GetPrompt() != "nobody signs in at press 1" || first.GetPlanId() != "ask" || first.GetKey().GetJobId() != "j-1" {
		t.Errorf("the question is %v, want the plan's", first)
	}
	close(s.cut)
	s = <-f.sessions
	if again := asked(s); !again.GetDeadline().AsTime().Equal(first.GetDeadline().AsTime()) {
		t.Errorf("after a cut line the question is %v, want the same with the same deadline: %v", again, first)
	}
	stop()
	start(t, c)
	s = <-f.sessions
	q := asked(s)
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Answer{Answer: &agentv1.Answer{
		Key: key, PlanId: q.GetPlanId(), Confirmed: true, By: "ada", Time: timestamppb.Now(),
	}}})
	res := s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetResult() != nil }).GetResult().GetResult()
	if res.GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || !res.GetRecovered() {
		t.Fatalf("result is %v, want success of the run after the restart", res)
	}
	var by []string
	for _, e := range res.GetEffects() {
		if e.GetPlanId() == "ask" {
			by = append(by, e.GetAfter().GetConfirmation().GetBy())
		}
	}
	if len(by) != 2 || by[0] != "" || by[1] != "ada" {
		t.Errorf("the question was answered by %q, want by nobody in the first run and by ada in the second", by)
	}
}
