package orders

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/journal"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/orders"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(path)
	must(t, err)
	t.Cleanup(func() { must(t, j.Close()) })
	return j
}

// numbered makes orders that differ by the catalogue's version.
func numbered(t *testing.T, catalogue string) *agentv1.Orders {
	t.Helper()
	o := &agentv1.Orders{CatalogueVersion: catalogue}
	var err error
	o.Version, err = orders.Version(o)
	must(t, err)
	return o
}

// taker goes by what it likes.
type taker struct {
	by     string
	refuse string
}

func (k *taker) Take(o *agentv1.Orders) error {
	if k.refuse != "" && o.GetCatalogueVersion() == k.refuse {
		return errors.New(`rule "x": does not compile`)
	}
	k.by = o.GetCatalogueVersion()
	return nil
}

func keeper(t *testing.T, j Journal, takers ...Taker) *Keeper {
	t.Helper()
	k, err := Open(j, slog.New(slog.DiscardHandler), takers...)
	must(t, err)
	return k
}

func TestOrdersHoldOverARestart(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	a, b := &taker{}, &taker{}
	k := keeper(t, j, a, b)
	if k.Version() != orders.None {
		t.Errorf("before the first orders the version is %q, want %q", k.Version(), orders.None)
	}
	one := numbered(t, "1")
	if got := k.Take(one); got.GetProblem() != "" || got.GetVersion() != one.GetVersion() {
		t.Fatalf("the answer is %v, want that they are taken", got)
	}
	a, b = &taker{}, &taker{}
	k = keeper(t, j, a, b)
	if k.Version() != one.GetVersion() || a.by != "1" || b.by != "1" {
		t.Errorf("after a restart it goes by %q, and the takers by %q and %q; want by what was ordered, with no server there", k.Version(), a.by, b.by)
	}
	if got := k.Take(orders.Unchanged(one.GetVersion())); got.GetProblem() != "" || got.GetVersion() != one.GetVersion() || a.by != "1" {
		t.Errorf("the answer to the same orders is %v and they go by %q, want that they hold", got, a.by)
	}
}

// One taker that refuses has all of them go on by the earlier orders: half of new orders are worse than old ones.
func TestOrdersAreRefusedWhole(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	a, b := &taker{}, &taker{refuse: "2"}
	k := keeper(t, j, a, b)
	k.Take(numbered(t, "1"))
	two := numbered(t, "2")
	got := k.Take(two)
	if !strings.Contains(got.GetProblem(), "does not compile") || got.GetVersion() != two.GetVersion() {
		t.Errorf("the answer is %v, want why those were refused", got)
	}
	if a.by != "1" || b.by != "1" || k.Version() != numbered(t, "1").GetVersion() {
		t.Errorf("the takers go by %q and %q, want both by 1", a.by, b.by)
	}
	for name, bad := range map[string]*agentv1.Orders{
		"changed under way":        {Version: two.GetVersion(), CatalogueVersion: "3"},
		"unknown signal":           unknown(t),
		"unchanged, of none known": orders.Unchanged(two.GetVersion()),
	} {
		if got := k.Take(bad); got.GetProblem() == "" {
			t.Errorf("%s: the orders were taken", name)
		}
	}
	kept, err := j.Orders()
	if err != nil || kept.GetCatalogueVersion() != "1" {
		t.Errorf("the journal holds %v, %v; want the orders that are gone by", kept, err)
	}
}

func unknown(t *testing.T) *agentv1.Orders {
	t.Helper()
	o := &agentv1.Orders{States: []*agentv1.StateRule{{Entry: "a", All: []*agentv1.SignalIs{{Signal: "weather", Values: []string{"rain"}}}}}}
	var err error
	o.Version, err = orders.Version(o)
	must(t, err)
	return o
}

// brokenJournal takes no orders.
type brokenJournal struct{ *journal.Journal }

func (brokenJournal) PutOrders(*agentv1.Orders) error { return errors.New("disk full") }

func TestOrdersThatCannotBeKeptAreNotGoneBy(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	a := &taker{}
	keeper(t, j, a).Take(numbered(t, "1"))
	k := keeper(t, brokenJournal{j}, a)
	if got := k.Take(numbered(t, "2")); !strings.Contains(got.GetProblem(), "disk full") || a.by != "1" {
		t.Errorf("the answer is %v and they go by %q; want them refused: after a restart nobody would know them", got, a.by)
	}
}

// A build that does not understand what is kept goes by nothing, and takes what the server sends.
func TestKeptOrdersThatAreNotUnderstoodAnyMore(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal.db"))
	keeper(t, j, &taker{}).Take(numbered(t, "1"))
	a, b := &taker{}, &taker{refuse: "1"}
	k := keeper(t, j, a, b)
	if k.Version() != orders.None || a.by != "" {
		t.Errorf("it goes by %q and a taker by %q, want by none", k.Version(), a.by)
	}
	if got := k.Take(numbered(t, "2")); got.GetProblem() != "" || a.by != "2" || b.by != "2" {
		t.Errorf("the answer is %v, want the next orders taken", got)
	}
}
