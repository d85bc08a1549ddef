package inventory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ada   = identity.Name{Kind: identity.KindOperator, ID: "ada"}
	admin = principal(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, access.AllSites)
)

func principal(role fleetv1.OperatorRole, sites ...string) *access.Principal {
	return &access.Principal{Name: ada, Operator: &fleetv1.Operator{Name: "ada", Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}}}}
}

// fixture is an inventory with the sites lyon and turin, and a clock that tests move.
type fixture struct {
	*inventory.Inventory
	t     testing.TB
	store *store.Bolt
	ca    *pki.Authority
	now   time.Time
	// up are the terminals that have a session.
	up presence
}

type presence map[string]bool

func (p presence) Online(terminalID string) bool { return p[terminalID] }

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, store: storetest.New(t), now: time.Now().Round(time.Second), up: presence{}}
	clock := func() time.Time { return f.now }
	ca, err := pki.Open(pki.Config{Dir: t.TempDir(), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	f.ca = ca
	f.Inventory = inventory.New(inventory.Config{Store: f.store, Now: clock, CA: ca.Fingerprint(), Presence: f.up})
	for _, site := range []string{"lyon", "turin"} {
		if _, err := f.CreateSite(t.Context(), ada, &fleetv1.CreateSiteRequest{Name: site}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// token makes a token of a site.
func (f *fixture) token(site string, uses uint32) identity.Token {
	f.t.Helper()
	text, _, err := f.CreateToken(f.t.Context(), ada, &fleetv1.CreateTokenRequest{
		Site: site, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, Uses: uses, Ttl: durationpb.New(time.Hour),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.parse(text)
}

func (f *fixture) parse(text string) identity.Token {
	f.t.Helper()
	token, err := identity.ParseToken(text)
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

func csr(t testing.TB) []byte {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := identity.NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func enrolRequest(t testing.TB, token identity.Token, name string) *agentv1.EnrollRequest {
	return &agentv1.EnrollRequest{
		TokenId: token.ID, TokenSecret: token.Secret, Csr: csr(t), SealingKey: make([]byte, 32), Name: name, JournalId: "journal-1",
		Facts:   &agentv1.Facts{Hostname: "host", Os: "linux"},
		Plugins: []*agentv1.Plugin{endpointPlugin()},
	}
}

func endpointPlugin() *agentv1.Plugin {
	return &agentv1.Plugin{Sha256: strings.Repeat("ab", 32), Manifest: &actionv1.Manifest{
		Name: "endpoint", Version: "1.0.0", Actions: []*actionv1.Action{{Name: "ble-restart"}, {Name: "nymi-agent-restart"}},
	}}
}

// enrol lets a new machine in at a site and returns its id.
func (f *fixture) enrol(site, name string) string {
	f.t.Helper()
	e, err := f.Enroll(f.t.Context(), enrolRequest(f.t, f.token(site, 1), name), f.ca.IssueAgent)
	if err != nil {
		f.t.Fatal(err)
	}
	return e.Terminal.GetTerminal().GetId()
}

// as is the context of a call by the agent of a terminal, with the key that it has now.
func (f *fixture) as(id string) context.Context {
	f.t.Helper()
	r, err := f.Terminal(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return access.With(f.t.Context(), &access.Principal{Name: identity.Name{Kind: identity.KindAgent, ID: id}, Terminal: r})
}

func wantRefusal(t testing.TB, err error, reason string) {
	t.Helper()
	_ = refusalOf(t, err, reason)
}

// refusalOf is wantRefusal that returns the refusal; it is never nil.
func refusalOf(t testing.TB, err error, reason string) *refusal.Error {
	t.Helper()
	var r *refusal.Error
	if !errors.As(err, &r) || r.Reason != reason {
		t.Errorf("error %v, want a refusal with reason %s", err, reason)
		return &refusal.Error{}
	}
	return r
}

// records counts the audit records of all chains.
func (f *fixture) records() (n int) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, _ []byte) bool { n++; return true })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func names(t testing.TB, f *fixture, p *access.Principal, sel *fleetv1.Selection) string {
	t.Helper()
	found, err := f.Select(t.Context(), p, access.Act, sel)
	if err != nil {
		return "refused: " + err.Error()
	}
	var out []string
	for _, r := range found {
		out = append(out, r.GetTerminal().GetName())
	}
	return strings.Join(out, " ")
}
