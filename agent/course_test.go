package agent_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// restart is a small action, served by this test's own binary under the name "restarter".
type restart struct{}

func (restart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "restart", Version: "1.0.0", Summary: "Restart the endpoint",
		Capabilities:  []*actionv1.Capability{sdk.ReadService(host.EndpointService), sdk.ControlService(host.EndpointService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE, Resources: []string{"ble"}, MaxDuration: durationpb.New(time.Minute),
	}
}

func (restart) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(
		sdk.Planned("stop", sdk.StopService(host.EndpointService, 10*time.Second), "running", "stopped"),
		sdk.Planned("start", sdk.StartService(host.EndpointService, 10*time.Second), "stopped", "running"),
	), nil
}

func (restart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	if _, err := r.Do(ctx, "stop"); err != nil {
		return err
	}
	_, err := r.Do(ctx, "start")
	return err
}

func (restart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, host.EndpointService)
	if err != nil {
		return nil, err
	}
	fresh := s.GetPid() != 0 && s.GetPid() != r.Effect("stop").GetBefore().GetService().GetPid()
	return sdk.Verdict(sdk.Check("process is new", "true", "", fresh)), nil
}

// locked makes a folder with this test's binary as a plugin, and its plugins.lock.
func locked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	name := "restarter"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	copyFile(t, os.Args[0], filepath.Join(dir, name))
	if err := plugins.WriteLock(dir, ""); err != nil {
		t.Fatal(err)
	}
	return dir
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTaskFromDispatchToAcknowledgement follows one task through every part of the agent: over the wire, into the journal,
// through a real plugin process to a real child process and back, over a cut line.
func TestTaskFromDispatchToAcknowledgement(t *testing.T) {
	f := newFleetd(t)
	c := good(t, f)
	c.Plugins = locked(t)
	if _, err := agent.Enroll(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stop := start(t, c)
	key := &agentv1.TaskKey{JobId: "j-1", Attempt: 1}

	s := <-f.sessions
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{
		Task: &agentv1.Task{Key: key, Action: "restart", Epoch: 1, Expires: timestamppb.New(time.Now().Add(time.Hour))},
	}}})
	s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetAccepted() != nil })
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Permit{Permit: &agentv1.Permit{
		Key: key, ValidFor: durationpb.New(30 * time.Second),
	}}})
	s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetStarted() != nil })
	first := s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetResult() != nil }).GetResult()
	if first.GetResult().GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || len(first.GetResult().GetEffects()) != 2 {
		t.Fatalf("result is %v, want success with both effects", first)
	}

	close(s.cut)
	s = <-f.sessions
	if open := s.hello.GetOpenTasks(); len(open) != 1 || open[0].GetState() != agentv1.TaskState_TASK_STATE_FINISHED {
		t.Errorf("open tasks are %v, want the finished one: its result was not acknowledged", open)
	}
	again := s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetResult() != nil }).GetResult()
	if !again.GetResult().GetFinished().AsTime().Equal(first.GetResult().GetFinished().AsTime()) {
		t.Errorf("second result is %v, want the first one again and no second run", again)
	}
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ResultAck{ResultAck: &agentv1.ResultAck{Key: key}}})
	// Messages are handled in order: once this one is answered, the acknowledgement is journalled.
	s.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_PluginsRequest{PluginsRequest: &agentv1.PluginsRequest{}}})
	s.await(t, func(m *agentv1.ConnectRequest) bool { return m.GetPlugins() != nil })

	stop()
	start(t, c)
	if open := (<-f.sessions).hello.GetOpenTasks(); len(open) != 0 {
		t.Errorf("open tasks after a restart are %v, want none: the result was acknowledged", open)
	}
}

func (s *session) send(t *testing.T, m *agentv1.ConnectResponse) {
	t.Helper()
	if err := s.stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

// await receives until a message is the wanted one.
func (s *session) await(t *testing.T, wanted func(*agentv1.ConnectRequest) bool) *agentv1.ConnectRequest {
	t.Helper()
	for {
		m, err := s.stream.Recv()
		if err != nil {
			t.Fatalf("session: %v, want another message of the agent", err)
		}
		if wanted(m) {
			return m
		}
	}
}
