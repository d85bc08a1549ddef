package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
)

var errDied = errors.New("the server died")

// dyingStore lets so many updates through, then the server has died: the last one was written or not, and nobody hears of it.
type dyingStore struct {
	store.Store
	mu      sync.Mutex
	left    int
	written bool
	// before is called before each update, if set.
	before func()
}

func (s *dyingStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	if s.before != nil {
		s.before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left--
	switch {
	case s.left > 0:
		return s.Store.Update(ctx, fn)
	case s.left == 0 && s.written:
		return errors.Join(s.Store.Update(ctx, fn), errDied)
	default:
		return errDied
	}
}

// on is an inventory on another store with the fixture's clock.
func (f *fixture) on(st store.Store) *inventory.Inventory {
	return inventory.New(inventory.Config{Store: st, CA: f.ca.Fingerprint()})
}

// TestAnImportIsWholeWhereverTheServerDies kills it at every write, before and after it. At the next start all rows are there or
// none; never some, never none after the caller was told that they are there, and never twice.
func TestAnImportIsWholeWhereverTheServerDies(t *testing.T) {
	const rows = 170
	req := manyBands(rows)
	req.RequestId = "r"
	kills, kept := 0, 0
	for _, written := range []bool{false, true} {
		for left, lived := 1, false; !lived; left++ {
			f := newFixture(t)
			st := &dyingStore{Store: f.store, left: left, written: written}
			_, _, err := f.on(st).Import(t.Context(), admin, req)
			if lived = st.left > 0; lived != (err == nil) {
				t.Fatalf("dying at write %d: error %v", left, err)
			}
			if err := f.FinishImports(t.Context()); err != nil {
				t.Fatal(err)
			}
			switch n := f.countBands(); {
			case n == rows:
				kept++
			case n != 0 || lived:
				t.Errorf("killed at write %d (written: %t): %d of %d bands are there after the restart", left, written, n, rows)
			}
			kills++
			f.sound()
			// The caller heard nothing, and asks again.
			wantCounts(t, f.mustImport(req), &fleetv1.ImportResponse{Created: rows})
			if told := f.told(); f.countBands() != rows || told != rows {
				t.Errorf("killed at write %d: %d bands in the end, audited %d times, want %d", left, f.countBands(), told, rows)
			}
		}
	}
	if kept == 0 || kept == kills || kills < 20 {
		t.Errorf("%d kills, after %d of which all was kept: not all places were tried", kills, kept)
	}
}

// told counts the bands that rows' records tell of.
func (f *fixture) told() (n int) {
	for _, site := range []string{"lyon", "turin"} {
		for _, r := range f.recordsOf(site, "import.bands.rows") {
			n += len(r.GetChanges())
		}
	}
	return n
}

// readyWrites is how many updates a small import makes until it is READY.
const readyWrites = 3

// leaveReady makes an import that is READY and of which nothing is done.
func (f *fixture) leaveReady(req *fleetv1.ImportRequest) {
	f.t.Helper()
	req.RequestId = fmt.Sprint("left-", f.records())
	st := &dyingStore{Store: f.store, left: readyWrites, written: true}
	if _, _, err := f.on(st).Import(f.t.Context(), admin, req); !errors.Is(err, errDied) {
		f.t.Fatalf("error %v, want that it died", err)
	}
	if some, err := store.Any(f.t.Context(), f.store, store.TableImportParts); err != nil || !some {
		f.t.Fatalf("nothing is left to be done: %t, %v", some, err)
	}
}

// What others did between check and turn is respected.
func TestRowsThatBecameMoot(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"press-1", "press-2", "press-3"} {
		f.enrol("lyon", name)
	}
	bands := bandTable("AAAH-00001,lyon,,,,", "AAAH-00002,lyon,lost,,,", "AAAH-00003,lyon,,,,")
	f.leaveReady(bands)
	for serial, site := range map[string]string{"AAAH-00001": "turin", "AAAH-00002": "lyon"} {
		if _, err := f.CreateBand(t.Context(), ada, &fleetv1.CreateBandRequest{Serial: serial, Site: site}); err != nil {
			t.Fatal(err)
		}
	}
	wantCounts(t, f.mustImport(bands), &fleetv1.ImportResponse{Created: 1, Changed: 1, Moot: 1})
	if b, err := f.Band(t.Context(), "AAAH-00001"); err != nil || b.GetSite() != "turin" {
		t.Errorf("band %v, %v: an import took it from the site that it was added at", b, err)
	}

	labels := labelTable("terminal,line", "press-1,1", "press-2,1", "press-3,1")
	f.leaveReady(labels)
	if _, err := f.Move(t.Context(), admin, &fleetv1.MoveTerminalRequest{Terminal: "press-1", Site: "turin"}, never); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: "press-2"}); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, f.mustImport(labels), &fleetv1.ImportResponse{Changed: 1, Moot: 2})
	f.sound()
}

// An import of sites that a crash has cut short tells of its sites when it is finished.
func TestSitesOfAnImportThatWasCutShort(t *testing.T) {
	f := newFixture(t)
	f.leaveReady(siteTable("lyon,,Europe/Paris"))
	_, changed, err := f.Import(t.Context(), admin, bandTable("AAAH-00001,lyon,,,,"))
	if err != nil || len(changed) != 1 || changed[0] != "lyon" {
		t.Errorf("changed %v, %v, want lyon: whoever goes by its settings must hear of it", changed, err)
	}
}

func TestOneImportAtATime(t *testing.T) {
	f := newFixture(t)
	var once sync.Once
	entered, goOn := make(chan struct{}), make(chan struct{})
	inv := f.on(&dyingStore{Store: f.store, left: 1000, before: func() { once.Do(func() { close(entered); <-goOn }) }})
	ended := make(chan error)
	go func() {
		_, _, err := inv.Import(t.Context(), admin, manyBands(3))
		ended <- err
	}()
	<-entered
	_, _, err := inv.Import(t.Context(), admin, bandTable("AAAH-00009,lyon,,,,"))
	wantRefusal(t, err, "IMPORT_RUNNING")
	close(goOn)
	if err := <-ended; err != nil || f.countBands() != 3 {
		t.Errorf("%v, %d bands", err, f.countBands())
	}
}

// A caller who goes away before the import is taken has changed nothing; one who goes away later has not stopped it.
func TestACallerWhoGoesAway(t *testing.T) {
	for left := range 8 {
		f := newFixture(t)
		ctx, cancel := context.WithCancel(t.Context())
		var seen atomic.Int32
		inv := f.on(&dyingStore{Store: f.store, left: 1000, before: func() {
			if seen.Add(1) == int32(left+1) {
				cancel()
			}
		}})
		_, _, err := inv.Import(ctx, admin, manyBands(3))
		cancel()
		if n := f.countBands(); (err == nil) != (n == 3) || n != 0 && n != 3 {
			t.Errorf("cancelled at write %d: %d bands, error %v", left, n, err)
		}
		f.sound()
	}
}

// BenchmarkImport imports 100,000 bands of two sites.
func BenchmarkImport(b *testing.B) {
	req := manyBands(100_000)
	req.Columns = req.GetColumns()[:2]
	for _, row := range req.GetRows() {
		row.Cells = row.GetCells()[:2]
	}
	b.Logf("%d bytes", proto.Size(req))
	for b.Loop() {
		f := newFixture(b)
		if _, _, err := f.Import(b.Context(), admin, req); err != nil {
			b.Fatal(err)
		}
	}
}
