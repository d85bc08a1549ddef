package sessions

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/orders"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// desk is what the tests have of faults and orders.
type desk struct {
	mu sync.Mutex
	// batches are the news of each call, and journals whose they were.
	batches  []string
	journals map[string]bool
	lines    int
	// largest is the size of the largest piece of news, in bytes.
	largest int
	fail    error
	// hold keeps calls until it is closed.
	hold    chan struct{}
	now     *agentv1.Orders
	changed chan struct{}
}

func (d *desk) Report(_ context.Context, terminal *storagev1.TerminalRecord, news []*agentv1.News) (uint64, error) {
	if d.hold != nil {
		<-d.hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return 0, d.fail
	}
	d.batches = append(d.batches, fmt.Sprintf("%d-%d", news[0].GetSequence(), news[len(news)-1].GetSequence()))
	if d.journals == nil {
		d.journals = map[string]bool{}
	}
	d.journals[terminal.GetJournalId()] = true
	for _, n := range news {
		d.largest = max(d.largest, proto.Size(n))
	}
	return news[len(news)-1].GetSequence(), nil
}

func (d *desk) CountUnmatched(_ context.Context, _ *storagev1.TerminalRecord, u *agentv1.UnmatchedLines) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines += len(u.GetTemplates())
	return errors.New("not counted, and no reason to end a session")
}

func (d *desk) For(context.Context, *storagev1.TerminalRecord) (*agentv1.Orders, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now, d.fail
}

func (d *desk) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// order changes the orders.
func (d *desk) order(version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = &agentv1.Orders{Version: version, CatalogueVersion: "1"}
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *desk) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func withDesk(t *testing.T, test func(*testing.T, *rig, *desk)) {
	t.Helper()
	bubble(t, func(t *testing.T, r *rig) {
		d := &desk{changed: make(chan struct{})}
		r.service.Faults, r.service.Orders = d, d
		test(t, r, d)
	})
}

func news(sequence uint64) *agentv1.ConnectRequest {
	return newsOf(&agentv1.News{Sequence: sequence, News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{Entry: "a"}}})
}

func newsOf(n *agentv1.News) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_News{News: n}}
}

// Nothing waits for news: results and permits of the same session go on, and what has gathered is stored together, in order.
func TestNewsIsAcknowledgedWhenItIsStored(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.hold = make(chan struct{})
		p := r.connected()
		for i := range 40 {
			p.toServer <- news(uint64(i + 1))
		}
		p.toServer <- result(1)
		synctest.Wait()
		if got := r.world.take(); !strings.HasSuffix(got, "result") {
			t.Errorf("told %q; want the result, which must not wait for news", got)
		}
		if len(p.toAgent) > 0 {
			t.Error("acknowledged before it was stored: a crash now would lose the news")
		}
		close(d.hold)
		synctest.Wait()
		var want, last uint64
		for _, batch := range d.batches {
			var from, to uint64
			if _, err := fmt.Sscanf(batch, "%d-%d", &from, &to); err != nil || from != want+1 || to >= from+newsBatch {
				t.Errorf("stored the batches %v, want all of it in order, at most %d at once", d.batches, newsBatch)
			}
			want = to
		}
		for len(p.toAgent) > 0 {
			last = (<-p.toAgent).GetNewsAck().GetSequence()
		}
		if want != 40 || last != 40 || len(d.batches) > 4 {
			t.Errorf("stored %v and acknowledged up to %d, want 40 in a few batches", d.batches, last)
		}
		if !d.journals["j"] || len(d.journals) != 1 {
			t.Errorf("the news is of the journals %v, want that of the hello", d.journals)
		}
		p.hangUp(t)
	})
}

func TestNewsIsStoredWhenTheDiskIsBack(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.set(errors.New("disk full"))
		p := r.connected()
		p.toServer <- news(7)
		time.Sleep(time.Minute)
		if len(p.toAgent) > 0 || !r.registry.Online("T-0001") {
			t.Fatal("news was acknowledged that is not stored, or the session has ended for it")
		}
		d.set(nil)
		time.Sleep(2 * time.Minute)
		if ack := (<-p.toAgent).GetNewsAck(); ack.GetSequence() != 7 {
			t.Errorf("got the acknowledgement %v, want that of 7", ack)
		}
		d.set(errors.New("disk full"))
		p.toServer <- news(8)
		p.hangUp(t)
		synctest.Wait() // nothing is left that tries on
	})
}

