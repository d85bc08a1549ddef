package link

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

type stream = grpc.BidiStreamingClient[agentv1.ConnectRequest, agentv1.ConnectResponse]

var errNoWelcome = errors.New("the server did not answer in time")

// session is one open session.
type session struct {
	link    *Link
	stream  stream
	box     *outbox
	greeted *agentv1.Hello
	// probes holds a token for each probe that is made for another terminal, and probing waits for them.
	probes  chan struct{}
	probing sync.WaitGroup
	// open is closed when the server has sent orders: from then on it is told news. acked holds the latest acknowledgement of news that
	// tellGuide has not seen.
	open   chan struct{}
	opened bool
	acked  chan uint64
}

// runSession opens a session and serves it to its end.
func (l *Link) runSession(parent context.Context) ending {
	ctx, cut := context.WithCancelCause(parent)
	defer cut(nil)
	server := l.config.Identity.Record().Server
	conn, err := open(server, l.config.Identity.TLS(), l.dial)
	if err != nil {
		return ending{err: err}
	}
	// Nothing is lost with a connection that closes badly: what mattered is in the journal.
	defer func() { _ = conn.Close() }()
	end := l.serve(ctx, cut, conn)
	if cause := context.Cause(ctx); cause != nil {
		end.err = cause
	}
	end.err = explain(server, end.err)
	return end
}

func (l *Link) serve(ctx context.Context, cut context.CancelCauseFunc, conn *grpc.ClientConn) ending {
	late := time.AfterFunc(l.timing.welcome, func() { cut(errNoWelcome) })
	defer late.Stop()
	hello, err := l.hello()
	if err != nil {
		return ending{err: err}
	}
	st, err := agentv1.NewAgentServiceClient(conn).Connect(ctx)
	if err != nil {
		return ending{err: err}
	}
	// The server is there: only now, so that one that is away for a night does not wear out the disk.
	if hello.JournalSequence, err = l.config.Journal.BeginSession(); err != nil {
		return ending{err: err}
	}
	s := &session{
		link: l, stream: st, box: newOutbox(cut), greeted: hello, probes: make(chan struct{}, maxProbes),
		open: make(chan struct{}), acked: make(chan uint64, 1),
	}
	first, err := s.greet()
	if err != nil {
		return ending{err: err, goodbye: first.GetGoodbye()}
	}
	late.Stop()
	begun := time.Now()
	if err := l.welcomed(first.GetWelcome()); err != nil {
		return ending{err: err}
	}
	goodbye, err := s.run(ctx)
	return ending{
		err: err, goodbye: goodbye, lasted: max(time.Since(begun), 1),
		returnWithin: first.GetWelcome().GetReturnWithin().AsDuration(),
	}
}

func (l *Link) hello() (*agentv1.Hello, error) {
	open, err := l.config.Runner.OpenTasks()
	if err != nil {
		return nil, err
	}
	epoch, err := l.config.Runner.Epoch()
	if err != nil {
		return nil, err
	}
	sealingKey, proof, err := l.config.Identity.SealingKey()
	if err != nil {
		return nil, err
	}
	h := &agentv1.Hello{
		ProtocolVersion: protocolVersion,
		JournalId:       l.config.Journal.ID(),
		Facts:           l.currentFacts(),
		OpenTasks:       open,
		Epoch:           epoch,
		SealingKey:      sealingKey,
		SealingKeyProof: proof,
	}
	if g := l.config.Guide; g != nil {
		h.OrdersVersion = g.Orders.Version()
	}
	for _, p := range l.config.Plugins {
		h.PluginSha256 = append(h.PluginSha256, p.GetSha256())
	}
	return h, nil
}

// greet sends the Hello and returns the server's first message, with an error when it is no Welcome.
func (s *session) greet() (*agentv1.ConnectResponse, error) {
	hello := &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Hello{Hello: s.greeted}}
	// A failed send is explained by the receive that follows.
	_ = s.stream.Send(hello)
	m, err := s.stream.Recv()
	if err != nil {
		return nil, err
	}
	if g := m.GetGoodbye(); g != nil {
		return m, farewell(g)
	}
	if m.GetWelcome() == nil {
		return m, fmt.Errorf("the server opened with %T, want a welcome", m.GetMessage())
	}
	return m, nil
}

// welcomed passes on what the server said of itself and of this terminal.
func (l *Link) welcomed(w *agentv1.Welcome) error {
	if err := l.config.Runner.SetEpoch(w.GetEpoch()); err != nil {
		return err
	}
	if w.GetServerTime().IsValid() {
		now := w.GetServerTime().AsTime()
		l.offset.Store(int64(time.Until(now)))
		l.config.Runner.SetServerTime(now)
	}
	l.config.Runner.SetTerminal(&actionv1.Terminal{
		Id: w.GetTerminalId(), Name: w.GetName(), Site: w.GetSite(), Role: w.GetRole(),
	})
	l.config.Log.Info("connected", "server", l.config.Identity.Record().Server, "session", w.GetSessionId(),
		"terminal", w.GetTerminalId(), "name", w.GetName(), "site", w.GetSite())
	return nil
}

