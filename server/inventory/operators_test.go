package inventory_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func TestOperators(t *testing.T) {
	f := newFixture(t)
	issue := func(name string, csr []byte) (*pki.Issued, error) { return f.ca.IssueOperator(name, csr, 0) }
	nothing := func(*pki.Issued) error { return nil }
	if created, err := f.Bootstrap(t.Context(), csr(t), issue, nothing); err != nil || !created {
		t.Fatalf("created = %v, %v", created, err)
	}
	if created, err := f.Bootstrap(t.Context(), csr(t), issue, nothing); err != nil || created {
		t.Errorf("a second start made another administrator: %v", err)
	}
	_, err := f.RevokeOperator(t.Context(), ada, &fleetv1.RevokeOperatorRequest{Name: "admin"})
	wantRefusal(t, err, "LAST_ADMINISTRATOR")
	for want, req := range map[string]*fleetv1.CreateOperatorRequest{
		"BAD_NAME":       operatorRequest(t, "Bob!", "lyon"),
		"BAD_BINDINGS":   operatorRequest(t, "bob"),
		"NOT_FOUND":      operatorRequest(t, "bob", "nowhere"),
		"BAD_ROLE":       {Name: "bob", Csr: csr(t), Bindings: []*fleetv1.RoleBinding{{Sites: []string{"lyon"}}}},
		"BAD_CSR":        {Name: "bob", Bindings: operatorRequest(t, "bob", "lyon").GetBindings()},
		"OUT_OF_RANGE":   {Name: "bob", Csr: csr(t), Ttl: durationpb.New(time.Minute), Bindings: operatorRequest(t, "bob", "lyon").GetBindings()},
		"ALREADY_EXISTS": operatorRequest(t, "admin", "lyon"),
	} {
		_, _, err := f.CreateOperator(t.Context(), ada, req, issue)
		wantRefusal(t, err, want)
	}
	o, _, err := f.CreateOperator(t.Context(), ada, operatorRequest(t, "bob", "LYON", "lyon"), issue)
	if err != nil || !slices.Equal(o.GetBindings()[0].GetSites(), []string{"lyon"}) {
		t.Errorf("%v, %v", o, err)
	}
	_, err = f.RevokeOperator(t.Context(), ada, &fleetv1.RevokeOperatorRequest{Name: "admin"})
	wantRefusal(t, err, "LAST_ADMINISTRATOR")
}

// operator makes an administrator and returns it as it calls.
func (f *fixture) operator(name string, ttl time.Duration) *access.Principal {
	f.t.Helper()
	req := operatorRequest(f.t, name, "*")
	if ttl != 0 {
		req.Ttl = durationpb.New(ttl)
	}
	o, issued, err := f.CreateOperator(f.t.Context(), ada, req, f.issueOperator)
	if err != nil {
		f.t.Fatal(err)
	}
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: name}, Operator: o, Key: issued.KeySHA256}
}

func (f *fixture) issueOperator(name string, csr []byte) (*pki.Issued, error) {
	return f.ca.IssueOperator(name, csr, 0)
}

func TestOperatorsRenewThemselves(t *testing.T) {
	f := newFixture(t)
	bob, guest := f.operator("bob", 0), f.operator("guest", time.Hour)
	f.now = f.now.Add(time.Hour)
	o, issued, err := f.RenewOperator(t.Context(), bob, csr(t), f.issueOperator)
	if err != nil || !o.GetCertificateExpires().AsTime().Equal(f.now.Add(pki.DefaultOperatorTTL).UTC()) {
		t.Fatalf("%v, %v: want 90 more days", o, err)
	}
	if _, _, err := f.RenewOperator(t.Context(), bob, csr(t), f.issueOperator); err != nil {
		t.Errorf("again with the old key, as after a lost answer: %v", err)
	}
	late := &access.Principal{Name: bob.Name, Key: issued.KeySHA256}
	_, _, err = f.RenewOperator(t.Context(), late, csr(t), f.issueOperator)
	wantRefusal(t, err, "KEY_REPLACED")
	_, _, err = f.RenewOperator(t.Context(), bob, nil, f.issueOperator)
	wantRefusal(t, err, "BAD_CSR")
	_, _, err = f.RenewOperator(t.Context(), guest, csr(t), f.issueOperator)
	wantRefusal(t, err, "FIXED_TERM")
	if _, err := f.RevokeOperator(t.Context(), ada, &fleetv1.RevokeOperatorRequest{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = f.RenewOperator(t.Context(), bob, csr(t), f.issueOperator)
	wantRefusal(t, err, "OPERATOR_REVOKED")
}

// Two administrators who revoke each other at the same moment must not both succeed.
func TestAdministratorsCannotRevokeEachOther(t *testing.T) {
	f := newFixture(t)
	issue := func(name string, csr []byte) (*pki.Issued, error) { return f.ca.IssueOperator(name, csr, 0) }
	for _, name := range []string{"ada", "bob"} {
		if _, _, err := f.CreateOperator(t.Context(), ada, operatorRequest(t, name, "*"), issue); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for _, name := range []string{"ada", "bob"} {
		all.Go(func() { _, _ = f.RevokeOperator(t.Context(), ada, &fleetv1.RevokeOperatorRequest{Name: name}) })
	}
	all.Wait()
	operators, _, err := f.Operators(t.Context(), pageOf(10))
	if err != nil || operators[0].GetRevoked() == operators[1].GetRevoked() {
		t.Errorf("%v, %v: exactly one must be left", operators, err)
	}
}

func TestActions(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	id := f.enrol("turin", "press-2")
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	for want, p := range map[uint32]*access.Principal{1: lyon, 2: admin} {
		offered, err := f.Action(t.Context(), p, "ble-restart")
		if err != nil || len(offered) != 1 || offered[0].GetTerminals() != want || offered[0].GetPlugin() != "endpoint" {
			t.Errorf("offered %v, %v, want %d terminals", offered, err, want)
		}
	}
	_, err := f.Action(t.Context(), admin, "reboot")
	if r := refusalOf(t, err, "UNKNOWN_ACTION"); r.Kind != refusal.NotFound || !strings.Contains(r.Next, "ble-restart, nymi-agent-restart") {
		t.Errorf("%v: the known names help", r)
	}
	record, _ := f.Terminal(t.Context(), id)
	if a, p, ok, err := f.ActionFor(t.Context(), record, "ble-restart"); err != nil || !ok || a.GetName() != "ble-restart" || p.GetManifest().GetName() != "endpoint" {
		t.Errorf("%v %v %v %v", a, p, ok, err)
	}
	if _, _, ok, err := f.ActionFor(t.Context(), record, "reboot"); ok || err != nil {
		t.Errorf("an action that is not offered: %v, %v", ok, err)
	}
	if installed, err := f.Installed(t.Context(), record); err != nil || len(installed) != 1 || len(installed[0].GetActions()) != 2 {
		t.Errorf("installed %v, %v", installed, err)
	}
}
