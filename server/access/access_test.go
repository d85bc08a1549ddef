package access_test

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

const (
	viewer   = fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER
	operator = fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR
	approver = fleetv1.OperatorRole_OPERATOR_ROLE_APPROVER
	admin    = fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN
)

func person(role fleetv1.OperatorRole, sites ...string) *access.Principal {
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: "ada"},
		Operator: &fleetv1.Operator{Name: "ada", Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}}},
	}
}

func TestRights(t *testing.T) {
	rights := []access.Right{access.Read, access.Act, access.Approve, access.Admin}
	for role, want := range map[fleetv1.OperatorRole][]access.Right{
		viewer:   {access.Read},
		operator: {access.Read, access.Act},
		approver: {access.Read, access.Approve},
		admin:    rights,
		fleetv1.OperatorRole_OPERATOR_ROLE_UNSPECIFIED: nil,
		99: nil,
	} {
		for _, r := range rights {
			if got := person(role, "Lyon").May(r, "LYON"); got != slices.Contains(want, r) {
				t.Errorf("%s may %s its site: %v", role, r, got)
			}
			if person(role, "lyon").May(r, "turin") {
				t.Errorf("%s may %s a foreign site", role, r)
			}
		}
	}
	if all, _ := person(viewer, "*").Sites(access.Read); !all || !person(viewer, "*").May(access.Read, "turin") {
		t.Error("* must mean all sites")
	}
	if (*access.Principal)(nil).May(access.Read, "lyon") || access.From(context.Background()).May(access.Read, "lyon") {
		t.Error("nobody may do something")
	}
	agent := &access.Principal{Terminal: &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Site: "lyon"}}}
	if agent.May(access.Read, "lyon") {
		t.Error("an agent holds an operator's right")
	}
}

// world is an authorizer over sites lyon and turin, where press-l and press-t stand and a job runs at both.
func world(t *testing.T) (*access.Authorizer, *store.Bolt) {
	t.Helper()
	places := map[access.ObjectKind]map[string][]string{
		access.Site:     {"lyon": {"lyon"}, "turin": {"turin"}},
		access.Terminal: {"press-l": {"lyon"}, "press-t": {"turin"}},
		access.Band:     {"b-l": {"lyon"}, "b-t": {"turin"}},
		access.Token:    {"t-l": {"lyon"}, "t-t": {"turin"}},
		access.Job:      {"j-l": {"lyon"}, "j-t": {"turin"}, "j-both": {"lyon", "turin"}},
		access.Artifact: {"a-l": {"lyon"}, "a-t": {"turin"}},
		access.Schedule: {"s-l": {"lyon"}, "s-t": {"turin"}},
		access.Fault:    {"f-l": {"lyon"}, "f-t": {"turin"}},
		access.Guided:   {"g-l": {"lyon"}, "g-t": {"turin"}},
	}
	resolvers := map[access.ObjectKind]access.Resolver{}
	for kind, objects := range places {
		resolvers[kind] = func(_ context.Context, name string) ([]string, error) {
			if sites, ok := objects[name]; ok {
				return sites, nil
			}
			return nil, access.NotFound(kind, name)
		}
	}
	st := storetest.New(t)
	a, err := access.NewAuthorizer(st, time.Now, resolvers)
	if err != nil {
		t.Fatal(err)
	}
	return a, st
}

