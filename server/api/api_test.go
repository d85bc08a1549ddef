package api_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/pki"
)

const (
	viewer = fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER
	admin  = fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN
)

func TestAdministratorSetsAFleetUp(t *testing.T) {
	f := newFixture(t)
	conn := f.dial(f.operator("ada", admin, "*"))
	inv, acc := fleetv1.NewInventoryServiceClient(conn), fleetv1.NewAccessServiceClient(conn)
	ctx := t.Context()
	if _, err := inv.CreateSite(ctx, &fleetv1.CreateSiteRequest{Name: "Graz"}); err != nil {
		t.Fatal(err)
	}
	made, err := acc.CreateToken(ctx, &fleetv1.CreateTokenRequest{Site: "graz", Role: fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, Uses: 1, Ttl: durationpb.New(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	id := f.enrol(made.GetText(), "nes-1")
	f.sessions.online[id] = true
	got, err := inv.GetTerminal(ctx, &fleetv1.GetTerminalRequest{Terminal: "NES-1"})
	if err != nil || !got.GetTerminal().GetOnline() || got.GetTerminal().GetLastSeen() == nil || len(got.GetTerminal().GetPlugins()) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	sites, err := inv.ListSites(ctx, &fleetv1.ListSitesRequest{})
	if err != nil || len(sites.GetSites()) != 3 || sites.GetSites()[0].GetOnline() != 1 || sites.GetSites()[0].GetTerminals() != 1 {
		t.Errorf("%v, %v", sites, err)
	}
	for range 2 {
		released, err := inv.ReleaseTerminal(ctx, &fleetv1.ReleaseTerminalRequest{Terminal: "nes-1", Reason: "seen"})
		if err != nil || released.GetTerminal().GetName() != "nes-1" {
			t.Fatalf("released %v, %v", released, err)
		}
	}
	if len(f.tasks.released) != 2 || f.tasks.released[0] != id {
		t.Errorf("the job engine heard of the release of %v, want of %s each time: a repetition may be what it needs", f.tasks.released, id)
	}
	again, err := inv.ReEnrolTerminal(ctx, &fleetv1.ReEnrolTerminalRequest{Terminal: "nes-1", Reason: "new disk"})
	if err != nil {
		t.Fatal(err)
	}
	if same := f.enrol(again.GetToken(), ""); same != id {
		t.Errorf("came back as %q, want %q", same, id)
	}
	if _, err := inv.DecommissionTerminal(ctx, &fleetv1.DecommissionTerminalRequest{Terminal: id}); err != nil {
		t.Fatal(err)
	}
	if strings.Join(f.sessions.kicked, " ") != id+" "+id {
		t.Errorf("sessions cut: %v, want one for the re-enrolment and one for the end", f.sessions.kicked)
	}
	if strings.Join(f.tasks.retired, " ") != id {
		t.Errorf("tasks ended of %v, want those of the decommissioned terminal", f.tasks.retired)
	}
	me, err := acc.WhoAmI(ctx, &fleetv1.WhoAmIRequest{})
	if err != nil || me.GetOperator().GetName() != "ada" || me.GetServerVersion() != "1.2.3" {
		t.Errorf("%v, %v", me, err)
	}
	if strings.Contains(f.log.String(), made.GetText()) {
		t.Error("the log holds a token's text")
	}
}

func (f *fixture) enrol(text, name string) string {
	f.t.Helper()
	token, err := identity.ParseToken(text)
	if err != nil {
		f.t.Fatal(err)
	}
	_, csr := newKey(f.t)
	e, err := f.inventory.Enroll(f.t.Context(), &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: csr, SealingKey: make([]byte, 32), JournalId: "j", Name: name, Facts: &agentv1.Facts{Hostname: "h"},
	}, f.ca.IssueAgent)
	if err != nil {
		f.t.Fatal(err)
	}
	return e.Terminal.GetTerminal().GetId()
}

func TestRefusalsCarryFieldReasonAndNextStep(t *testing.T) {
	f := newFixture(t)
	conn := f.dial(f.operator("ada", admin, "lyon"))
	inv, acc := fleetv1.NewInventoryServiceClient(conn), fleetv1.NewAccessServiceClient(conn)
	for _, c := range []struct {
		call func() error
		code codes.Code
		want details
	}{
		{func() error {
			_, err := inv.GetTerminal(t.Context(), &fleetv1.GetTerminalRequest{Terminal: "x"})
			return err
		},
			codes.NotFound, details{"NOT_FOUND", "bandfleet", "terminal", "check the name; `fleetctl get` lists what is at your sites"}},
		{func() error { _, err := inv.GetSite(t.Context(), &fleetv1.GetSiteRequest{Name: "turin"}); return err },
			codes.NotFound, details{"NOT_FOUND", "bandfleet", "name", "check the name; `fleetctl get` lists what is at your sites"}},
		{func() error {
			_, err := inv.CreateSite(t.Context(), &fleetv1.CreateSiteRequest{Name: "graz"})
			return err
		},
			codes.PermissionDenied, details{"RIGHT_MISSING", "bandfleet", "", "see your roles with `fleetctl whoami`, and ask an administrator for one that holds this right"}},
		{func() error {
			_, err := acc.CreateToken(t.Context(), &fleetv1.CreateTokenRequest{Site: "lyon", Role: 1, Uses: 0})
			return err
		},
			codes.InvalidArgument, details{"OUT_OF_RANGE", "bandfleet", "uses", ""}},
		{func() error {
			_, err := inv.ListSites(t.Context(), &fleetv1.ListSitesRequest{PageToken: "!"})
			return err
		},
			codes.InvalidArgument, details{"BAD_PAGE_TOKEN", "bandfleet", "page_token", "begin again without a page token"}},
	} {
		err := c.call()
		if got := detailsOf(err); status.Code(err) != c.code || got != c.want {
			t.Errorf("%v with details %+v, want %s with %+v", err, got, c.code, c.want)
		}
	}
}

func TestWhoMayKnock(t *testing.T) {
	f := newFixture(t)
	_, csr := newKey(t)
	key, agentCSR := newKey(t)
	text, _, err := f.inventory.CreateToken(t.Context(), boss, &fleetv1.CreateTokenRequest{Site: "lyon", Role: 1, Uses: 1, Ttl: durationpb.New(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	token, _ := identity.ParseToken(text)
	e, err := f.inventory.Enroll(t.Context(), &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: agentCSR, SealingKey: make([]byte, 32), JournalId: "j", Name: "press-1",
	}, f.ca.IssueAgent)
	if err != nil {
		t.Fatal(err)
	}
	agent := &tls.Certificate{Certificate: e.Issued.Chain, PrivateKey: key}
	other, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	foreignIssued, err := other.IssueOperator("ada", csr, 0)
	if err != nil {
		t.Fatal(err)
	}
	foreignKey, _ := newKey(t)
	foreign := &tls.Certificate{Certificate: foreignIssued.Chain, PrivateKey: foreignKey}

	for name, c := range map[string]struct {
		cert *tls.Certificate
		code codes.Code
	}{
		"no certificate":       {nil, codes.Unauthenticated},
		"an agent's":           {agent, codes.PermissionDenied},
		"one of another CA":    {foreign, codes.Unavailable},
		"a viewer's":           {f.operator("vera", viewer, "lyon"), codes.OK},
		"a revoked operator's": {f.revoked("rita"), codes.Unauthenticated},
	} {
		conn := f.dial(c.cert)
		_, err := fleetv1.NewInventoryServiceClient(conn).ListSites(t.Context(), &fleetv1.ListSitesRequest{})
		if status.Code(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
		if name == "one of another CA" {
			continue
		}
		if _, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
			t.Errorf("%s: health: %v: it is for anyone", name, err)
		}
	}
}

func (f *fixture) revoked(name string) *tls.Certificate {
	f.t.Helper()
	cert := f.operator(name, viewer, "lyon")
	if _, err := f.inventory.RevokeOperator(f.t.Context(), boss, &fleetv1.RevokeOperatorRequest{Name: name}); err != nil {
		f.t.Fatal(err)
	}
	return cert
}

func TestListsShowOwnSitesOnly(t *testing.T) {
	f := newFixture(t)
	inv := fleetv1.NewInventoryServiceClient(f.dial(f.operator("vera", viewer, "lyon")))
	for _, site := range []string{"lyon", "turin"} {
		text, _, err := f.inventory.CreateToken(t.Context(), boss, &fleetv1.CreateTokenRequest{Site: site, Role: 1, Uses: 1, Ttl: durationpb.New(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		f.enrol(text, "press-"+site)
	}
	sites, err := inv.ListSites(t.Context(), &fleetv1.ListSitesRequest{})
	if err != nil || len(sites.GetSites()) != 1 || sites.GetSites()[0].GetName() != "lyon" {
		t.Errorf("sites %v, %v", sites, err)
	}
	terminals, err := inv.ListTerminals(t.Context(), &fleetv1.ListTerminalsRequest{})
	if err != nil || len(terminals.GetTerminals()) != 1 || terminals.GetTerminals()[0].GetSite() != "lyon" {
		t.Errorf("terminals %v, %v", terminals, err)
	}
	terminals, err = inv.ListTerminals(t.Context(), &fleetv1.ListTerminalsRequest{Selection: &fleetv1.Selection{Expression: "site=lyon or site=turin"}})
	if err != nil || len(terminals.GetTerminals()) != 1 || terminals.GetTerminals()[0].GetSite() != "lyon" {
		t.Errorf("by an expression terminals %v, %v", terminals, err)
	}
	_, err = inv.ListTerminals(t.Context(), &fleetv1.ListTerminalsRequest{Selection: &fleetv1.Selection{Expression: "site=lyon und online"}})
	want := details{"BAD_EXPRESSION", "bandfleet", "selection.expression", "see `fleetctl help expressions`"}
	if d := detailsOf(err); status.Code(err) != codes.InvalidArgument || d != want || !strings.Contains(err.Error(), "column 11") {
		t.Errorf("a bad expression: %v with %v, want INVALID_ARGUMENT with %v and the column", err, d, want)
	}
}

// What a person approved must not start after that person was shut out.
func TestARevocationReachesApprovals(t *testing.T) {
	f := newFixture(t)
	f.operator("bob", viewer, "lyon")
	acc := fleetv1.NewAccessServiceClient(f.dial(f.operator("ada", admin, "*")))
	if _, err := acc.RevokeOperator(t.Context(), &fleetv1.RevokeOperatorRequest{Name: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("%v, want NotFound", err)
	}
	if _, err := acc.RevokeOperator(t.Context(), &fleetv1.RevokeOperatorRequest{Name: "bob"}); err != nil {
		t.Fatal(err)
	}
	if f.tasks.revocations != 1 {
		t.Errorf("the job engine was told %d times of a revocation, want 1", f.tasks.revocations)
	}
}
