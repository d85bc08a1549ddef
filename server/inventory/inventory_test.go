package inventory_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
)

func pageOf(size int32) inventory.Page { return inventory.Page{Size: size} }

func never(context.Context, string) (bool, error) { return false, nil }

// Every call that changes something leaves exactly one audit record, and the chains hold.
func TestEveryChangeIsAudited(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	// What only reads, what stores a machine's reports of itself, and imports, which have tests of their own: they leave many.
	silent := setOf("Action", "ActionFor", "Actions", "AtSite", "Band", "Bands", "CountInService", "CountOnline", "Installed", "Operators", "Principal", "Resolvers", "Select", "Site", "Sites",
		"Terminal", "Terminals", "Token", "Tokens", "FactsChanged", "SavePlugins", "SessionClosed", "Import", "FinishImports")
	audited := map[string]bool{}
	id := f.enrol("lyon", "press-0")
	token := f.token("lyon", 5)
	issueOperator := func(name string, csr []byte) (*pki.Issued, error) { return f.ca.IssueOperator(name, csr, 0) }
	bob := &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "bob"}}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"CreateSite", func() error { _, err := f.CreateSite(ctx, ada, &fleetv1.CreateSiteRequest{Name: "graz"}); return err }},
		{"SetSite", func() error {
			_, err := f.SetSite(ctx, ada, &fleetv1.SetSiteRequest{Name: "graz", Fields: []string{"approvals"}, Settings: &fleetv1.SiteSettings{Approvals: 1}})
			return err
		}},
		{"CreateToken", func() error {
			_, _, err := f.CreateToken(ctx, ada, &fleetv1.CreateTokenRequest{Site: "lyon", Role: 1, Uses: 1, Ttl: durationpb.New(time.Hour)})
			return err
		}},
		{"Enroll", func() error { _, err := f.Enroll(ctx, enrolRequest(t, token, "press-1"), f.ca.IssueAgent); return err }},
		{"Label", func() error {
			_, err := f.Label(ctx, admin, &fleetv1.LabelTerminalRequest{Terminal: id, Set: map[string]string{"a": "b"}})
			return err
		}},
		{"Move", func() error {
			_, err := f.Move(ctx, admin, &fleetv1.MoveTerminalRequest{Terminal: id, Site: "turin"}, never)
			return err
		}},
		{"SessionOpened", func() error {
			_, err := f.SessionOpened(f.as(id), id, &agentv1.Hello{JournalId: "another"}, 0)
			return err
		}},
		{"Release", func() error {
			_, err := f.Release(ctx, admin, &fleetv1.ReleaseTerminalRequest{Terminal: id, Reason: "looked at"})
			return err
		}},
		{"JournalRolledBack", func() error { return f.JournalRolledBack(ctx, id) }},
		{"Renew", func() error { _, err := f.Renew(f.as(id), id, csr(t), f.ca.IssueAgent); return err }},
		{"ReEnrol", func() error {
			_, _, err := f.ReEnrol(ctx, admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
			return err
		}},
		{"Decommission", func() error {
			_, err := f.Decommission(ctx, admin, &fleetv1.DecommissionTerminalRequest{Terminal: id})
			return err
		}},
		{"RevokeToken", func() error { _, err := f.RevokeToken(ctx, ada, token.ID); return err }},
		{"CreateBand", func() error {
			_, err := f.CreateBand(ctx, ada, &fleetv1.CreateBandRequest{Serial: "AAAH-00125", Site: "lyon"})
			return err
		}},
		{"SetBandStatus", func() error {
			_, err := f.SetBandStatus(ctx, ada, &fleetv1.SetBandStatusRequest{Serial: "AAAH-00125", Status: fleetv1.BandStatus_BAND_STATUS_LOST})
			return err
		}},
		{"Bootstrap", func() error {
			_, err := f.Bootstrap(ctx, csr(t), issueOperator, func(*pki.Issued) error { return nil })
			return err
		}},
		{"CreateOperator", func() error {
			_, issued, err := f.CreateOperator(ctx, ada, operatorRequest(t, "bob", "*"), issueOperator)
			if err == nil {
				bob.Key = issued.KeySHA256
			}
			return err
		}},
		{"AddAdministrator", func() error {
			return f.AddAdministrator(ctx, "admin-2", "lost", csr(t), issueOperator, func(*pki.Issued) error { return nil })
		}},
		{"RenewOperator", func() error {
			_, _, err := f.RenewOperator(ctx, bob, csr(t), issueOperator)
			return err
		}},
		{"RevokeOperator", func() error {
			_, err := f.RevokeOperator(ctx, ada, &fleetv1.RevokeOperatorRequest{Name: "bob"})
			return err
		}},
	} {
		audited[c.name] = true
		before := f.records()
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if n := f.records() - before; n != 1 {
			t.Errorf("%s left %d audit records, want exactly one", c.name, n)
		}
	}
	if err := audit.Verify(ctx, f.store); err != nil {
		t.Error(err)
	}
	for m := range reflect.TypeFor[*inventory.Inventory]().NumMethod() {
		name := reflect.TypeFor[*inventory.Inventory]().Method(m).Name
		if !audited[name] && !silent[name] {
			t.Errorf("%s is neither called here nor known to change nothing that must be audited", name)
		}
	}
}

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