// run serves the session after the Welcome. When it returns, nothing of the session runs any more.
func (s *session) run(ctx context.Context) (*agentv1.Goodbye, error) {
	runner := s.link.config.Runner
	runner.SessionStarted()
	defer runner.SessionEnded()
	waiting := s.link.bind(s.box)
	defer s.link.bind(nil)

	// Reports go to the box from here on, so what the backlog does not hold will be in the box.
	backlog, err := s.backlog()
	if err != nil {
		return nil, err
	}
	backlog = append(backlog, waiting...)
	ctx, stop := context.WithCancel(ctx)
	var sender sync.WaitGroup
	sender.Go(func() { s.box.drain(ctx, backlog, s.stream.Send) })
	sender.Go(func() { s.link.keepUploads(ctx) })
	sender.Go(func() { s.tellGuide(ctx) })
	goodbye, err := s.receive(ctx)
	s.box.cut(err)
	stop()
	sender.Wait()
	s.probing.Wait()
	return goodbye, err
}

// backlog is what the server may have missed: facts that changed since the Hello, accepted tasks, open questions, results and what became
// of changes with an end.
func (s *session) backlog() ([]*agentv1.ConnectRequest, error) {
	open, err := s.link.config.Runner.OpenTasks()
	if err != nil {
		return nil, err
	}
	results, err := s.link.config.Runner.Unacknowledged()
	if err != nil {
		return nil, err
	}
	news, err := s.link.config.Runner.LeaseNews()
	if err != nil {
		return nil, err
	}
	var out []*agentv1.ConnectRequest
	if f := s.link.currentFacts(); f != s.greeted.GetFacts() {
		out = append(out, &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Facts{Facts: f}})
	}
	for _, t := range open {
		if t.GetState() == agentv1.TaskState_TASK_STATE_ACCEPTED {
			out = append(out, accepted(t.GetKey()))
		}
	}
	for _, q := range s.link.config.Runner.OpenQuestions() {
		out = append(out, question(q))
	}
	for _, r := range results {
		out = append(out, s.link.result(r))
	}
	// After the results: a lease can be known by the result of its task only.
	for _, n := range news {
		out = append(out, leaseNews(n))
	}
	return out, nil
}

// receive handles what the server sends until the session ends.
func (s *session) receive(ctx context.Context) (*agentv1.Goodbye, error) {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return nil, err
		}
		if g := m.GetGoodbye(); g != nil {
			return g, farewell(g)
		}
		if err := s.handle(ctx, m); err != nil {
			return nil, err
		}
	}
}

// handle passes one message on. Messages that this build does not know are of a newer server and mean nothing to it.
func (s *session) handle(ctx context.Context, m *agentv1.ConnectResponse) error {
	runner := s.link.config.Runner
	switch m := m.GetMessage().(type) {
	case *agentv1.ConnectResponse_Dispatch:
		return s.dispatch(ctx, m.Dispatch)
	case *agentv1.ConnectResponse_Permit:
		runner.Permit(m.Permit)
	case *agentv1.ConnectResponse_Cancel:
		runner.Cancel(m.Cancel.GetKey(), m.Cancel.GetReason())
	case *agentv1.ConnectResponse_Hold:
		runner.Hold(m.Hold.GetKey(), m.Hold.GetReason())
	case *agentv1.ConnectResponse_Answer:
		runner.Answer(m.Answer)
	case *agentv1.ConnectResponse_ResultAck:
		runner.Acknowledge(m.ResultAck.GetKey())
	case *agentv1.ConnectResponse_LeaseNewsAck:
		runner.LeaseNewsAcknowledged(m.LeaseNewsAck)
	case *agentv1.ConnectResponse_PluginsRequest:
		s.box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Plugins{
			Plugins: &agentv1.PluginsReport{Plugins: s.link.pluginsOf(m.PluginsRequest.GetSha256())},
		}})
	case *agentv1.ConnectResponse_Orders:
		s.ordered(m.Orders)
	case *agentv1.ConnectResponse_NewsAck:
		return s.newsAcknowledged(m.NewsAck)
	case *agentv1.ConnectResponse_BreakerReset:
		s.resetBreaker(m.BreakerReset)
	case *agentv1.ConnectResponse_Told:
		s.link.tell(m.Told)
	case *agentv1.ConnectResponse_ProbeOrder:
		s.probe(ctx, m.ProbeOrder)
	case *agentv1.ConnectResponse_Welcome:
		return errors.New("the server sent a second welcome")
	}
	return nil
}

// dispatch hands a task over. When it cannot be journalled the session ends, so that the server hands it over again later.
func (s *session) dispatch(ctx context.Context, d *agentv1.Dispatch) error {
	job := d.GetTask().GetKey().GetJobId()
	if job == "" {
		return errors.New("the server sent a task without a key")
	}
	if err := s.link.config.Runner.Dispatch(ctx, d); err != nil {
		return fmt.Errorf("job %q: cannot be taken: %w", job, err)
	}
	return nil
}