// An agent sends what is not acknowledged again with each session, so that one piece of news that ends it would keep all the rest away for ever.
func TestNewsThatMakesNoSenseEndsNoSession(t *testing.T) {
	large := &agentv1.FaultReport{Entry: "a", Evidence: []*agentv1.Evidence{{Value: strings.Repeat("x", maxNewsSize)}}}
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		p := r.connected()
		p.toServer <- news(0)
		p.toServer <- newsOf(&agentv1.News{Sequence: 1, News: &agentv1.News_Fault{Fault: large}})
		p.toServer <- newsOf(&agentv1.News{Sequence: 2})
		p.toServer <- news(3)
		p.toServer <- &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_UnmatchedLines{UnmatchedLines: &agentv1.UnmatchedLines{
			Templates: []*agentv1.UnmatchedTemplate{{Template: "no class"}, {FileClass: "nem", Template: "error <n>"}},
		}}}
		synctest.Wait()
		var last uint64
		for len(p.toAgent) > 0 {
			last = (<-p.toAgent).GetNewsAck().GetSequence()
		}
		if last != 3 || !r.registry.Online("T-0001") {
			t.Errorf("acknowledged up to %d, online %t; want 3 and the session to go on", last, r.registry.Online("T-0001"))
		}
		if d.largest > maxNewsSize || d.lines != 1 {
			t.Errorf("handed over %d bytes in one piece and %d lines; want nothing that is too much, and the one line that makes sense", d.largest, d.lines)
		}
		p.hangUp(t)
	})
}

func TestAnAgentThatSendsTooMuchNewsIsCut(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.hold = make(chan struct{})
		p := r.connected()
		for i := range maxNews + 1 {
			p.toServer <- news(uint64(i + 1))
		}
		synctest.Wait() // the last one has been taken before the first is stored
		close(d.hold)
		expectRefusal(t, <-p.returned, "TOO_MUCH_NEWS")
		synctest.Wait()
	})
}

func TestLinesThatNoRuleKnowsAreCounted(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		p := r.connected()
		p.toServer <- &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_UnmatchedLines{UnmatchedLines: &agentv1.UnmatchedLines{
			Templates: []*agentv1.UnmatchedTemplate{{FileClass: "nem", Template: "error <n>", Count: 3}},
		}}}
		p.hangUp(t)
		if d.lines != 1 {
			t.Errorf("%d templates were counted, want 1", d.lines)
		}
	})
}

// helloWith is the hello of an agent that goes by orders.
func helloWith(version string) *agentv1.ConnectRequest {
	m := hello()
	m.GetHello().OrdersVersion = version
	return m
}

// opened dials, says hello and returns what is sent beside the welcome and the question for plugins.
func (r *rig) opened(h *agentv1.ConnectRequest) (p *pipe, orders *agentv1.Orders) {
	r.t.Helper()
	p = r.dial(queueSize * 2)
	p.toServer <- h
	synctest.Wait()
	for len(p.toAgent) > 0 {
		if o := (<-p.toAgent).GetOrders(); o != nil {
			orders = o
		}
	}
	return p, orders
}

func TestAgentsAreSentTheirOrders(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.order("v1")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { r.service.Run(ctx) })
		defer running.Wait()
		defer stop()

		p, o := r.opened(helloWith(orders.None))
		if o.GetVersion() != "v1" || o.GetUnchanged() || o.GetCatalogueVersion() != "1" {
			t.Fatalf("an agent without orders is sent %v, want all of v1", o)
		}
		d.order("v2")
		d.order("v3")
		time.Sleep(2 * ordersPause)
		if o = (<-p.toAgent).GetOrders(); o.GetVersion() != "v3" || len(p.toAgent) > 0 {
			t.Errorf("after two changes at once it is sent %v and %d more, want v3 and no more", o, len(p.toAgent))
		}
		d.order("v3")
		time.Sleep(2 * ordersPause)
		if len(p.toAgent) > 0 {
			t.Errorf("orders that are the same are sent again: %v", <-p.toAgent)
		}
		for _, problem := range []string{"", `signal "x": is not known here`} {
			p.toServer <- &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_OrdersTaken{OrdersTaken: &agentv1.OrdersTaken{Version: "v3", Problem: problem}}}
		}
		p.hangUp(t)
		p, o = r.opened(helloWith("v3"))
		if o.GetVersion() != "v3" || !o.GetUnchanged() || o.GetCatalogueVersion() != "" {
			t.Errorf("an agent that has them is sent %v, want no more than that", o)
		}
		p.hangUp(t)
	})
}

func TestAnAgentOfTheReleaseBeforeIsSentNoOrders(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.order("v1")
		p, o := r.opened(hello())
		r.service.sendOrders(t.Context(), r.registry.all()[0])
		synctest.Wait()
		if o != nil || len(p.toAgent) > 0 {
			t.Errorf("it is sent %v", o)
		}
		p.hangUp(t)
	})
}

// A session is opened although there are no orders to be had; they come with the next change.
func TestOrdersThatCannotBeMadeEndNoSession(t *testing.T) {
	withDesk(t, func(t *testing.T, r *rig, d *desk) {
		d.set(errors.New("the store is busy"))
		p, o := r.opened(helloWith(orders.None))
		if o != nil || !r.registry.Online("T-0001") {
			t.Fatalf("it is sent %v, or has no session", o)
		}
		d.set(nil)
		d.order("v1")
		r.service.sendOrders(t.Context(), r.registry.all()[0])
		synctest.Wait()
		if o := (<-p.toAgent).GetOrders(); o.GetVersion() != "v1" {
			t.Errorf("it is sent %v later, want v1", o)
		}
		p.hangUp(t)
	})
}
