package sdk

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an action whose phases are functions.
type scripted struct {
	plan   func(context.Context, *Run) (*actionv1.Plan, error)
	apply  func(context.Context, *ApplyRun) error
	verify func(context.Context, *VerifyRun) (*actionv1.Verdict, error)
}

func (scripted) Manifest() *actionv1.Action {
	return &actionv1.Action{Name: "scripted", Params: []*actionv1.Param{
		Bool("flag", true, "a flag"),
		Duration("pause", 10*time.Second, time.Second, time.Minute, "a pause"),
		Enum("mode", "slow", "a mode", "slow", "fast"),
		{Name: "count", Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Help: "a count"},
		{Name: "text", Type: actionv1.ParamType_PARAM_TYPE_STRING, Help: "a text"},
	}}
}

func (s scripted) Plan(ctx context.Context, r *Run) (*actionv1.Plan, error) { return s.plan(ctx, r) }
func (s scripted) Apply(ctx context.Context, r *ApplyRun) error             { return s.apply(ctx, r) }
func (s scripted) Verify(ctx context.Context, r *VerifyRun) (*actionv1.Verdict, error) {
	return s.verify(ctx, r)
}

func planning(plan func(context.Context, *Run) (*actionv1.Plan, error)) scripted {
	return scripted{plan: plan}
}

func startOf(p actionv1.Phase, params map[string]string) *actionv1.Start {
	return &actionv1.Start{Phase: p, Action: "scripted", Params: params}
}

const (
	phasePlan   = actionv1.Phase_PHASE_PLAN
	phaseApply  = actionv1.Phase_PHASE_APPLY
	phaseVerify = actionv1.Phase_PHASE_VERIFY
)

func TestParametersAreTyped(t *testing.T) {
	a := planning(func(_ context.Context, r *Run) (*actionv1.Plan, error) {
		if !r.Bool("flag") || r.Duration("pause") != 30*time.Second || r.String("mode") != "slow" || r.Int("count") != -4 || r.String("text") != "" {
			t.Errorf("flag %v, pause %v, mode %q, count %d, text %q; want the given value, else the default, else nothing",
				r.Bool("flag"), r.Duration("pause"), r.String("mode"), r.Int("count"), r.String("text"))
		}
		return NoChange("done"), nil
	})
	if _, err := RunPhase(t.Context(), a, startOf(phasePlan, map[string]string{"pause": "30s", "count": "-4"}), nil); err != nil {
		t.Error(err)
	}
}

func TestBadStarts(t *testing.T) {
	a := planning(func(context.Context, *Run) (*actionv1.Plan, error) {
		t.Error("the phase ran")
		return nil, nil
	})
	for name, start := range map[string]*actionv1.Start{
		"unknown parameter": startOf(phasePlan, map[string]string{"pace": "1s"}),
		"out of range":      startOf(phasePlan, map[string]string{"pause": "61s"}),
		"wrong type":        startOf(phasePlan, map[string]string{"count": "four"}),
		"unknown phase":     startOf(actionv1.Phase(99), nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := RunPhase(t.Context(), a, start, nil)
			if _, ok := errors.AsType[*BadStartError](err); !ok {
				t.Errorf("error = %v, want a *BadStartError", err)
			}
		})
	}
}

func TestPanicsAreContained(t *testing.T) {
	for name, plan := range map[string]func(context.Context, *Run) (*actionv1.Plan, error){
		"own":               func(context.Context, *Run) (*actionv1.Plan, error) { panic("oh no") },
		"unknown parameter": func(_ context.Context, r *Run) (*actionv1.Plan, error) { r.Bool("flug"); return nil, nil },
		"other type":        func(_ context.Context, r *Run) (*actionv1.Plan, error) { r.Int("flag"); return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := RunPhase(t.Context(), planning(plan), startOf(phasePlan, nil), nil)
			if err == nil || !strings.Contains(err.Error(), "panic in plan") {
				t.Errorf("error = %v, want one that says where the panic was", err)
			}
		})
	}
}

