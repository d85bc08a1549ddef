package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/news"
	"github.com/bandfleet/bandfleet/agent/orders"
	"github.com/bandfleet/bandfleet/agent/reflex"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	naming "github.com/bandfleet/bandfleet/proto/orders"
)

// resets and lines write down and hand out.
type resets struct{ got chan string }

func (r *resets) Reset(b *agentv1.BreakerReset) { r.got <- b.GetEntry() + " by " + b.GetBy() }

type lines struct{ left int }

func (l *lines) Unmatched() *agentv1.UnmatchedLines {
	if l.left == 0 {
		return nil
	}
	l.left--
	return &agentv1.UnmatchedLines{Templates: []*agentv1.UnmatchedTemplate{{FileClass: "nem", Template: "error <n>", Count: 3}}}
}

// newGuide is one with a real journal, outbox and keeper.
func newGuide(t *testing.T) (*Guide, *news.Outbox) {
	t.Helper()
	book, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	outbox, err := news.Open(news.Config{Journal: book, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := orders.Open(book, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &Guide{Orders: keeper, News: outbox, Breakers: &resets{make(chan string, 4)}}, outbox
}

func with(g *Guide) func(*Link) { return func(l *Link) { l.config.Guide = g } }

func ordersOf(t *testing.T, o *agentv1.Orders) *agentv1.ConnectResponse {
	t.Helper()
	if o.GetVersion() == "" {
		var err error
		if o.Version, err = naming.Version(o); err != nil {
			t.Fatal(err)
		}
	}
	return &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Orders{Orders: o}}
}

func newsAck(upTo uint64) *agentv1.ConnectResponse {
	return &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_NewsAck{NewsAck: &agentv1.NewsAck{Sequence: upTo}}}
}

func add(t *testing.T, outbox *news.Outbox, entries ...string) {
	t.Helper()
	for _, e := range entries {
		if err := outbox.Add(&agentv1.News{News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{Entry: e, Count: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantNews receives news and nothing else.
func (c *conversation) wantNews(t *testing.T, want ...uint64) {
	t.Helper()
	for _, sequence := range want {
		if m := c.receive(t); m.GetNews().GetSequence() != sequence {
			t.Fatalf("got %v, want news %d", m, sequence)
		}
	}
}

func (c *conversation) cut() { c.over <- status.Error(codes.Unavailable, "cut") }

func TestOrdersAndNewsAreCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		g, outbox := newGuide(t)
		g.Lines = &lines{left: 1}
		add(t, outbox, "a", "b")
		startLink(t, f, newFakeRunner(), with(g))
		c := <-f.sessions
		if hello := c.welcome(t); hello.GetOrdersVersion() != naming.None {
			t.Errorf("the hello names the orders %q, want that there are none: without it the server sends none", hello.GetOrdersVersion())
		}
		one := ordersOf(t, &agentv1.Orders{CatalogueVersion: "1"})
		c.send(t, one)
		if m := c.receive(t).GetOrdersTaken(); m.GetVersion() != one.GetOrders().GetVersion() || m.GetProblem() != "" {
			t.Fatalf("the answer to orders is %v, want that they are taken", m)
		}
		c.wantNews(t, 1, 2)
		c.send(t, newsAck(1))
		add(t, outbox, "c")
		c.wantNews(t, 3)
		bad := ordersOf(t, &agentv1.Orders{Logs: []*agentv1.LogRule{{Entry: "a", Id: "a", FileClass: "syslog", All: []string{"x"}}}})
		c.send(t, bad)
		if m := c.receive(t).GetOrdersTaken(); m.GetVersion() != bad.GetOrders().GetVersion() || m.GetProblem() == "" {
			t.Errorf("the answer to orders that make no sense is %v, want why they were refused", m)
		}
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_BreakerReset{BreakerReset: &agentv1.BreakerReset{Entry: "a", By: "ada"}}})
		if got := <-g.Breakers.(*resets).got; got != "a by ada" {
			t.Errorf("the reset came as %q", got)
		}
		if m := c.receive(t).GetUnmatchedLines(); len(m.GetTemplates()) != 1 {
			t.Errorf("got %v, want the lines that no rule knows", m)
		}

		c.cut()
		c = <-f.sessions
		if hello := c.welcome(t); hello.GetOrdersVersion() != one.GetOrders().GetVersion() {
			t.Errorf("the next hello names the orders %q, want those that are gone by", hello.GetOrdersVersion())
		}
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Orders{Orders: naming.Unchanged(one.GetOrders().GetVersion())}})
		if m := c.receive(t).GetOrdersTaken(); m.GetProblem() != "" {
			t.Errorf("the answer to the same orders is %v, want that they hold", m)
		}
		c.wantNews(t, 2, 3) // from the first that is not acknowledged
		c.send(t, newsAck(3))
		c.send(t, newsAck(3))
		add(t, outbox, "d")
		c.wantNews(t, 4)
	})
}

// A server of the release before knows no news; it must not be told any. One that is slow is told no more than it may have waiting.
func TestNewsWaitsForAServerThatTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		g, outbox := newGuide(t)
		for i := range 3 * newsWindow {
			add(t, outbox, fmt.Sprint(i))
		}
		l := startLink(t, f, newFakeRunner(), with(g))
		c := <-f.sessions
		c.welcome(t)
		time.Sleep(time.Hour)
		l.Accepted(key("j-1"))
		if m := c.receive(t); m.GetAccepted() == nil {
			t.Fatalf("a server that sent no orders was told %v", m)
		}
		c.send(t, ordersOf(t, &agentv1.Orders{}))
		c.receive(t)
		for i := range newsWindow {
			c.wantNews(t, uint64(i+1))
		}
		time.Sleep(time.Minute)
		l.Accepted(key("j-2"))
		if m := c.receive(t); m.GetAccepted() == nil {
			t.Fatalf("more than the window was told before anything was acknowledged: %v", m)
		}
		c.send(t, newsAck(10))
		for i := range 10 {
			c.wantNews(t, uint64(newsWindow+i+1))
		}
		c.send(t, newsAck(newsWindow+10))
		for i := newsWindow + 10; i < 2*newsWindow+10; i++ {
			c.wantNews(t, uint64(i+1))
		}
	})
}

