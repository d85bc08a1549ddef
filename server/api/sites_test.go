package api_test

import (
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// A job that waits for a window must hear of the new one at once.
func TestTheEngineHearsOfNewSettings(t *testing.T) {
	f := newFixture(t)
	inv := fleetv1.NewInventoryServiceClient(f.dial(f.operator("ada", admin, "lyon")))
	set := func(name string) error {
		_, err := inv.SetSite(t.Context(), &fleetv1.SetSiteRequest{
			Name: name, Settings: &fleetv1.SiteSettings{TimeZone: "Europe/Paris"}, Fields: []string{"time_zone"},
		})
		return err
	}
	if err := set("LYON"); err != nil {
		t.Fatal(err)
	}
	if err := set("turin"); status.Code(err) != codes.NotFound {
		t.Errorf("a site of others: %v, want not found", err)
	}
	if !slices.Equal(f.tasks.changed, []string{"lyon"}) {
		t.Errorf("the engine heard of %v, want lyon once", f.tasks.changed)
	}
	viewer := fleetv1.NewInventoryServiceClient(f.dial(f.operator("vic", fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "lyon")))
	_, err := viewer.SetSite(t.Context(), &fleetv1.SetSiteRequest{Name: "lyon", Fields: []string{"windows"}})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("who may only act: %v, want denied: an operator must not open a window for its own job", err)
	}
	got, err := inv.GetSite(t.Context(), &fleetv1.GetSiteRequest{Name: "lyon"})
	if err != nil || got.GetSite().GetSettings().GetTimeZone() != "Europe/Paris" || got.GetSite().GetEtag() != "2" {
		t.Errorf("%v, %v, want the settings under a new etag", got, err)
	}
}

// All that is wrong travels in one answer.
func TestEachViolationTravels(t *testing.T) {
	f := newFixture(t)
	inv := fleetv1.NewInventoryServiceClient(f.dial(f.operator("ada", admin, "lyon")))
	_, err := inv.SetSite(t.Context(), &fleetv1.SetSiteRequest{
		Name: "lyon", Settings: &fleetv1.SiteSettings{TimeZone: "Mars", Approvals: 7}, Fields: []string{"time_zone", "approvals"},
	})
	var fields []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	if status.Code(err) != codes.InvalidArgument || !slices.Equal(fields, []string{"settings.time_zone", "settings.approvals"}) {
		t.Errorf("%v at %v, want both fields", err, fields)
	}
	if len(f.tasks.changed) > 0 {
		t.Error("the engine was told of a change that was refused")
	}
}

// An import of sites changes settings, too. Of other imports the engine need not hear.
func TestTheEngineHearsOfImportedSites(t *testing.T) {
	f := newFixture(t)
	inv := fleetv1.NewInventoryServiceClient(f.dial(f.operator("ada", admin, "*")))
	for _, req := range []*fleetv1.ImportRequest{
		{Kind: fleetv1.ImportKind_IMPORT_KIND_BANDS, Columns: []string{"serial", "site"}, Rows: []*fleetv1.ImportRow{{Cells: []string{"AAAH-00001", "turin"}}}},
		{Kind: fleetv1.ImportKind_IMPORT_KIND_SITES, Columns: []string{"name", "time_zone"}, Rows: []*fleetv1.ImportRow{{Cells: []string{"Lyon", "Europe/Paris"}}}},
	} {
		if _, err := inv.Import(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(f.tasks.changed, []string{"lyon"}) {
		t.Errorf("the engine heard of %v, want lyon once", f.tasks.changed)
	}
	viewer := fleetv1.NewInventoryServiceClient(f.dial(f.operator("vic", fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "lyon")))
	_, err := viewer.Import(t.Context(), &fleetv1.ImportRequest{Kind: fleetv1.ImportKind_IMPORT_KIND_BANDS})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("who administers no site: %v, want denied", err)
	}
}
