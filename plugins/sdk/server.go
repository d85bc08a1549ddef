package sdk

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// server is a plugin's ActionService.
type server struct {
	actionv1.UnimplementedActionServiceServer
	manifest *actionv1.Manifest
	actions  map[string]Action
	// beforeRun is called before each run.
	beforeRun func()
}

func newServer(name, version string, actions []Action) (*server, error) {
	s := &server{
		manifest:  &actionv1.Manifest{Name: name, Version: version, ProtocolVersion: handshake.ProtocolVersion},
		actions:   make(map[string]Action, len(actions)),
		beforeRun: func() {},
	}
	for _, a := range actions {
		m := a.Manifest()
		if s.actions[m.GetName()] != nil {
			return nil, fmt.Errorf("plugin %q: two actions named %q", name, m.GetName())
		}
		s.actions[m.GetName()] = a
		s.manifest.Actions = append(s.manifest.Actions, m)
	}
	return s, nil
}

func (s *server) Describe(context.Context, *actionv1.DescribeRequest) (*actionv1.DescribeResponse, error) {
	return &actionv1.DescribeResponse{Manifest: s.manifest}, nil
}

func (s *server) Run(stream runStream) error {
	s.beforeRun()
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return status.Error(codes.InvalidArgument, "the first message of a run must be a start")
	}
	a, ok := s.actions[start.GetAction()]
	if !ok {
		return status.Errorf(codes.InvalidArgument, "plugin %q has no action %q", s.manifest.GetName(), start.GetAction())
	}
	calls := &streamCalls{stream: stream}
	finish, err := RunPhase(stream.Context(), a, start, calls)
	if err != nil {
		return phaseStatus(err)
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	return calls.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Finish{Finish: finish}})
}

func phaseStatus(err error) error {
	if _, ok := errors.AsType[*BadStartError](err); ok {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Aborted, err.Error())
}