func TestAuthorize(t *testing.T) {
	a, _ := world(t)
	const inventory, jobs, accessService = "/fleet.v1.InventoryService/", "/fleet.v1.JobService/", "/fleet.v1.AccessService/"
	agent := &access.Principal{Name: identity.Name{Kind: identity.KindAgent, ID: "T-0001"}, Terminal: &storagev1.TerminalRecord{}}
	for _, c := range []struct {
		who    *access.Principal
		method string
		req    proto.Message
		want   refusal.Kind
	}{
		{person(viewer, "lyon"), inventory + "GetTerminal", &fleetv1.GetTerminalRequest{Terminal: "press-l"}, 0},
		{person(viewer, "lyon"), inventory + "GetTerminal", &fleetv1.GetTerminalRequest{Terminal: "press-t"}, refusal.NotFound},
		{person(viewer, "lyon"), inventory + "GetTerminal", &fleetv1.GetTerminalRequest{}, refusal.Invalid},
		{person(viewer, "lyon"), inventory + "LabelTerminal", &fleetv1.LabelTerminalRequest{Terminal: "press-l"}, refusal.Denied},
		{person(viewer, "lyon"), inventory + "LabelTerminal", &fleetv1.LabelTerminalRequest{Terminal: "press-t"}, refusal.NotFound},
		{person(operator, "lyon"), inventory + "LabelTerminal", &fleetv1.LabelTerminalRequest{Terminal: "press-l"}, 0},
		{person(operator, "*"), inventory + "DecommissionTerminal", &fleetv1.DecommissionTerminalRequest{Terminal: "press-l"}, refusal.Denied},
		{person(admin, "lyon"), inventory + "MoveTerminal", &fleetv1.MoveTerminalRequest{Terminal: "press-l", Site: "turin"}, refusal.NotFound},
		{person(admin, "lyon", "turin"), inventory + "MoveTerminal", &fleetv1.MoveTerminalRequest{Terminal: "press-l", Site: "turin"}, 0},
		{person(admin, "lyon", "turin"), inventory + "CreateSite", &fleetv1.CreateSiteRequest{Name: "graz"}, refusal.Denied},
		{person(admin, "*"), inventory + "CreateSite", &fleetv1.CreateSiteRequest{Name: "graz"}, 0},
		{person(viewer, "lyon"), inventory + "ListSites", &fleetv1.ListSitesRequest{}, 0},
		{person(viewer, "lyon"), jobs + "CreateJob", &fleetv1.CreateJobRequest{}, refusal.Denied},
		{person(operator, "lyon"), jobs + "CreateJob", &fleetv1.CreateJobRequest{}, 0},
		{person(viewer, "lyon"), jobs + "GetJob", &fleetv1.GetJobRequest{Id: "j-both"}, 0},
		{person(viewer, "lyon"), jobs + "GetJob", &fleetv1.GetJobRequest{Id: "j-t"}, refusal.NotFound},
		{person(operator, "lyon"), jobs + "CancelJob", &fleetv1.CancelJobRequest{Id: "j-both"}, refusal.Denied},
		{person(operator, "lyon"), jobs + "CancelJob", &fleetv1.CancelJobRequest{Id: "j-l"}, 0},
		{person(approver, "*"), jobs + "CancelJob", &fleetv1.CancelJobRequest{Id: "j-l"}, refusal.Denied},
		{person(admin, "lyon"), accessService + "CreateOperator", &fleetv1.CreateOperatorRequest{}, refusal.Denied},
		{person(operator, "*"), accessService + "ListTokens", &fleetv1.ListTokensRequest{}, refusal.Denied},
		{person(admin, "lyon"), accessService + "RevokeToken", &fleetv1.RevokeTokenRequest{Id: "t-t"}, refusal.NotFound},
		{&access.Principal{Name: person(viewer).Name, Operator: &fleetv1.Operator{}}, accessService + "WhoAmI", &fleetv1.WhoAmIRequest{}, 0},
		{person(admin, "*"), "/fleet.v1.InventoryService/DropEverything", &fleetv1.GetSiteRequest{}, refusal.Denied},
		{person(admin, "*"), inventory + "GetSite", &fleetv1.WhoAmIRequest{}, -1},
		{nil, inventory + "ListSites", &fleetv1.ListSitesRequest{}, refusal.Unauthenticated},
		{agent, inventory + "ListSites", &fleetv1.ListSitesRequest{}, refusal.Denied},
		{person(admin, "*"), "/agent.v1.AgentService/Connect", nil, refusal.Denied},
		{agent, "/agent.v1.AgentService/Connect", nil, 0},
		{nil, "/agent.v1.AgentService/Renew", nil, refusal.Unauthenticated},
		{nil, "/agent.v1.EnrollmentService/Enroll", nil, 0},
		{nil, "/grpc.health.v1.Health/Check", nil, 0},
	} {
		err := a.Authorize(t.Context(), c.who, c.method, c.req)
		if got := kindOf(err); got != c.want {
			t.Errorf("%s(%v): %v, want kind %d", c.method, c.req, err, c.want)
		}
	}
}

