package sdk

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// runStream is the plugin's end of a run.
type runStream = grpc.BidiStreamingServer[actionv1.RunRequest, actionv1.RunResponse]

// streamCalls asks the agent over the run's stream. One call is under way at a time; an action may ask from several goroutines.
type streamCalls struct {
	stream runStream

	mu     sync.Mutex // held during a call, so that replies meet their calls
	lastID uint64
}

// call sends c and waits for its reply.
func (s *streamCalls) call(c *actionv1.Call) (*actionv1.Reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	c.Id = s.lastID
	if err := s.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Call{Call: c}}); err != nil {
		return nil, err
	}
	req, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	reply := req.GetReply()
	if reply.GetId() != c.GetId() {
		return nil, fmt.Errorf("the agent answered call %d, want %d", reply.GetId(), c.GetId())
	}
	if e := reply.GetError(); e != nil {
		return nil, fmt.Errorf("%s", e.GetMessage())
	}
	return reply, nil
}

// send must be called with mu held: a gRPC stream takes one sender at a time.
func (s *streamCalls) send(m *actionv1.RunResponse) error { return s.stream.Send(m) }

func (s *streamCalls) Query(_ context.Context, q *actionv1.Query) (*actionv1.QueryResult, error) {
	reply, err := s.call(&actionv1.Call{Call: &actionv1.Call_Query{Query: q}})
	return reply.GetQuery(), err
}

func (s *streamCalls) Effect(_ context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error) {
	reply, err := s.call(&actionv1.Call{Call: &actionv1.Call_Effect{Effect: e}})
	if err == nil && reply.GetEffect() == nil {
		err = fmt.Errorf("effect %q: the agent did not say what was recorded", e.GetPlanId())
	}
	return reply.GetEffect(), err
}

func (s *streamCalls) Wait(_ context.Context, d time.Duration) error {
	_, err := s.call(&actionv1.Call{Call: &actionv1.Call_Wait{Wait: &actionv1.Wait{Duration: durationpb.New(d)}}})
	return err
}

// Progress, Evidence, Finding and Certificates are dropped when the stream has ended: the phase then ends by itself at its next call.
func (s *streamCalls) Progress(p *actionv1.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Progress{Progress: p}})
}

func (s *streamCalls) Evidence(e *actionv1.Evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Evidence{Evidence: e}})
}

func (s *streamCalls) Finding(f *actionv1.Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Finding{Finding: f}})
}

func (s *streamCalls) Certificates(c *actionv1.CertificateReport) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.send(&actionv1.RunResponse{Message: &actionv1.RunResponse_Certificates{Certificates: c}})
}
