package inventory_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store"
)

// populated is an inventory with something of everything, also of what is out of use.
func populated(t *testing.T) *fixture {
	f := newFixture(t)
	token := f.token("lyon", 3)
	for _, name := range []string{"Press-1", "press-2", "press-3"} {
		if _, err := f.Enroll(t.Context(), enrolRequest(t, token, name), f.ca.IssueAgent); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: "press-2", Reason: "scrapped"}); err != nil {
		t.Fatal(err)
	}
	idle := func(context.Context, string) (bool, error) { return false, nil }
	if _, err := f.Move(t.Context(), admin, &fleetv1.MoveTerminalRequest{Terminal: "press-3", Site: "turin"}, idle); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateBand(t.Context(), ada, &fleetv1.CreateBandRequest{Serial: "AAAH-00125", Site: "lyon"}); err != nil {
		t.Fatal(err)
	}
	f.mustImport(bandTable("AAAH-00125,,lost,,,"))
	for _, name := range []string{"bob", "carol"} {
		_, _, err := f.CreateOperator(t.Context(), ada, &fleetv1.CreateOperatorRequest{
			Name: name, Csr: csr(t), Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{"*"}}},
		}, func(name string, csr []byte) (*pki.Issued, error) { return f.ca.IssueOperator(name, csr, 0) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.RevokeOperator(t.Context(), ada, &fleetv1.RevokeOperatorRequest{Name: "carol", Reason: "left"}); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestVerifyOfASoundInventory(t *testing.T) {
	f := populated(t)
	found, err := inventory.Verify(t.Context(), f.store)
	if want := "3 terminals, 2 sites, 1 bands, 1 tokens, 2 operators, 1 plugins, 1 imports"; err != nil || found != want {
		t.Errorf("found %q, %v; want %q", found, err, want)
	}
}

// Each case spoils one record whose own checksum is right: only a comparison with the others can find it.
func TestVerifyFindsWhatDoesNotAgree(t *testing.T) {
	raw := func(table store.Table, key, value []byte) func(store.Writer) error {
		return func(w store.Writer) error { return w.Put(table, key, value) }
	}
	put := func(table store.Table, key []byte, m proto.Message) func(store.Writer) error {
		text, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return raw(table, key, text)
	}
	remove := func(table store.Table, key []byte) func(store.Writer) error {
		return func(w store.Writer) error { return w.Delete(table, key) }
	}
	for name, c := range map[string]struct {
		spoil func(store.Writer) error
		says  string
	}{
		"a name leads elsewhere":     {put(store.TableTerminalNames, store.Key("press-1"), &fleetv1.Terminal{Id: "T-0009"}), `its name "Press-1" leads to terminal "T-0009"`},
		"a name leads nowhere":       {put(store.TableTerminalNames, store.Key("ghost"), &fleetv1.Terminal{Id: "T-0009"}), `"terminal-names": holds 3 records, and 2 belong there`},
		"not at its site":            {remove(store.TableTerminalSites, store.TerminalSiteKey("lyon", "T-0001")), `"terminal-sites" has no record`},
		"a terminal is gone":         {remove(store.TableTerminals, store.TerminalKey("T-0001")), `"terminal-names": holds 2 records, and 1 belong there`},
		"a site counts wrong":        {put(store.TableSites, store.Key("lyon"), &fleetv1.Site{Name: "lyon", Terminals: 7}), `record "lyon": counts 7 terminals, and 1 are there`},
		"a site is gone":             {remove(store.TableSites, store.Key("turin")), `"sites": has no record "turin"`},
		"under another's key":        {put(store.TableSites, store.Key("paris"), &fleetv1.Site{Name: "basel"}), `record "paris": lies under the key of another`},
		"not a record":               {raw(store.TableSites, store.Key("lyon"), []byte{0xff}), `"sites": record "lyon"`},
		"ids begin again":            {raw(store.TableMeta, store.Key(store.KeyTerminals), store.Number(1)), `id "T-0002" was never given`},
		"administrators are counted": {raw(store.TableMeta, store.Key(store.KeyAdministrators), store.Number(5)), "counts 5, and there are 1"},
		"a part of nothing":          {put(store.TableImportParts, store.ImportPartKey(strings.Repeat("0", 26), 1), &storagev1.ImportPart{}), "which is done or not there"},
		"a part without account": {func(w store.Writer) error {
			id := strings.Repeat("0", 26)
			rec := &storagev1.ImportRecord{Id: id, State: storagev1.ImportState_IMPORT_STATE_READY}
			return errors.Join(put(store.TableImports, store.ImportKey(id), rec)(w),
				put(store.TableImportParts, store.ImportPartKey(id, 0), &storagev1.ImportPart{Account: 9})(w))
		}, `"import-parts" has no record`},
		"a band is nowhere":      {remove(store.TableBandSites, store.Key("lyon", "aaah-00125")), `"band-sites" has no record`},
		"a band's place is left": {remove(store.TableBands, store.Key("aaah-00125")), `"band-sites": holds 1 records, and 0 belong there`},
	} {
		t.Run(name, func(t *testing.T) {
			f := populated(t)
			if err := f.store.Update(t.Context(), c.spoil); err != nil {
				t.Fatal(err)
			}
			if _, err := inventory.Verify(t.Context(), f.store); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}
