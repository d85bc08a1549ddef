package inventory_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
)

// table makes a request of lines; the first line of the table is its columns, so rows begin with line 2.
func table(kind fleetv1.ImportKind, columns string, lines ...string) *fleetv1.ImportRequest {
	req := &fleetv1.ImportRequest{Kind: kind, Columns: strings.Split(columns, ","), Reason: "INC-7"}
	for n, line := range lines {
		req.Rows = append(req.Rows, &fleetv1.ImportRow{Line: uint32(n + 2), Cells: strings.Split(line, ",")})
	}
	return req
}

func bandTable(lines ...string) *fleetv1.ImportRequest {
	return table(fleetv1.ImportKind_IMPORT_KIND_BANDS, "serial,site,status,firmware_version,wearer,note", lines...)
}

func labelTable(columns string, lines ...string) *fleetv1.ImportRequest {
	return table(fleetv1.ImportKind_IMPORT_KIND_LABELS, columns, lines...)
}

func siteTable(lines ...string) *fleetv1.ImportRequest {
	return table(fleetv1.ImportKind_IMPORT_KIND_SITES, "name,description,time_zone", lines...)
}

// manyBands makes n rows by turns at lyon and turin.
func manyBands(n int) *fleetv1.ImportRequest {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("AAAH-%05d,%s,,4.1.0,,", i, []string{"lyon", "turin"}[i%2])
	}
	return bandTable(lines...)
}

func (f *fixture) mustImport(req *fleetv1.ImportRequest) *fleetv1.ImportResponse {
	f.t.Helper()
	counts, _, err := f.Import(f.t.Context(), admin, req)
	if err != nil {
		f.t.Fatalf("%v %v", err, refusalOf(f.t, err, "BAD_ROWS").Violations)
	}
	return counts
}

// sound wants a store in which everything agrees, and no import under way.
func (f *fixture) sound() {
	f.t.Helper()
	if _, err := inventory.Verify(f.t.Context(), f.store); err != nil {
		f.t.Errorf("the inventory does not agree: %v", err)
	}
	if err := audit.Verify(f.t.Context(), f.store); err != nil {
		f.t.Errorf("the audit does not hold: %v", err)
	}
	if some, err := store.Any(f.t.Context(), f.store, store.TableImportParts); err != nil || some {
		f.t.Errorf("parts of an import are left: %t, %v", some, err)
	}
}

func (f *fixture) countBands() (n int) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableBands, nil, nil, func(_, _ []byte) bool { n++; return true })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// recordsOf returns the audit records of a chain with a verb.
func (f *fixture) recordsOf(chain, verb string) (all []*storagev1.AuditRecord) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, store.Prefix(chain), nil, func(_, value []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, r); err != nil {
				f.t.Error(err)
			}
			if r.GetVerb() == verb {
				all = append(all, r)
			}
			return true
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

func wantCounts(t *testing.T, got, want *fleetv1.ImportResponse) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("counts are %v, want %v", got, want)
	}
}

func TestImportOfBands(t *testing.T) {
	f := newFixture(t)
	first := bandTable("AAAH-00001,lyon,assigned,4.1.0,E1042,new batch", "AAAH-00002,Turin,,,,", "AAAH-00003,lyon,,,,")
	dry := proto.CloneOf(first)
	dry.DryRun = true
	want := &fleetv1.ImportResponse{Created: 3}
	before := f.records()
	wantCounts(t, f.mustImport(dry), want)
	if f.countBands() != 0 || f.records() != before {
		t.Fatal("a dry run changed something")
	}
	wantCounts(t, f.mustImport(first), want)
	b, err := f.Band(t.Context(), "aaah-00001")
	if err != nil || b.GetWearer() != "E1042" || b.GetStatus() != fleetv1.BandStatus_BAND_STATUS_ASSIGNED || b.GetHistory()[0].GetNote() != "new batch" {
		t.Errorf("band %v, %v", b, err)
	}
	if b, err := f.Band(t.Context(), "AAAH-00002"); err != nil || b.GetSite() != "turin" || b.GetStatus() != fleetv1.BandStatus_BAND_STATUS_IN_STOCK {
		t.Errorf("band %v, %v, want it in stock at turin", b, err)
	}
	wantCounts(t, f.mustImport(bandTable("aaah-00001,,LOST,,,", "AAAH-00002,turin,in-stock,,,", "AAAH-00004,lyon,,,,")),
		&fleetv1.ImportResponse{Created: 1, Changed: 1, Unchanged: 1})
	b, err = f.Band(t.Context(), "AAAH-00001")
	if err != nil || b.GetStatus() != fleetv1.BandStatus_BAND_STATUS_LOST || b.GetWearer() != "E1042" || len(b.GetHistory()) != 2 {
		t.Errorf("band %v, %v, want it lost and its wearer kept: an empty cell leaves what is there", b, err)
	}
	f.sound()
}