func TestHowPhasesEnd(t *testing.T) {
	good := Verdict(Check("a", "b", "b", true))
	apply := func(err error) scripted {
		return scripted{apply: func(context.Context, *ApplyRun) error { return err }}
	}
	verify := func(v *actionv1.Verdict, err error) scripted {
		return scripted{verify: func(context.Context, *VerifyRun) (*actionv1.Verdict, error) { return v, err }}
	}
	finish := func(t *testing.T, a Action, p actionv1.Phase) *actionv1.Finish {
		t.Helper()
		f, err := RunPhase(t.Context(), a, startOf(p, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if f := finish(t, apply(nil), phaseApply).GetApplied(); !f.GetOk() {
		t.Errorf("applied = %v, want ok", f)
	}
	if f := finish(t, apply(Fail("it rains", "take an umbrella")), phaseApply).GetApplied(); f.GetOk() || f.GetReason() != "it rains" || f.GetNextStep() != "take an umbrella" {
		t.Errorf("applied = %v, want the failure's reason and next step apart", f)
	}
	if f := finish(t, apply(io.ErrUnexpectedEOF), phaseApply).GetApplied(); f.GetOk() || f.GetReason() != "unexpected EOF" {
		t.Errorf("applied = %v, want the error as the reason", f)
	}
	if f := finish(t, verify(good, nil), phaseVerify).GetVerdict(); !f.GetChecks()[0].GetOk() {
		t.Errorf("verdict = %v, want the action's", f)
	}
	if f := finish(t, verify(nil, io.ErrUnexpectedEOF), phaseVerify).GetVerdict(); len(f.GetChecks()) != 1 || f.GetChecks()[0].GetOk() {
		t.Errorf("verdict = %v, want a check that did not hold: what cannot be verified is not verified", f)
	}
	if f := finish(t, verify(good, io.ErrUnexpectedEOF), phaseVerify).GetVerdict(); f.GetChecks()[0].GetOk() {
		t.Errorf("verdict = %v, want that an error outweighs good checks", f)
	}
}

// fakeAgent connects to a plugin's service over gRPC in this process and runs one phase of it; answer replies to calls.
func fakeAgent(t *testing.T, a Action, first *actionv1.RunRequest, answer func(*actionv1.Call) *actionv1.Reply) (*actionv1.Finish, error) {
	t.Helper()
	s, err := newServer("plugin", "1.0.0", []Action{a})
	if err != nil {
		t.Fatal(err)
	}
	lis := bufconn.Listen(1 << 20)
	g := newGRPCServer(nil)
	actionv1.RegisterActionServiceServer(g, s)
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	defer func() {
		g.Stop()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	conn, err := grpc.NewClient("passthrough:plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := actionv1.NewActionServiceClient(conn).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(first); err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if f := m.GetFinish(); f != nil {
			return f, nil
		}
		if c := m.GetCall(); c != nil {
			if err := stream.Send(&actionv1.RunRequest{Message: &actionv1.RunRequest_Reply{Reply: answer(c)}}); err != nil {
				return nil, err
			}
		}
	}
}

func first(s *actionv1.Start) *actionv1.RunRequest {
	return &actionv1.RunRequest{Message: &actionv1.RunRequest_Start{Start: s}}
}

func TestStreamCarriesCallsAndReplies(t *testing.T) {
	a := planning(func(ctx context.Context, r *Run) (*actionv1.Plan, error) {
		r.Progress("reading %d", 1)
		r.Evidence("name", "value %d", 2)
		if err := r.Wait(ctx, time.Minute); err != nil {
			return nil, err
		}
		s, err := r.Service(ctx, "Print Spooler")
		return NoChange(s.GetKey()), err
	})
	var ids []uint64
	finish, err := fakeAgent(t, a, first(startOf(phasePlan, nil)), func(c *actionv1.Call) *actionv1.Reply {
		ids = append(ids, c.GetId())
		if c.GetWait() != nil {
			return &actionv1.Reply{Id: c.GetId(), Reply: &actionv1.Reply_Wait{Wait: &actionv1.WaitResult{}}}
		}
		return &actionv1.Reply{Id: c.GetId(), Reply: &actionv1.Reply_Query{Query: &actionv1.QueryResult{
			Result: &actionv1.QueryResult_Service{Service: &actionv1.ServiceState{Key: c.GetQuery().GetService().GetService() + "!"}}}}}
	})
	if err != nil || finish.GetPlan().GetReason() != "Print Spooler!" {
		t.Errorf("finish = %v, %v; want the plan with what the agent answered", finish, err)
	}
	if len(ids) != 2 || ids[0] == 0 || ids[0] == ids[1] {
		t.Errorf("call ids = %v, want two different ones, none 0", ids)
	}
}

func TestStreamErrors(t *testing.T) {
	asks := planning(func(ctx context.Context, r *Run) (*actionv1.Plan, error) {
		_, err := r.Host(ctx)
		return nil, err
	})
	reply := func(r *actionv1.Reply) func(*actionv1.Call) *actionv1.Reply {
		return func(c *actionv1.Call) *actionv1.Reply {
			if r.GetId() == 0 {
				r.Id = c.GetId()
			}
			return r
		}
	}
	for name, c := range map[string]struct {
		first  *actionv1.RunRequest
		answer func(*actionv1.Call) *actionv1.Reply
		code   codes.Code
		want   string
	}{
		"no start":          {first: &actionv1.RunRequest{}, code: codes.InvalidArgument, want: "must be a start"},
		"unknown action":    {first: first(&actionv1.Start{Action: "other"}), code: codes.InvalidArgument, want: `no action "other"`},
		"bad parameter":     {first: first(startOf(phasePlan, map[string]string{"pause": "1h"})), code: codes.InvalidArgument, want: "want 1s to 1m"},
		"call failed":       {answer: reply(&actionv1.Reply{Reply: &actionv1.Reply_Error{Error: &actionv1.CallError{Message: "no such host"}}}), code: codes.Aborted, want: "no such host"},
		"reply to another":  {answer: reply(&actionv1.Reply{Id: 77}), code: codes.Aborted, want: "answered call 77"},
		"reply of its own":  {answer: reply(&actionv1.Reply{Reply: &actionv1.Reply_Wait{}}), code: codes.Aborted, want: "something else than what was asked"},
		"reply to no query": {answer: reply(&actionv1.Reply{}), code: codes.Aborted, want: "something else than what was asked"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.first == nil {
				c.first = first(startOf(phasePlan, nil))
			}
			_, err := fakeAgent(t, asks, c.first, c.answer)
			if status.Code(err) != c.code || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %v with %q", err, c.code, c.want)
			}
		})
	}
}

func TestTwoActionsOfOneName(t *testing.T) {
	if _, err := newServer("plugin", "1.0.0", []Action{scripted{}, scripted{}}); err == nil {
		t.Error("a plugin with two actions of one name was taken")
	}
}

func TestReadLine(t *testing.T) {
	for text, want := range map[string]string{"line\nrest": "line", "\n": ""} {
		got, err := readLine(bufio.NewReader(strings.NewReader(text)), 8)
		if err != nil || string(got) != want {
			t.Errorf("line of %q = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", "no end", strings.Repeat("x", 100) + "\n"} {
		if got, err := readLine(bufio.NewReader(strings.NewReader(text)), 8); err == nil {
			t.Errorf("line of %.20q = %q, want an error", text, got)
		}
	}
}