func operatorRequest(t testing.TB, name string, sites ...string) *fleetv1.CreateOperatorRequest {
	return &fleetv1.CreateOperatorRequest{
		Name: name, Csr: csr(t), Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: sites}},
	}
}

func TestSitesFoldAndAreUnique(t *testing.T) {
	f := newFixture(t)
	_, err := f.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: "LYON"})
	wantRefusal(t, err, "ALREADY_EXISTS")
	if s, err := f.Site(t.Context(), "Lyon"); err != nil || s.GetName() != "lyon" {
		t.Errorf("Lyon is %v, %v", s, err)
	}
	for _, name := range []string{"", "-x", "a b", "..", "<fleet>", "*", strings.Repeat("x", 64), "a\x00b", "é"} {
		_, err := f.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: name})
		wantRefusal(t, err, "BAD_NAME")
	}
	_, err = f.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: "x", Description: "\x1b[2J"})
	wantRefusal(t, err, "BAD_TEXT")
}

func TestRequestIDs(t *testing.T) {
	f := newFixture(t)
	req := &fleetv1.CreateSiteRequest{Name: "graz", RequestId: "r-1"}
	for range 2 {
		if s, err := f.CreateSite(t.Context(), ada, req); err != nil || s.GetName() != "graz" {
			t.Fatalf("%v, %v: a request may be repeated with its id", s, err)
		}
	}
	_, err := f.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: "wien", RequestId: "r-1"})
	wantRefusal(t, err, "REQUEST_ID_REUSED")
	band := &fleetv1.CreateBandRequest{Serial: "AAAH-00125", Site: "lyon", RequestId: "r-1"}
	for range 2 {
		if b, err := f.CreateBand(t.Context(), ada, band); err != nil || b.GetSerial() != "AAAH-00125" {
			t.Fatalf("%v, %v: the id of another kind of request is another id", b, err)
		}
	}
}

