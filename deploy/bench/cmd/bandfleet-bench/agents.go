package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// dialing is how many agents connect at once.
const dialing = 64

// runAgents is the process of the agents: it connects them all, prints how long that took, and answers tasks until its input
// ends.
func runAgents(args []string) error {
	if len(args) != 2 {
		return errors.New("agents: want a folder and an address")
	}
	c, err := readCredentials(args[0])
	if err != nil {
		return err
	}
	ends := &latencies{}
	begun := time.Now()
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(dialing)
	for i, a := range c.Agents {
		group.Go(func() error { return connect(ctx, c, a, args[1], ends, i) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	fmt.Println(time.Since(begun).Seconds())
	return ends.answerQuestions(os.Stdin, os.Stdout)
}

// connect opens one session and leaves a goroutine behind that answers.
func connect(ctx context.Context, c credentialSet, a agentCredential, addr string, ends *latencies, number int) error {
	stream, err := openSession(ctx, c, a, addr)
	if err != nil {
		return err
	}
	go func() {
		if err := answer(stream, ends); err != nil {
			ends.fail(number, err)
		}
	}()
	return nil
}

// openSession opens a session, with the options of a real agent (see agent/link).
func openSession(ctx context.Context, c credentialSet, a agentCredential, addr string) (agentv1.AgentService_ConnectClient, error) {
	config, err := c.clientTLS(a)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithReadBufferSize(4<<10), grpc.WithWriteBufferSize(4<<10),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		return nil, err
	}
	// The session outlives this call, so it is not bound to ctx.
	stream, err := agentv1.NewAgentServiceClient(conn).Connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	if err := stream.Send(hello()); err != nil {
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if first.GetWelcome() == nil {
		return nil, fmt.Errorf("first message is %T, want Welcome", first.GetMessage())
	}
	return stream, nil
}

func hello() *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: &agentv1.Hello{
		ProtocolVersion: handshake.ProtocolVersion, JournalId: "bench", Facts: &agentv1.Facts{Hostname: "bench", Os: "sim"},
		PluginSha256: []string{benchPlugin().GetSha256()},
	}}}
}

// answer plays the agent's part of every task: started and done at once, as fleetd permits a task when it hands it over. A
// real agent says in the same place what this one says (Started and Result, and Accepted only of a task without a permit).
func answer(stream agentv1.AgentService_ConnectClient, ends *latencies) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *agentv1.ConnectResponse_Dispatch:
			err = answerTask(stream, m.Dispatch, ends)
		case *agentv1.ConnectResponse_ResultAck:
			ends.end()
		case *agentv1.ConnectResponse_PluginsRequest:
			err = stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Plugins{Plugins: &agentv1.PluginsReport{Plugins: []*agentv1.Plugin{benchPlugin()}}}})
		}
		if err != nil {
			return err
		}
	}
}

func answerTask(stream agentv1.AgentService_ConnectClient, d *agentv1.Dispatch, ends *latencies) error {
	key := d.GetTask().GetKey()
	switch {
	case d.GetTask().GetAction() == plainAction:
		// The plain server acknowledges nothing: the task ends for the agent with the sending of its result.
		ends.end()
		return stream.Send(result(key))
	case d.GetTask().GetAction() == plainStoredAction:
		return stream.Send(result(key))
	case d.GetPermitValidFor() == nil:
		return fmt.Errorf("job %q: came without a permit, which fleetd sends with a task that is new", key.GetJobId())
	}
	started := &agentv1.Started{Key: key, Started: timestamppb.Now()}
	if err := stream.Send(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Started{Started: started}}); err != nil {
		return err
	}
	return stream.Send(result(key))
}

// result is about as long as a short real one: 300 bytes.
func result(key *agentv1.TaskKey) *agentv1.ConnectRequest {
	now, plugin := timestamppb.Now(), benchPlugin()
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{Key: key, Result: &actionv1.TaskResult{
		Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Started: now, Finished: now, Runs: 1,
		Plugin: plugin.GetManifest().GetName(), PluginVersion: plugin.GetManifest().GetVersion(), PluginSha256: plugin.GetSha256(),
		Checks: []*actionv1.Check{{Name: "service is running", Expected: "running", Observed: "running", Ok: true}},
	}}}}
}
