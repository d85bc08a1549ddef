package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/audit"
)

func TestImportOfLabels(t *testing.T) {
	f := newFixture(t)
	one, two, three := f.enrol("lyon", "press-1"), f.enrol("turin", "press-2"), f.enrol("lyon", "press-3")
	wantCounts(t, f.mustImport(labelTable("terminal,line,hall", "PRESS-1,3,A", two+",4,")), &fleetv1.ImportResponse{Changed: 2})
	before, _ := f.Terminal(t.Context(), one)
	wantCounts(t, f.mustImport(labelTable("line,terminal,hall", "-,press-1,", "4,press-2,", ",press-3,")), &fleetv1.ImportResponse{Changed: 1, Unchanged: 2})
	after, err := f.Terminal(t.Context(), one)
	if err != nil || fmt.Sprint(after.GetTerminal().GetLabels()) != "map[hall:A]" || after.GetTerminal().GetEtag() == before.GetTerminal().GetEtag() {
		t.Errorf("terminal %v, %v, want line removed, hall left, another etag", after.GetTerminal(), err)
	}
	_, _, err = f.Import(t.Context(), admin, labelTable("terminal,line", "press-3,"+strings.Repeat("x", 64), three+",1", "ghost,1"))
	v := refusalOf(t, err, "BAD_ROWS").Violations
	if len(v) != 3 || !strings.Contains(v[0].Text, "at most 63") || !strings.Contains(v[1].Text, "is in line 2 already") || !strings.Contains(v[2].Text, "not found") {
		t.Errorf("bad rows are told as %v: a terminal is the same by name and by id", v)
	}
	f.sound()
}

// A terminal may have as many labels as by hand, and none when it is out of use.
func TestLabelsOfAnImportAreBounded(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	gone := f.enrol("lyon", "press-2")
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: gone}); err != nil {
		t.Fatal(err)
	}
	for n := range 64 {
		_, err := f.Label(t.Context(), admin, &fleetv1.LabelTerminalRequest{Terminal: "press-1", Set: map[string]string{fmt.Sprintf("l%d", n): "x"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := f.Import(t.Context(), admin, labelTable("terminal,line", "press-1,1", gone+",1"))
	v := refusalOf(t, err, "BAD_ROWS").Violations
	if len(v) != 2 || !strings.Contains(v[0].Text, "would have 65 labels") || !strings.Contains(v[1].Text, "is decommissioned") {
		t.Errorf("told %v", v)
	}
}

func TestImportOfSites(t *testing.T) {
	f := newFixture(t)
	counts, changed, err := f.Import(t.Context(), admin, siteTable("Graz,Graz hall 1,Europe/Vienna", "lyon,,Europe/Paris", "turin,,"))
	if err != nil {
		t.Fatal(err)
	}
	wantCounts(t, counts, &fleetv1.ImportResponse{Created: 1, Changed: 1, Unchanged: 1})
	slices.Sort(changed)
	if !slices.Equal(changed, []string{"graz", "lyon", "turin"}) {
		t.Errorf("told of changes at %v", changed)
	}
	graz, err := f.Site(t.Context(), "graz")
	if err != nil || graz.GetDescription() != "Graz hall 1" || graz.GetSettings().GetTimeZone() != "Europe/Vienna" || graz.GetEtag() != "1" {
		t.Errorf("site %v, %v", graz, err)
	}
	if len(f.recordsOf("graz", "site.create")) != 1 || len(f.recordsOf("lyon", "site.set")) != 1 || len(f.recordsOf(audit.FleetChain, "import.sites")) != 1 {
		t.Error("want one record in the chain of each site that was changed, and one sum in the fleet's")
	}
	_, _, err = f.Import(t.Context(), admin, siteTable("a b,,", "paris,,Europe/Lyon", "PARIS,,"))
	v := refusalOf(t, err, "BAD_ROWS").Violations
	if len(v) != 3 || !strings.Contains(v[0].Text, "column name") || !strings.Contains(v[1].Text, "no IANA time zone") || !strings.Contains(v[2].Text, "is in line 3 already") {
		t.Errorf("bad rows are told as %v", v)
	}
	f.sound()
}
