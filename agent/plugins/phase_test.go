package plugins

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// rogue is an ActionService that plays a script.
type rogue struct {
	actionv1.UnimplementedActionServiceServer
	play func(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error
}

func (r *rogue) Run(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return r.play(stream)
}

// playing returns a process that is connected to a rogue in this process.
func playing(t *testing.T, play func(grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error) *process {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	actionv1.RegisterActionServiceServer(server, &rogue{play: play})
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:rogue", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return &process{rpc: actionv1.NewActionServiceClient(conn), output: new(tail), child: &child{exited: make(chan struct{})}}
}

func waitCall(id uint64, d time.Duration) *actionv1.RunResponse {
	return callMessage(&actionv1.Call{Id: id, Call: &actionv1.Call_Wait{Wait: &actionv1.Wait{Duration: durationpb.New(d)}}})
}

func queryCall(id uint64) *actionv1.RunResponse {
	return callMessage(&actionv1.Call{Id: id, Call: &actionv1.Call_Query{Query: &actionv1.Query{}}})
}

func callMessage(c *actionv1.Call) *actionv1.RunResponse {
	return &actionv1.RunResponse{Message: &actionv1.RunResponse_Call{Call: c}}
}

func finished(f *actionv1.Finish) *actionv1.RunResponse {
	return &actionv1.RunResponse{Message: &actionv1.RunResponse_Finish{Finish: f}}
}

// TestPhaseHoldsThePluginToTheProtocol plays messages that no plugin of the SDK would send.
func TestPhaseHoldsThePluginToTheProtocol(t *testing.T) {
	for name, c := range map[string]struct {
		messages []*actionv1.RunResponse
		want     string
	}{
		"no finish":            {nil, "without a finish"},
		"call without id":      {[]*actionv1.RunResponse{queryCall(0)}, "id 0"},
		"call id used twice":   {[]*actionv1.RunResponse{queryCall(7), queryCall(7)}, "call id 7 twice"},
		"call of unknown kind": {[]*actionv1.RunResponse{callMessage(&actionv1.Call{Id: 1})}, "does not know"},
		"message without kind": {[]*actionv1.RunResponse{{}}, "does not know"},
		"finish of apply":      {[]*actionv1.RunResponse{finished(&actionv1.Finish{Finish: &actionv1.Finish_Applied{Applied: &actionv1.Applied{Ok: true}}})}, "finish of another phase"},
		"finish of nothing":    {[]*actionv1.RunResponse{finished(nil)}, "finish of another phase"},
	} {
		t.Run(name, func(t *testing.T) {
			proc := playing(t, func(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
				for _, m := range c.messages {
					if err := stream.Send(m); err != nil {
						return err
					}
				}
				if len(c.messages) == 0 {
					return nil
				}
				for {
					if _, err := stream.Recv(); err != nil {
						return err
					}
				}
			})
			_, err := proc.Phase(t.Context(), plan("nothing"), newMemory())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestFailedCallIsAnswered holds that a call that fails, other than by a refusal, leaves the phase to the plugin.
func TestFailedCallIsAnswered(t *testing.T) {
	for name, call := range map[string]*actionv1.RunResponse{"query": queryCall(3), "negative wait": waitCall(3, -time.Second)} {
		t.Run(name, func(t *testing.T) {
			var reply *actionv1.Reply
			proc := playing(t, func(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
				if err := stream.Send(call); err != nil {
					return err
				}
				m, err := stream.Recv()
				if err != nil {
					return err
				}
				reply = m.GetReply()
				return stream.Send(finished(&actionv1.Finish{Finish: &actionv1.Finish_Plan{Plan: &actionv1.Plan{}}}))
			})
			if _, err := proc.Phase(t.Context(), plan("nothing"), newMemory()); err != nil {
				t.Fatal(err)
			}
			if reply.GetId() != 3 || reply.GetError().GetMessage() == "" {
				t.Errorf("reply = %v, want an error with the call's id", reply)
			}
		})
	}
}

// asking is a runner.Calls whose person takes for ever.
type asking struct{ *memory }

func (a asking) Effect(ctx context.Context, _ *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	return nil, a.Wait(ctx, 0)
}

// TestWaitForAPersonEndsWithThePlugin: nothing is half done then, and nobody would hear the answer.
func TestWaitForAPersonEndsWithThePlugin(t *testing.T) {
	proc := playing(t, func(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
		ask := &actionv1.EffectRequest{PlanId: "ask", Effect: &actionv1.Effect{Effect: &actionv1.Effect_Confirm{Confirm: &actionv1.Confirm{}}}}
		if err := stream.Send(callMessage(&actionv1.Call{Id: 1, Call: &actionv1.Call_Effect{Effect: ask}})); err != nil {
			return err
		}
		_, err := stream.Recv()
		return err
	})
	m := newMemory()
	go func() {
		<-m.waiting
		close(proc.child.exited)
	}()
	if _, err := proc.Phase(t.Context(), plan("nothing"), asking{m}); err == nil {
		t.Error("the phase ended well, want an error: its plugin is dead")
	}
}

// refusing is a runner.Calls that refuses every effect.
type refusing struct{ *memory }

func (refusing) Effect(context.Context, *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	return nil, &runner.RefusedError{Message: "not planned"}
}

func TestRefusalEndsThePhase(t *testing.T) {
	proc := playing(t, func(stream grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]) error {
		if err := stream.Send(callMessage(&actionv1.Call{Id: 1, Call: &actionv1.Call_Effect{Effect: &actionv1.EffectRequest{}}})); err != nil {
			return err
		}
		// It would carry on if it could.
		_, err := stream.Recv()
		return err
	})
	_, err := proc.Phase(t.Context(), plan("nothing"), refusing{newMemory()})
	if r, ok := errors.AsType[*runner.RefusedError](err); !ok || r.Message != "not planned" {
		t.Errorf("error = %v, want the refusal itself", err)
	}
}