// brokenNews cannot be read.
type brokenNews struct{ News }

func (brokenNews) Take(uint64, int) ([]*agentv1.News, error) { return nil, errors.New("damaged") }

func TestNewsThatCannotBeReadEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		g, outbox := newGuide(t)
		g.News = brokenNews{outbox}
		startLink(t, f, newFakeRunner(), with(g))
		c := <-f.sessions
		c.welcome(t)
		c.send(t, ordersOf(t, &agentv1.Orders{}))
		(<-f.sessions).welcome(t)
	})
}

// starter starts the Bluetooth Endpoint.
type starter struct{}

func (starter) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "start", Resources: []string{"ble"}, Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Capabilities: []*actionv1.Capability{sdk.ReadService(host.EndpointService), sdk.ControlService(host.EndpointService)},
	}
}

func (starter) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(sdk.Planned("start", sdk.StartService(host.EndpointService, 10*time.Second), "", "")), nil
}

func (starter) Apply(ctx context.Context, r *sdk.ApplyRun) error { return r.MustDo(ctx, "start") }

func (starter) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	s, err := r.Service(ctx, host.EndpointService)
	if err != nil {
		return nil, err
	}
	status := s.GetStatus()
	return sdk.Verdict(sdk.Check("running", "running", status.String(), status == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING)), nil
}

// terminal is a machine with runner, reflexes and link, as package agent puts them together.
type terminal struct {
	machine *hosttest.Memory
	engine  *reflex.Engine
}

func newTerminal(t *testing.T, f *fleet) *terminal {
	t.Helper()
	book, err := journal.Open(filepath.Join(t.TempDir(), "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = book.Close() })
	log := slog.New(slog.DiscardHandler)
	outbox, err := news.Open(news.Config{Journal: book, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	m := &terminal{machine: hosttest.NewMemory()}
	actions := runnertest.Actions(starter{})
	m.engine = reflex.New(reflex.Config{Journal: book, News: outbox, Plugins: actions, Log: log})
	run := runner.New(runner.Config{Host: m.machine.Host(), Journal: book, Plugins: actions, Remedies: m.engine, BootID: "b", Log: log})
	m.engine.SetRunner(run)
	keeper, err := orders.Open(book, log, m.engine)
	if err := errors.Join(err, m.engine.Recover(), run.Recover()); err != nil {
		t.Fatal(err)
	}
	l := startLink(t, f, run, with(&Guide{Orders: keeper, News: outbox, Breakers: m.engine}))
	run.SetReporter(l)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = run.Run(ctx) })
	running.Go(func() { _ = m.engine.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return m
}

// The line is cut, a service stops, the agent starts it by itself; when the line is back the server learns of the fault, of what was done, and
// that it is gone, in this order, and of no result of a job that it has not.
func TestAFaultIsRemediedWhileTheLineIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		m := newTerminal(t, f)
		c := <-f.sessions
		c.returnWithin = durationpb.New(5 * time.Minute)
		c.welcome(t)
		c.send(t, ordersOf(t, &agentv1.Orders{Reflexes: []*agentv1.Reflex{{Policy: "p", Entry: "stopped", Action: "start", ByAgent: true}}}))
		if m := c.receive(t).GetOrdersTaken(); m.GetProblem() != "" {
			t.Fatalf("the orders were refused: %s", m.GetProblem())
		}
		c.cut()
		m.machine.Crash(host.EndpointService, 1)
		report := &agentv1.FaultReport{
			Entry: "stopped", Rule: "state", Count: 1, Confidence: agentv1.Confidence_CONFIDENCE_STATE, FirstSeen: timestamppb.Now(), LastSeen: timestamppb.Now(),
		}
		if err := m.engine.Fault(report); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second) // whoever asks for a session meanwhile is not answered yet, so there is none
		if m.machine.PID(host.EndpointService) == 0 {
			t.Fatal("the service is stopped still, 20 s after the line was cut")
		}
		gone := &agentv1.FaultReport{Entry: "stopped", Gone: true, Rule: "state", LastSeen: timestamppb.Now()}
		if err := m.engine.Fault(gone); err != nil {
			t.Fatal(err)
		}
		c = <-f.sessions
		if hello := c.welcome(t); len(hello.GetOpenTasks()) > 0 {
			t.Errorf("the hello holds the tasks %v, want none of the agent's own", hello.GetOpenTasks())
		}
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Orders{Orders: naming.Unchanged("other")}})
		if m := c.receive(t).GetOrdersTaken(); m.GetProblem() == "" {
			t.Error("orders that the agent has not were taken as unchanged")
		}
		told := []*agentv1.News{c.receive(t).GetNews(), c.receive(t).GetNews(), c.receive(t).GetNews(), c.receive(t).GetNews()}
		r := told[2].GetReflex()
		if told[0].GetFault() == nil || told[1].GetBreaker() == nil || !told[3].GetFault().GetGone() ||
			r.GetPolicy() != "p" || r.GetResult().GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || r.GetAttempt() != 1 {
			t.Errorf("the server is told %v, want the fault, the attempt, what was done and that it is gone", told)
		}
	})
}