// kindOf is 0 for no error and -1 for one that is no refusal.
func kindOf(err error) refusal.Kind {
	var r *refusal.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &r):
		return r.Kind
	default:
		return -1
	}
}

// For every RPC that names an object: one at another site is refused exactly as one that does not exist.
func TestNoOracle(t *testing.T) {
	a, _ := world(t)
	foreign := map[access.ObjectKind]string{access.Site: "turin", access.Terminal: "press-t", access.Band: "b-t", access.Token: "t-t", access.Job: "j-t", access.Artifact: "a-t", access.Schedule: "s-t", access.Fault: "f-t", access.Guided: "g-t"}
	who := person(admin, "lyon")
	checked := 0
	for method, rule := range access.Rules() {
		if rule.Objects == nil {
			continue
		}
		for _, o := range rule.Objects(filled(t, methods()[method].Input())) {
			refuse := func(name string) string {
				req := filled(t, methods()[method].Input()).ProtoReflect()
				for _, other := range rule.Objects(req.Interface()) {
					own := map[access.ObjectKind]string{access.Site: "lyon", access.Terminal: "press-l"}[other.Kind]
					setText(req, other.Field, own)
				}
				setText(req, o.Field, name)
				err := a.Authorize(t.Context(), who, method, req.Interface())
				var r *refusal.Error
				if !errors.As(err, &r) {
					t.Fatalf("%s of %s %q: %v", method, o.Kind, name, err)
				}
				return strings.ReplaceAll(r.Error()+"|"+r.Reason+"|"+r.Field, name, "?")
			}
			if there, missing := refuse(foreign[o.Kind]), refuse("missing"); there != missing {
				t.Errorf("%s: %q and %q tell apart what exists at another site", method, there, missing)
			}
			checked++
		}
	}
	if checked < 15 {
		t.Errorf("only %d objects were checked", checked)
	}
}

// A name that nobody has may be as long as a message, and must not come back, or go to the log, as a whole.
func TestALongNameIsNotRepeated(t *testing.T) {
	a, _ := world(t)
	p := person(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "*")
	err := a.Authorize(t.Context(), p, "/fleet.v1.InventoryService/GetSite", &fleetv1.GetSiteRequest{Name: strings.Repeat("é", 1<<20)})
	if kindOf(err) != refusal.NotFound || len(err.Error()) > 300 {
		t.Errorf("%d bytes of error, want a short NOT_FOUND", len(err.Error()))
	}
}

