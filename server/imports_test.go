package server

import (
	"context"
	"errors"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// endingStore takes so many updates and no more, like a server that is killed.
type endingStore struct {
	store.Store
	left int
}

func (s *endingStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	if s.left--; s.left < 0 {
		return store.ErrUnwritable
	}
	return s.Store.Update(ctx, fn)
}

// An import that was taken before the server died is there when it answers again.
func TestAStartFinishesAnImport(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	r.token("lyon")
	r.halt()
	leaveImport(t, dir)

	r = start(t, dir)
	defer r.halt()
	band, err := fleetv1.NewInventoryServiceClient(r.admin).GetBand(t.Context(), &fleetv1.GetBandRequest{Serial: "AAAH-00001"})
	if err != nil || band.GetBand().GetSite() != "lyon" {
		t.Errorf("band %v, %v, want it imported: its import was ready", band, err)
	}
}

// leaveImport leaves an import that is ready and of which nothing is done.
func leaveImport(t *testing.T, dir string) {
	t.Helper()
	st, err := store.Open(upkeep.Path(dir))
	if err != nil {
		t.Fatal(err)
	}
	const untilReady = 3
	inv := inventory.New(inventory.Config{Store: &endingStore{st, untilReady}})
	_, _, err = inv.Import(t.Context(), &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: "admin"},
		Operator: &fleetv1.Operator{Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{"lyon"}}}},
	}, &fleetv1.ImportRequest{
		Kind: fleetv1.ImportKind_IMPORT_KIND_BANDS, Columns: []string{"serial", "site"}, Rows: []*fleetv1.ImportRow{{Cells: []string{"AAAH-00001", "lyon"}}},
	})
	if !errors.Is(err, store.ErrUnwritable) {
		t.Fatalf("the import ended with %v, want it cut short", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