func TestLabels(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	label := func(req *fleetv1.LabelTerminalRequest) (*fleetv1.Terminal, error) {
		req.Terminal = id
		r, err := f.Label(t.Context(), admin, req)
		return r.GetTerminal(), err
	}
	first, err := label(&fleetv1.LabelTerminalRequest{Set: map[string]string{"line": "3", "hall": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := label(&fleetv1.LabelTerminalRequest{Remove: []string{"hall"}, Etag: first.GetEtag()})
	if err != nil || len(second.GetLabels()) != 1 || second.GetEtag() == first.GetEtag() {
		t.Errorf("%v, %v", second, err)
	}
	_, err = label(&fleetv1.LabelTerminalRequest{Remove: []string{"line"}, Etag: first.GetEtag()})
	wantRefusal(t, err, "ETAG_MISMATCH")
	before := f.records()
	if same, err := label(&fleetv1.LabelTerminalRequest{Set: map[string]string{"line": "3"}}); err != nil || same.GetEtag() != second.GetEtag() || f.records() != before {
		t.Errorf("a label that is there already: %v, %v", same, err)
	}
	for want, req := range map[string]*fleetv1.LabelTerminalRequest{
		"NOTHING_TO_DO": {},
		"BAD_NAME":      {Set: map[string]string{"Line": "x"}},
		"BAD_TEXT":      {Set: map[string]string{"line": "\x1b[31m"}},
		"BAD_LABEL":     {Set: map[string]string{"x": "1"}, Remove: []string{"x"}},
	} {
		_, err := label(req)
		wantRefusal(t, err, want)
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint("k", i)] = "v"
	}
	_, err = label(&fleetv1.LabelTerminalRequest{Set: many})
	wantRefusal(t, err, "TOO_MANY_LABELS")
}

func TestMove(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	busy := func(context.Context, string) (bool, error) { return true, nil }
	req := &fleetv1.MoveTerminalRequest{Terminal: id, Site: "TURIN"}
	_, err := f.Move(t.Context(), admin, req, busy)
	wantRefusal(t, err, "OPEN_TASKS")
	for range 2 {
		if r, err := f.Move(t.Context(), admin, req, never); err != nil || r.GetTerminal().GetSite() != "turin" {
			t.Fatalf("%v, %v", r.GetTerminal(), err)
		}
	}
	lyon, _ := f.Site(t.Context(), "lyon")
	turin, _ := f.Site(t.Context(), "turin")
	if lyon.GetTerminals() != 0 || turin.GetTerminals() != 1 {
		t.Errorf("lyon counts %d and turin %d", lyon.GetTerminals(), turin.GetTerminals())
	}
	if got := names(t, f, admin, &fleetv1.Selection{Sites: []string{"turin"}}); got != "press-1" {
		t.Errorf("turin selects %q", got)
	}
	if got := names(t, f, admin, &fleetv1.Selection{Sites: []string{"lyon"}}); !strings.Contains(got, "no terminal matches") {
		t.Errorf("lyon selects %q", got)
	}
}

// A call was authorised while the terminal was at the caller's site, and comes to be done when it is at another.
func TestATerminalThatWasMovedIsOutOfReach(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("turin", "press-1")
	p := principal(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "lyon")
	before := f.records()
	for name, call := range map[string]func() error{
		"label": func() error {
			_, err := f.Label(t.Context(), p, &fleetv1.LabelTerminalRequest{Terminal: id, Set: map[string]string{"a": "b"}})
			return err
		},
		"move": func() error {
			_, err := f.Move(t.Context(), p, &fleetv1.MoveTerminalRequest{Terminal: id, Site: "lyon"}, never)
			return err
		},
		"re-enrol": func() error {
			_, _, err := f.ReEnrol(t.Context(), p, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
			return err
		},
		"decommission": func() error {
			_, err := f.Decommission(t.Context(), p, &fleetv1.DecommissionTerminalRequest{Terminal: id})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantRefusal(t, call(), "NOT_FOUND") })
	}
	if f.records() != before {
		t.Error("something was changed at a site of others")
	}
}

func TestBands(t *testing.T) {
	f := newFixture(t)
	for site, serial := range map[string]string{"lyon": "AAAH-00125", "turin": "AAAH-00126"} {
		if _, err := f.CreateBand(t.Context(), ada, &fleetv1.CreateBandRequest{Serial: serial, Site: site, Wearer: "P-17"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.CreateBand(t.Context(), ada, &fleetv1.CreateBandRequest{Serial: "aaah-00125", Site: "turin"})
	wantRefusal(t, err, "ALREADY_EXISTS")
	b, err := f.SetBandStatus(t.Context(), ada, &fleetv1.SetBandStatusRequest{Serial: "aaah-00125", Status: fleetv1.BandStatus_BAND_STATUS_LOST, ClearWearer: true, Note: "INC-1"})
	if err != nil || b.GetSerial() != "AAAH-00125" || b.GetWearer() != "" || len(b.GetHistory()) != 2 || b.GetHistory()[1].GetActor() != "operator/ada" {
		t.Errorf("%v, %v", b, err)
	}
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	bands, _, err := f.Bands(t.Context(), lyon, &fleetv1.ListBandsRequest{})
	if err != nil || len(bands) != 1 || bands[0].GetSite() != "lyon" {
		t.Errorf("a viewer of lyon sees %v, %v", bands, err)
	}
	_, _, err = f.Bands(t.Context(), lyon, &fleetv1.ListBandsRequest{Site: "turin"})
	wantRefusal(t, err, "NOT_FOUND")
	for range 250 {
		if b, err = f.SetBandStatus(t.Context(), ada, &fleetv1.SetBandStatusRequest{Serial: "AAAH-00125", Status: fleetv1.BandStatus_BAND_STATUS_FAULT, Note: "again"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.GetHistory()) != 200 {
		t.Errorf("a history of %d events, want it bounded at 200", len(b.GetHistory()))
	}
	_, err = f.SetBandStatus(t.Context(), ada, &fleetv1.SetBandStatusRequest{Serial: "AAAH-00125"})
	wantRefusal(t, err, "BAD_STATUS")
}
