package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// ProtocolVersion is the version of agent.v1 that this server speaks.
const ProtocolVersion = 1

const (
	// helloPatience is how long an agent may take to say who it is.
	helloPatience = 10 * time.Second
	// closePatience bounds what is written after a session's end.
	closePatience = 5 * time.Second
)

// Engine is told what agents say. Its calls wait when the engine is behind, which slows the agent down.
type Engine interface {
	Connected(ctx context.Context, terminalID string, session uint64, open []*agentv1.OpenTask, journalID string) error
	Disconnected(ctx context.Context, terminalID string, session uint64) error
	// Journal tells how an agent's journal was found at the hello, before anything is sent on the session.
	Journal(ctx context.Context, terminalID string, sequence uint64, q *fleetv1.Quarantine) error
	// Facts tells what an agent says of its machine: with its hello, before Connected, and on change.
	Facts(ctx context.Context, terminalID string, session uint64, role fleetv1.TerminalRole, facts *agentv1.Facts) error
	PermitRequested(ctx context.Context, terminalID string, r *agentv1.PermitRequest) error
	Blocked(ctx context.Context, terminalID string, b *agentv1.Blocked) error
	Started(ctx context.Context, terminalID string, s *agentv1.Started) error
	Progress(ctx context.Context, terminalID string, p *agentv1.TaskProgress) error
	// PluginsSeen tells which plugins the terminal has: before Connected, and again when their manifests have come.
	PluginsSeen(ctx context.Context, terminalID string, sha256 []string) error
	// Question tells that a task waits for a person.
	Question(ctx context.Context, terminalID string, q *agentv1.Question) error
	Result(ctx context.Context, terminalID string, r *agentv1.Result, stored func(error)) error
	// LeaseNews tells what became of a change with an end. stored gets NOT_FOUND when there is no place for it any more.
	LeaseNews(ctx context.Context, terminalID string, n *agentv1.LeaseNews, stored func(error)) error
}

// Inventory is what is written of a session.
type Inventory interface {
	// SessionOpened stores what a hello says. heard is the greatest sequence of the same journal that a session told that this one
	// replaces, or 0.
	SessionOpened(ctx context.Context, terminalID string, hello *agentv1.Hello, heard uint64) (*inventory.Opening, error)
	FactsChanged(ctx context.Context, terminalID string, facts *agentv1.Facts) error
	SavePlugins(ctx context.Context, terminalID string, plugins []*agentv1.Plugin) error
	// SessionClosed stores the end of a session and the greatest sequence of its journal that was heard.
	SessionClosed(ctx context.Context, terminalID, journalID string, heard uint64) error
}

// Epoch numbers the lives of the server's store: one that was restored from a backup must have a later one than agents have
// seen, for they refuse tasks of an earlier epoch.
type Epoch interface {
	Current() uint64
	// Raise makes the epoch greater than seen, on disk, if it is not.
	Raise(ctx context.Context, seen uint64) error
}

// Renewer gives a terminal a new certificate.
type Renewer interface {
	Renew(ctx context.Context, terminalID string, csr []byte) (*agentv1.RenewResponse, error)
}

// Asks answers what agents want to know for the tasks that they run.
type Asks interface {
	// Ask answers a question on the session that it came on. It does not block; ctx is the session's.
	Ask(ctx context.Context, terminalID string, session uint64, a *agentv1.Ask)
	// Verdict takes what a terminal found that was asked to probe a host. It does not block.
	Verdict(terminalID string, v *agentv1.ProbeVerdict)
}

// Config is what a service is made of.
type Config struct {
	Registry  *Registry
	Engine    Engine
	Inventory Inventory
	Renewer   Renewer
	Artifacts Artifacts
	Asks      Asks
	// Faults and Orders may be nil: then news is not acknowledged, and nobody is sent orders.
	Faults Faults
	Orders Orders
	// Terminal returns whom the client certificate of a call speaks for, nil when it is no terminal.
	Terminal func(ctx context.Context) *storagev1.TerminalRecord
	Epoch    Epoch
	// Fleet is how many terminals there were when the server started.
	Fleet int
	Now   func() time.Time
	Log   *slog.Logger
}

// Service answers agents.
type Service struct {
	agentv1.UnimplementedAgentServiceServer
	Config
}

// New makes a service.
func New(c Config) *Service { return &Service{Config: c} }

// Renew implements AgentService.
func (v *Service) Renew(ctx context.Context, r *agentv1.RenewRequest) (*agentv1.RenewResponse, error) {
	terminal := v.Terminal(ctx).GetTerminal()
	if terminal == nil {
		return nil, errNoTerminal()
	}
	return v.Renewer.Renew(ctx, terminal.GetId(), r.GetCsr())
}

// stream is what a session needs of its gRPC stream.
type stream interface {
	sender
	Recv() (*agentv1.ConnectRequest, error)
	Context() context.Context
}

// Connect implements AgentService.
func (v *Service) Connect(st agentv1.AgentService_ConnectServer) error { return v.connect(st) }

func (v *Service) connect(st stream) error {
	ctx := st.Context()
	terminal := v.Terminal(ctx).GetTerminal()
	if terminal == nil {
		return errNoTerminal()
	}
	s := newSession(terminal.GetId(), st)
	s.role = terminal.GetRole()
	go v.receive(ctx, st, s)
	<-s.ended
	return status(ctx, s.why())
}

func errNoTerminal() error {
	return refusal.New(refusal.Denied, "NOT_A_TERMINAL", "the caller is not a terminal").Then("enrol the machine")
}