func TestAuthenticate(t *testing.T) {
	a, st := world(t)
	ca, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	agentCert, agentKey := issue(t, ca.IssueAgent, "T-0001")
	renewedCert, renewedKey := issue(t, ca.IssueAgent, "T-0001")
	foreignCert, _ := issue(t, ca.IssueAgent, "T-0001")
	adaCert, adaKey := issue(t, func(n string, csr []byte) (*pki.Issued, error) { return ca.IssueOperator(n, csr, 0) }, "ada")

	if _, err := a.Authenticate(t.Context(), adaCert); kindOf(err) != refusal.Unauthenticated {
		t.Errorf("an operator that the store does not know: %v", err)
	}
	save(t, st, store.TableOperators, store.Key("ada"), &storagev1.OperatorRecord{Operator: &fleetv1.Operator{Name: "ada"}, TlsKeySha256: adaKey})
	if p, err := a.Authenticate(t.Context(), adaCert); err != nil || p.Name.String() != "operator/ada" || p.Operator == nil {
		t.Errorf("%v, %v", p, err)
	}
	save(t, st, store.TableOperators, store.Key("ada"), &storagev1.OperatorRecord{Operator: &fleetv1.Operator{Name: "ada", Revoked: true}, TlsKeySha256: adaKey})
	if _, err := a.Authenticate(t.Context(), adaCert); reason(err) != "OPERATOR_REVOKED" {
		t.Errorf("a revoked operator: %v", err)
	}

	nextCert, nextKey := issue(t, func(n string, csr []byte) (*pki.Issued, error) { return ca.IssueOperator(n, csr, 0) }, "ada")
	save(t, st, store.TableOperators, store.Key("ada"), &storagev1.OperatorRecord{Operator: &fleetv1.Operator{Name: "ada"}, TlsKeySha256: adaKey, RenewedKeySha256: nextKey})
	if _, err := a.Authenticate(t.Context(), adaCert); err != nil {
		t.Errorf("an operator's old key before the new one was used: %v", err)
	}
	if p, err := a.Authenticate(t.Context(), nextCert); err != nil || string(p.Key) != string(nextKey) {
		t.Errorf("an operator's new key: %v, %v", p, err)
	}
	if _, err := a.Authenticate(t.Context(), adaCert); reason(err) != "KEY_REPLACED" {
		t.Errorf("an operator's old key after the new one was used: %v", err)
	}

	record := &storagev1.TerminalRecord{
		Terminal: &fleetv1.Terminal{Id: "T-0001", Site: "lyon", State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE}, TlsKeySha256: agentKey, RenewedKeySha256: renewedKey,
	}
	save(t, st, store.TableTerminals, store.TerminalKey("T-0001"), record)
	if _, err := a.Authenticate(t.Context(), agentCert); err != nil {
		t.Errorf("the old key before the new one was used: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), foreignCert); reason(err) != "KEY_REPLACED" {
		t.Errorf("a certificate of the right name for another key: %v", err)
	}
	if p, err := a.Authenticate(t.Context(), renewedCert); err != nil || p.Terminal == nil {
		t.Errorf("the new key: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), agentCert); reason(err) != "KEY_REPLACED" {
		t.Errorf("the old key after the new one was used: %v", err)
	}
	for state, want := range map[fleetv1.TerminalState]string{
		fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED: "TERMINAL_DECOMMISSIONED", fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING: "TERMINAL_RE_ENROLLING",
	} {
		record.Terminal.State, record.TlsKeySha256 = state, renewedKey
		save(t, st, store.TableTerminals, store.TerminalKey("T-0001"), record)
		if _, err := a.Authenticate(t.Context(), renewedCert); reason(err) != want || kindOf(err) != refusal.Denied {
			t.Errorf("%s: %v, want %s", state, err, want)
		}
	}
}

func TestServerAndExpiredCertificatesAreNobody(t *testing.T) {
	a, st := world(t)
	ca, err := pki.Open(pki.Config{Dir: t.TempDir(), AgentTTL: time.Minute, Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	server, err := ca.ServerCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authenticate(t.Context(), server.Leaf); reason(err) != "WRONG_KIND" {
		t.Errorf("the server's own certificate: %v", err)
	}
	expired, key := issue(t, ca.IssueAgent, "T-0001")
	save(t, st, store.TableTerminals, store.TerminalKey("T-0001"), &storagev1.TerminalRecord{
		Terminal: &fleetv1.Terminal{Id: "T-0001", State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE}, TlsKeySha256: key,
	})
	if _, err := a.Authenticate(t.Context(), expired); reason(err) != "CERTIFICATE_EXPIRED" {
		t.Errorf("a certificate that expired after its connection was made: %v", err)
	}
	if _, err := a.Authenticate(t.Context(), &x509.Certificate{}); reason(err) != "BAD_CERTIFICATE" {
		t.Errorf("a certificate without a name: %v", err)
	}
}

func TestAuthorizerWantsEveryResolver(t *testing.T) {
	if _, err := access.NewAuthorizer(storetest.New(t), time.Now, nil); err == nil {
		t.Error("an authorizer that cannot find objects was made")
	}
}
