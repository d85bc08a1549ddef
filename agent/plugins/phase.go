package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What a plugin may send in one phase beyond what it needs. A run's evidence is stored with its result.
const (
	maxEvidence      = 512
	maxEvidenceBytes = 256 << 10
	maxCalls         = 100_000
)

// exitGrace is how long after a broken connection the process's end is waited for.
const exitGrace = 2 * time.Second

// phase is the agent's end of one phase's stream.
type phase struct {
	start  *actionv1.Start
	calls  runner.Calls
	stream grpc.BidiStreamingClient[actionv1.RunRequest, actionv1.RunResponse]
	// exited is closed when the plugin's process has ended.
	exited <-chan struct{}

	answered      map[uint64]bool
	evidence      int
	evidenceBytes int
}

// Phase implements runner.Process. Calls are answered one after the other, in the order in which they arrive.
func (p *process) Phase(ctx context.Context, start *actionv1.Start, calls runner.Calls) (*actionv1.Finish, error) {
	streamCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := p.rpc.Run(streamCtx)
	if err != nil {
		return nil, p.streamError(ctx, err)
	}
	ph := &phase{start: start, calls: calls, stream: stream, exited: p.child.exited, answered: map[uint64]bool{}}
	finish, err := ph.run(ctx)
	if err != nil {
		return nil, p.streamError(ctx, err)
	}
	return finish, nil
}

// streamError says in a clause of ours why a phase ended without a Finish.
func (p *process) streamError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, refused := errors.AsType[*runner.RefusedError](err); refused {
		return err
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it ended the phase without a finish")
	}
	if s, ok := status.FromError(err); ok {
		if s.Code() == codes.Unavailable && p.exits() {
			return fmt.Errorf("it died in the middle of the phase (last output: %q)", p.output.lastLine())
		}
		return errors.New(s.Message())
	}
	return err
}

func (ph *phase) run(ctx context.Context) (*actionv1.Finish, error) {
	if err := ph.stream.Send(&actionv1.RunRequest{Message: &actionv1.RunRequest_Start{Start: ph.start}}); err != nil {
		return nil, ph.sendError(err)
	}
	for {
		m, err := ph.stream.Recv()
		if err != nil {
			return nil, err
		}
		switch m := m.GetMessage().(type) {
		case *actionv1.RunResponse_Call:
			err = ph.answer(ctx, m.Call)
		case *actionv1.RunResponse_Progress:
			ph.calls.Progress(m.Progress)
		case *actionv1.RunResponse_Evidence:
			err = ph.addEvidence(m.Evidence)
		case *actionv1.RunResponse_Finding:
			if err = ph.add(proto.Size(m.Finding)); err == nil {
				ph.calls.Finding(m.Finding)
			}
		case *actionv1.RunResponse_Certificates:
			if err = ph.add(proto.Size(m.Certificates)); err == nil {
				ph.calls.Certificates(m.Certificates)
			}
		case *actionv1.RunResponse_Finish:
			return m.Finish, checkFinish(ph.start.GetPhase(), m.Finish)
		default:
			err = errors.New("it sent a message that this agent does not know")
		}
		if err != nil {
			return nil, err
		}
	}
}

// sendError finds the stream's own error behind io.EOF, which is all that Send says of a broken stream.
func (ph *phase) sendError(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	for {
		if _, err := ph.stream.Recv(); err != nil {
			return err
		}
	}
}

// answer carries out one call and replies. A refusal ends the phase at once.
func (ph *phase) answer(ctx context.Context, c *actionv1.Call) error {
	switch id := c.GetId(); {
	case id == 0:
		return errors.New("it sent a call with id 0")
	case ph.answered[id]:
		return fmt.Errorf("it used call id %d twice", id)
	case len(ph.answered) >= maxCalls:
		return fmt.Errorf("it made more than %d calls in one phase", maxCalls)
	}
	ph.answered[c.GetId()] = true
	reply, err := ph.carryOut(ctx, c)
	if _, refused := errors.AsType[*runner.RefusedError](err); refused {
		return err
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		reply = &actionv1.Reply{Reply: &actionv1.Reply_Error{Error: &actionv1.CallError{Message: strings.ToValidUTF8(err.Error(), "\uFFFD")}}}
	}
	reply.Id = c.GetId()
	if err := ph.stream.Send(&actionv1.RunRequest{Message: &actionv1.RunRequest_Reply{Reply: reply}}); err != nil {
		return ph.sendError(err)
	}
	return nil
}

// carryOut hands a call to the runner. Reading and waiting, also for a person, end when the plugin dies; an effect on the machine
// is always carried through.
func (ph *phase) carryOut(ctx context.Context, c *actionv1.Call) (*actionv1.Reply, error) {
	alive, cancel := ph.whileAlive(ctx)
	defer cancel()
	switch c := c.GetCall().(type) {
	case *actionv1.Call_Query:
		res, err := ph.calls.Query(alive, c.Query)
		return &actionv1.Reply{Reply: &actionv1.Reply_Query{Query: res}}, err
	case *actionv1.Call_Effect:
		if c.Effect.GetEffect().GetConfirm() != nil {
			ctx = alive
		}
		rec, err := ph.calls.Effect(ctx, c.Effect)
		return &actionv1.Reply{Reply: &actionv1.Reply_Effect{Effect: rec}}, err
	case *actionv1.Call_Wait:
		d := c.Wait.GetDuration()
		if d.CheckValid() != nil || d.AsDuration() < 0 {
			return nil, errors.New("wait: not a duration to wait for")
		}
		err := ph.calls.Wait(alive, d.AsDuration())
		return &actionv1.Reply{Reply: &actionv1.Reply_Wait{Wait: &actionv1.WaitResult{}}}, err
	default:
		return nil, &runner.RefusedError{Message: "it asked for something that this agent does not know: update the agent"}
	}
}

// whileAlive returns a context that ends with the plugin's process.
func (ph *phase) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	alive, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ph.exited:
			cancel()
		case <-alive.Done():
		}
	}()
	return alive, cancel
}

func (ph *phase) addEvidence(e *actionv1.Evidence) error {
	if err := ph.add(len(e.GetName()) + len(e.GetValue())); err != nil {
		return err
	}
	ph.calls.Evidence(e)
	return nil
}

// add counts a piece of evidence, a finding or a report.
func (ph *phase) add(bytes int) error {
	ph.evidence++
	ph.evidenceBytes += bytes
	if ph.evidence > maxEvidence || ph.evidenceBytes > maxEvidenceBytes {
		return fmt.Errorf("it sent more evidence than %d items or %d bytes in one phase", maxEvidence, maxEvidenceBytes)
	}
	return nil
}

// checkFinish refuses the finish of another phase.
func checkFinish(p actionv1.Phase, f *actionv1.Finish) error {
	var ok bool
	switch p {
	case actionv1.Phase_PHASE_PLAN:
		ok = f.GetPlan() != nil
	case actionv1.Phase_PHASE_APPLY:
		ok = f.GetApplied() != nil
	case actionv1.Phase_PHASE_VERIFY:
		ok = f.GetVerdict() != nil
	}
	if !ok {
		return fmt.Errorf("it ended %v with the finish of another phase", p)
	}
	return nil
}

// exits says whether the process has ended or is about to; its connection breaks a moment earlier.
func (p *process) exits() bool {
	select {
	case <-p.child.exited:
		return true
	case <-time.After(exitGrace):
		return false
	}
}