// Each site's chain tells of its own bands only, one by one and in sum.
func TestAnImportIsAuditedPerSite(t *testing.T) {
	f := newFixture(t)
	f.mustImport(manyBands(170))
	for _, site := range []string{"lyon", "turin"} {
		told := map[string]bool{}
		for _, r := range f.recordsOf(site, "import.bands.rows") {
			if len(r.GetChanges()) > 40 || r.GetReason() != "INC-7" || r.GetActor() != "operator/ada" {
				t.Errorf("record with %d changes, reason %q, actor %q", len(r.GetChanges()), r.GetReason(), r.GetActor())
			}
			for _, c := range r.GetChanges() {
				told[c.GetName()] = true
			}
		}
		sums := f.recordsOf(site, "import.bands")
		if len(told) != 85 || len(sums) != 1 {
			t.Fatalf("%s: %d bands are told of and %d sums, want 85 and 1", site, len(told), len(sums))
		}
		sum := map[string]string{}
		for _, c := range sums[0].GetChanges() {
			sum[c.GetName()] = c.GetNew()
		}
		if sum["rows"] != "85" || sum["created"] != "85" || len(sum["sha256"]) != 64 {
			t.Errorf("%s: the sum says %v", site, sum)
		}
	}
}

func TestBadRowsAreAllNamed(t *testing.T) {
	f := newFixture(t)
	f.mustImport(bandTable("AAAH-00001,turin,,,,"))
	before := f.records()
	_, _, err := f.Import(t.Context(), admin, bandTable("AAAH-00002,lyn,,,,", "AAAH-00003,lyon,,,,", "x,lyon,,,,", "AAAH-00004,lyon,gone,,,", "AAAH-00005,,,,,",
		"aaah-00003,lyon,,,,", "AAAH-00001,lyon,,,,", "AAAH-00006,lyon", "AAAH-00007,nowhere,,,a\tb,"))
	r := refusalOf(t, err, "BAD_ROWS")
	want := []string{
		`rows[0] line 2: column site: "lyn": not found`,
		`rows[2] line 4: column serial: "x": is no valid serial; write it as printed on the band, such as AAAH-00125`,
		`rows[3] line 5: column status: "gone": is no status; there are in-stock, assigned, temporary, fault, dead, broken, lost, suspended and retired`,
		`rows[4] line 6: column site: "": is missing, and the band is new`,
		`rows[5] line 7: column serial: "aaah-00003": is in line 3 already`,
		`rows[6] line 8: column site: "lyon": the band is at site "turin", and an import moves none`,
		`rows[7] line 9: has 2 cells, want 6`,
		`rows[8] line 10: column wearer: "a\tb": has a character that cannot be printed; column site: "nowhere": not found`,
	}
	for n, v := range r.Violations {
		if got := v.Field + " " + v.Text; n >= len(want) || got != want[n] {
			t.Errorf("told %s, want %s", got, want[min(n, len(want)-1)])
		}
	}
	if len(r.Violations) != len(want) || r.Message != "import of bands: bad rows: 8 of 9; nothing was imported" {
		t.Errorf("%d rows named, %q", len(r.Violations), r.Message)
	}
	if f.countBands() != 1 || f.records() != before {
		t.Error("a table with bad rows left something")
	}
	f.sound()
}

func TestManyBadRowsAreCounted(t *testing.T) {
	f := newFixture(t)
	req := manyBands(2500)
	for _, row := range req.GetRows() {
		row.Cells[1] = "nowhere"
	}
	_, _, err := f.Import(t.Context(), admin, req)
	r := refusalOf(t, err, "BAD_ROWS")
	if len(r.Violations) != 100 || !strings.Contains(r.Message, "bad rows: 2500 of 2500; nothing was imported; the first 100 are named") {
		t.Errorf("%d named, %q", len(r.Violations), r.Message)
	}
	if last := r.Violations[99]; last.Field != "rows[99]" || !strings.HasPrefix(last.Text, "line 101: ") {
		t.Errorf("the last one named is %v", last)
	}
}