// status is what the agent is told of the end; nothing when it has left itself.
func status(ctx context.Context, cause error) error {
	left := errors.Is(cause, io.EOF) || ctx.Err() != nil
	if !left {
		return cause
	}
	return nil
}

// receive drives a session until its stream ends. It is the session's one goroutine that is always there, beside the
// handler that waits for the end.
func (v *Service) receive(ctx context.Context, st stream, s *session) {
	hello, err := v.hello(st, s)
	if err != nil {
		s.cut(err)
		return
	}
	s.journal = hello.GetJournalId()
	s.hear(hello.GetJournalSequence())
	if err := v.Registry.enter(s); err != nil {
		s.cut(err)
		return
	}
	defer v.Registry.running.Done()
	defer v.close(ctx, s)
	ctx, over := context.WithCancel(ctx)
	defer s.news.done.Wait()
	defer over()
	if err := v.open(ctx, s, hello); err != nil {
		s.cut(err)
		return
	}
	v.Log.Debug("session opened", "terminal", s.terminalID, "session", s.number)
	for {
		m, err := st.Recv()
		if err == nil {
			err = v.take(ctx, s, m)
		}
		if err != nil {
			s.cut(err)
			return
		}
	}
}

// hello waits for the first message, which must be one.
func (v *Service) hello(st stream, s *session) (*agentv1.Hello, error) {
	timer := time.AfterFunc(helloPatience, func() {
		s.cut(refusal.New(refusal.Invalid, "NO_HELLO", "terminal %q: said no hello within %s", s.terminalID, helloPatience))
	})
	defer timer.Stop()
	m, err := st.Recv()
	if err != nil {
		return nil, err
	}
	h := m.GetHello()
	if h == nil {
		return nil, malformed(s, "the first message is not hello")
	}
	if h.GetProtocolVersion() != ProtocolVersion {
		return nil, refusal.New(refusal.Precondition, "PROTOCOL_VERSION", "terminal %q: its agent speaks protocol %d, this server %d",
			s.terminalID, h.GetProtocolVersion(), ProtocolVersion).Then("bring agent and server to versions that fit")
	}
	return h, v.checkHello(s, h)
}

// open lets the session in: from here on it counts.
func (v *Service) open(ctx context.Context, s *session, h *agentv1.Hello) error {
	opening, err := v.Inventory.SessionOpened(ctx, s.terminalID, h, s.before)
	if err != nil {
		return err
	}
	if q := opening.Quarantine; q != nil {
		v.Log.Warn("nothing is started on a terminal in quarantine", "terminal", s.terminalID, "since", q.GetTime().AsTime(), "reason", q.GetReason())
	}
	if seen := h.GetEpoch(); seen > v.Epoch.Current() {
		v.Log.Warn("an agent has seen a later epoch of this server: was the store restored from a backup?",
			"terminal", s.terminalID, "agent_epoch", seen, "epoch", v.Epoch.Current())
		if err := v.Epoch.Raise(ctx, seen); err != nil {
			return err
		}
	}
	if err := v.Engine.Journal(ctx, s.terminalID, h.GetJournalSequence(), opening.Quarantine); err != nil {
		return err
	}
	// What the certificate's record said when the call came in; it is told anew at each session.
	record := v.Terminal(ctx)
	terminal := record.GetTerminal()
	welcome := &agentv1.Welcome{
		SessionId: fmt.Sprintf("%s-%d", s.terminalID, s.number), Epoch: v.Epoch.Current(), ServerTime: timestamppb.New(v.Now()),
		TerminalId: s.terminalID, Name: terminal.GetName(), Site: terminal.GetSite(), Role: identity.RoleWord(terminal.GetRole()),
		ReturnWithin: durationpb.New(v.Registry.returnWithin(v.Fleet)),
	}
	s.start(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: welcome}})
	v.beginOrders(ctx, s, h, record)
	if len(opening.Unknown) > 0 {
		s.plugins = h.GetPluginSha256()
		ask := &agentv1.PluginsRequest{Sha256: opening.Unknown}
		s.send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_PluginsRequest{PluginsRequest: ask}})
	}
	return v.tell(ctx, s, h, terminal)
}

// tell tells the engine of a session that is open.
func (v *Service) tell(ctx context.Context, s *session, h *agentv1.Hello, terminal *fleetv1.Terminal) error {
	if err := v.Engine.PluginsSeen(ctx, s.terminalID, h.GetPluginSha256()); err != nil {
		return err
	}
	facts := h.GetFacts()
	if facts == nil {
		facts = terminal.GetFacts()
	}
	if err := v.Engine.Facts(ctx, s.terminalID, s.number, s.role, facts); err != nil {
		return err
	}
	return v.Engine.Connected(ctx, s.terminalID, s.number, h.GetOpenTasks(), h.GetJournalId())
}

// close tells everybody that the session is over. What is said of a session that another has replaced is the other's.
func (v *Service) close(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	_ = v.Engine.Disconnected(ctx, s.terminalID, s.number)
	if !v.Registry.isCurrent(s) {
		return
	}
	// It is written while the registry still has the session, so that the next one knows what this one heard from the one or the other.
	if err := v.Inventory.SessionClosed(ctx, s.terminalID, s.journal, s.heard.Load()); err != nil {
		v.Log.Warn("the end of a session was not recorded", "terminal", s.terminalID, "error", err)
	}
	v.Registry.leave(s)
	v.Log.Debug("session ended", "terminal", s.terminalID, "session", s.number, "cause", s.why())
}
