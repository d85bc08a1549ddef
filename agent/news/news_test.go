package news

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk is an outbox whose process can end.
type desk struct {
	*Outbox
	t     *testing.T
	path  string
	book  *journal.Journal
	limit int
}

func newDesk(t *testing.T, limit int) *desk {
	t.Helper()
	d := &desk{t: t, path: filepath.Join(t.TempDir(), "journal.db"), limit: limit}
	d.open()
	t.Cleanup(func() { must(t, d.book.Close()) })
	return d
}

func (d *desk) open() {
	d.t.Helper()
	var err error
	d.book, err = journal.Open(d.path)
	must(d.t, err)
	d.Outbox, err = Open(Config{Journal: d.book, Limit: d.limit, Log: slog.New(slog.DiscardHandler)})
	must(d.t, err)
}

func (d *desk) restart() {
	d.t.Helper()
	must(d.t, d.book.Close())
	d.open()
}

func (d *desk) add(n *agentv1.News) {
	d.t.Helper()
	must(d.t, d.Add(n))
}

func (d *desk) take(after uint64, most int) []*agentv1.News {
	d.t.Helper()
	news, err := d.Take(after, most)
	must(d.t, err)
	return news
}

func (d *desk) want(news []*agentv1.News, want ...string) {
	d.t.Helper()
	var got []string
	for _, n := range news {
		got = append(got, words(n))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		d.t.Fatalf("what waits is %v, want %v", got, want)
	}
}

func words(n *agentv1.News) string {
	switch f := n.GetFault(); {
	case f.GetGone():
		return fmt.Sprintf("%d %s gone", n.GetSequence(), f.GetEntry())
	case f != nil:
		return fmt.Sprintf("%d %s x%d", n.GetSequence(), f.GetEntry(), f.GetCount())
	}
	return fmt.Sprintf("%d breaker", n.GetSequence())
}

func seen(entry string, minute int) *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{
		Entry: entry, Count: 1, FirstSeen: timestamppb.New(noon), LastSeen: timestamppb.New(noon.Add(time.Duration(minute) * time.Minute)),
	}}}
}

func gone(entry string) *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Fault{Fault: &agentv1.FaultReport{Entry: entry, Gone: true}}}
}

func breaker() *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{Entry: "a"}}}
}

// While nobody listens, a fault that goes on is one report; what opens and ends it is kept in its order, over restarts.
func TestNewsWaitsInOrderAndOverRestarts(t *testing.T) {
	d := newDesk(t, 0)
	d.add(seen("a", 0))
	d.add(seen("b", 0))
	d.add(seen("a", 5))
	d.restart()
	d.add(seen("a", 9))
	d.add(gone("a"))
	d.add(seen("a", 12))
	d.add(breaker())
	all := d.take(0, 100)
	d.want(all, "1 a x3", "2 b x1", "3 a gone", "4 a x1", "5 breaker")
	if f := all[0].GetFault(); !f.GetFirstSeen().AsTime().Equal(noon) || !f.GetLastSeen().AsTime().Equal(noon.Add(9*time.Minute)) {
		t.Errorf("the fault that went on was seen from %v to %v, want the first and the last time", f.GetFirstSeen().AsTime(), f.GetLastSeen().AsTime())
	}
}

// What may have been sent is never changed: the server passes over what it has by its sequence, and would lose the rest.
func TestNothingIsFoldedIntoWhatMayHaveBeenSent(t *testing.T) {
	d := newDesk(t, 0)
	d.add(seen("a", 0))
	d.want(d.take(0, 1), "1 a x1")
	d.add(seen("a", 1))
	d.add(seen("a", 2))
	d.restart()
	d.add(seen("a", 3))
	d.want(d.take(0, 100), "1 a x1", "2 a x3")
	d.restart()
	d.add(seen("a", 4))
	d.want(d.take(0, 100), "1 a x1", "2 a x3", "3 a x1")
}

func TestAcknowledgedNewsIsForgottenOnce(t *testing.T) {
	d := newDesk(t, 0)
	for _, entry := range []string{"a", "b", "c", "d"} {
		d.add(seen(entry, 0))
	}
	d.want(d.take(0, 3), "1 a x1", "2 b x1", "3 c x1")
	must(t, d.Acknowledge(2))
	must(t, d.Acknowledge(2))
	must(t, d.Acknowledge(1))
	d.want(d.take(0, 100), "3 c x1", "4 d x1")
	must(t, d.Acknowledge(99))
	d.want(d.take(0, 100))
	d.restart()
	d.add(breaker())
	d.want(d.take(0, 100), "5 breaker")
}

// An acknowledgement of what was never sent is of another agent's news, or of none: nothing is forgotten for it.
func TestWhatWasNotSentIsNotAcknowledged(t *testing.T) {
	d := newDesk(t, 0)
	d.add(seen("a", 0))
	must(t, d.Acknowledge(1))
	d.want(d.take(0, 100), "1 a x1")
}

func TestAFullOutboxLeavesOutOnlyThatFaultsGoOn(t *testing.T) {
	d := newDesk(t, 3)
	d.add(seen("a", 0))
	d.add(seen("b", 0))
	d.add(seen("c", 0))
	d.take(0, 100)
	d.add(seen("a", 1)) // known to the server: left out
	d.add(gone("b"))
	d.add(seen("d", 1))
	d.add(breaker())
	d.want(d.take(0, 100), "1 a x1", "2 b x1", "3 c x1", "4 b gone", "5 d x1", "6 breaker")
	must(t, d.Acknowledge(6))
	d.add(seen("a", 2))
	d.want(d.take(0, 100), "7 a x1")
}

func TestWhatIsBesideIsWrittenWithTheNews(t *testing.T) {
	d := newDesk(t, 0)
	f := seen("a", 0).GetFault()
	must(t, d.AddWith(seen("a", 0), journal.Beside{Opened: f}))
	must(t, d.AddWith(nil, journal.Beside{Breaker: &storagev1.JournalBreaker{Entry: "a", Action: "x"}}))
	if err := d.AddWith(gone("a"), journal.Beside{Gone: f, Settled: &agentv1.TaskKey{JobId: "unknown", Attempt: 1}}); !errors.Is(err, journal.ErrUnknownTask) {
		t.Fatalf("news of a task that the journal has not: %v, want it refused", err)
	}
	d.restart()
	open, err := d.book.OpenFaults()
	must(t, err)
	breakers, err := d.book.Breakers()
	must(t, err)
	if len(open) != 1 || len(breakers) != 1 {
		t.Errorf("the journal has the faults %v and the breakers %v, want one each: what was refused changes nothing", open, breakers)
	}
	d.add(gone("a"))
	d.want(d.take(0, 100), "1 a x1", "2 a gone")
}

func TestNewsIsAnnounced(t *testing.T) {
	d := newDesk(t, 0)
	d.add(seen("a", 0))
	d.add(seen("b", 0))
	select {
	case <-d.More():
	default:
		t.Error("nobody was told that there is news")
	}
}