// What is at sites of others must look as if it were not there.
func TestAnImportIsNoOracle(t *testing.T) {
	f := newFixture(t)
	f.enrol("turin", "press-2")
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "lyon")
	for _, req := range []*fleetv1.ImportRequest{
		bandTable("AAAH-00001,turin,,,,", "AAAH-00002,nowhere,,,,"),
		labelTable("terminal,line", "press-2,1", "press-9,1"),
	} {
		_, _, err := f.Import(t.Context(), lyon, req)
		v := refusalOf(t, err, "BAD_ROWS").Violations
		if len(v) != 2 {
			t.Fatalf("%d rows named, want both", len(v))
		}
		blank := strings.NewReplacer("turin", "X", "nowhere", "X", "press-2", "X", "press-9", "X", "line 3", "line 2")
		if blank.Replace(v[0].Text) != blank.Replace(v[1].Text) {
			t.Errorf("%q is told from %q", v[0].Text, v[1].Text)
		}
	}
	_, _, err := f.Import(t.Context(), lyon, siteTable("graz,,"))
	wantRefusal(t, err, "RIGHT_MISSING")
	both := principal(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "turin")
	both.Operator.Bindings = append(both.Operator.Bindings, lyon.Operator.GetBindings()...)
	_, _, err = f.Import(t.Context(), both, bandTable("AAAH-00001,turin,,,,"))
	if v := refusalOf(t, err, "BAD_ROWS").Violations; len(v) != 1 || !strings.Contains(v[0].Text, "you may not administer this site") {
		t.Errorf("who may only act at a site is told %v", v)
	}
}

func TestBadTables(t *testing.T) {
	f := newFixture(t)
	long := manyBands(2)
	for range 100_000 {
		long.Rows = append(long.Rows, long.GetRows()[0])
	}
	fat := bandTable("AAAH-00001,lyon,,,," + strings.Repeat("x", 3<<20))
	newer := bandTable("AAAH-00001,lyon,,,,")
	newer.ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1})
	for name, c := range map[string]struct {
		req    *fleetv1.ImportRequest
		reason string
	}{
		"no kind":         {table(0, "serial", "x"), "BAD_KIND"},
		"no rows":         {bandTable(), "NOTHING_TO_DO"},
		"too many rows":   {long, "TOO_LARGE"},
		"too many bytes":  {fat, "TOO_LARGE"},
		"unknown column":  {table(fleetv1.ImportKind_IMPORT_KIND_BANDS, "serial,colour", "x,y"), "BAD_COLUMN"},
		"a column twice":  {table(fleetv1.ImportKind_IMPORT_KIND_BANDS, "serial,site,site", "x,y,z"), "BAD_COLUMN"},
		"no key":          {table(fleetv1.ImportKind_IMPORT_KIND_BANDS, "site", "x"), "BAD_COLUMN"},
		"no label":        {labelTable("terminal,Line", "x,y"), "BAD_COLUMN"},
		"too many labels": {labelTable("terminal,l"+strings.Join(strings.Split(strings.Repeat("x", 65), ""), ",l"), "x"), "BAD_COLUMN"},
		"of a newer one":  {newer, "UNKNOWN_FIELD"},
	} {
		_, _, err := f.Import(t.Context(), admin, c.req)
		if r := refusalOf(t, err, c.reason); r.Reason == c.reason && c.reason == "BAD_COLUMN" && r.Field == "" {
			t.Errorf("%s: names no field", name)
		}
	}
	if f.countBands() != 0 {
		t.Error("a bad table left a band")
	}
}

// A caller that got no answer asks again and gets the same one.
func TestARepeatedImportIsDoneOnce(t *testing.T) {
	f := newFixture(t)
	req := manyBands(50)
	req.RequestId = "again"
	want := f.mustImport(req)
	before := f.records()
	wantCounts(t, f.mustImport(req), want)
	if f.records() != before {
		t.Error("the repetition left records")
	}
	other := manyBands(51)
	other.RequestId = "again"
	_, _, err := f.Import(t.Context(), admin, other)
	wantRefusal(t, err, "REQUEST_ID_REUSED")
	f.now = f.now.Add(9 * 24 * time.Hour)
	if err := f.FinishImports(t.Context()); err != nil {
		t.Fatal(err)
	}
	if some, err := store.Any(t.Context(), f.store, store.TableImports); err != nil || some {
		t.Errorf("the record of an old import is kept: %t, %v", some, err)
	}
}
