package certificates_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/certificates"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

const day = 24 * time.Hour

// fixture is a keeper over terminals at lyon and turin, with a clock that tests move.
type fixture struct {
	*certificates.Keeper
	t     *testing.T
	store *store.Bolt
	inv   *inventory.Inventory
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, store: storetest.New(t), now: time.Now().Truncate(time.Second)}
	ca, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f.inv = inventory.New(inventory.Config{Store: f.store})
	f.Keeper = certificates.New(certificates.Config{Store: f.store, Inventory: f.inv, Now: func() time.Time { return f.now }, Own: func() (certificates.Own, error) {
		server, err := ca.ServerCertificate()
		if err != nil {
			return certificates.Own{}, err
		}
		authority, err := x509.ParseCertificate(ca.TrustBundle()[0])
		return certificates.Own{Server: server.Leaf, Authority: authority}, err
	}})
	for _, site := range []string{"lyon", "turin"} {
		f.put(store.TableSites, store.Key(site), &fleetv1.Site{Name: site, Settings: &fleetv1.SiteSettings{
			ApprovedRoots: []*fleetv1.ApprovedRoot{{Name: "plant", Sha256: hash("root")}},
		}})
	}
	f.terminal("T-0001", "lyon", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	f.terminal("T-0002", "lyon", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	f.terminal("T-0003", "turin", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	return f
}

func (f *fixture) put(table store.Table, key []byte, m proto.Message) {
	f.t.Helper()
	text, err := proto.Marshal(m)
	if err == nil {
		err = f.store.Update(f.t.Context(), func(w store.Writer) error { return w.Put(table, key, text) })
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) terminal(id, site string, state fleetv1.TerminalState) {
	f.t.Helper()
	f.put(store.TableTerminals, store.TerminalKey(id), &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{
		Id: id, Name: "name-" + id, Site: site, State: state, CertificateExpires: timestamppb.New(f.now.Add(90 * day)),
	}})
	f.put(store.TableTerminalSites, store.TerminalSiteKey(site, id), &fleetv1.Terminal{})
}

// hash is a SHA-256 that begins with a word.
func hash(word string) string {
	text := fmt.Sprintf("%x", word)
	return text + strings.Repeat("0", 64-len(text))
}

// certificate ends after some days.
func (f *fixture) certificate(word string, days int) *actionv1.Certificate {
	return &actionv1.Certificate{
		Sha256: hash(word), Subject: "CN=" + word, Store: "My",
		NotBefore: timestamppb.New(f.now.Add(-day)), NotAfter: timestamppb.New(f.now.Add(time.Duration(days) * day)),
	}
}

// scan stores a scan of a terminal, as a result brings it.
func (f *fixture) scan(id, site string, r *actionv1.CertificateReport) {
	f.t.Helper()
	if r.GetScanned() == nil {
		r.Scanned = timestamppb.New(f.now)
	}
	err := f.store.Update(f.t.Context(), func(w store.Writer) error {
		return f.Store(w, &fleetv1.Task{JobId: "J", TerminalId: id, Site: site}, r, f.now)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func person(role fleetv1.OperatorRole, sites ...string) *access.Principal {
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "ada"}, Operator: &fleetv1.Operator{
		Name: "ada", Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}},
	}}
}

var (
	admin  = person(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, access.AllSites)
	viewer = person(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
)

// list asks for all pages and returns the holders with the subjects, in order.
func (f *fixture) list(p *access.Principal, req *fleetv1.ListCertificatesRequest) []string {
	f.t.Helper()
	var all []string
	for req.PageToken = ""; ; {
		page, err := f.List(f.t.Context(), p, req)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, c := range page.GetCertificates() {
			all = append(all, c.GetHolder()+" "+strings.TrimPrefix(c.GetCertificate().GetSubject(), "CN="))
		}
		if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
			return all
		}
	}
}

// audited are the changes of records with a verb.
func (f *fixture) audited(verb string) (all []string) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, value []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, r); err != nil {
				f.t.Fatal(err)
			}
			for _, c := range r.GetChanges() {
				if r.GetVerb() == verb {
					all = append(all, strings.Fields(c.GetName())[0]+": "+c.GetNew())
				}
			}
			return true
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestTheFirstToEndStandsFirst(t *testing.T) {
	f := newFixture(t)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("late", 400), f.certificate("early", 5)}})
	f.scan("T-0002", "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("gone", -3), f.certificate("middle", 20)}})
	f.scan("T-0003", "turin", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("foreign", 1)}})
	for size := range uint32(5) {
		wantLines(t, fmt.Sprint("pages of ", size), f.list(viewer, &fleetv1.ListCertificatesRequest{PageSize: size}),
			"name-T-0002 gone", "name-T-0001 early", "name-T-0002 middle", "name-T-0001 late")
	}
	wantLines(t, "within 7 days", f.list(viewer, &fleetv1.ListCertificatesRequest{ExpiringWithin: durationpb.New(7 * day)}), "name-T-0002 gone", "name-T-0001 early")
	wantLines(t, "of one terminal", f.list(viewer, &fleetv1.ListCertificatesRequest{Terminal: "T-0001"}), "name-T-0001 early", "name-T-0001 late")
	wantLines(t, "of a site, as an administrator", f.list(admin, &fleetv1.ListCertificatesRequest{Site: "turin", Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_MACHINE}), "name-T-0003 foreign")
	wantLines(t, "of a selection that matches nothing", f.list(viewer, &fleetv1.ListCertificatesRequest{Select: "label.line=9"}))
}

func TestOnlyWhatIsBound(t *testing.T) {
	f := newFixture(t)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{
		Certificates: []*actionv1.Certificate{f.certificate("served", 9), f.certificate("idle", 5)},
		Bindings:     []*actionv1.Binding{{Site: "Default Web Site", Port: 443, CertificateSha256: hash("served"), Store: "My"}},
	})
	page, err := f.List(t.Context(), viewer, &fleetv1.ListCertificatesRequest{BoundOnly: true})
	if err != nil || len(page.GetCertificates()) != 1 {
		t.Fatalf("listed %v, %v; want the one that is served", page, err)
	}
	c := page.GetCertificates()[0]
	if c.GetBindings()[0].GetPort() != 443 || c.GetLevel() != fleetv1.ExpiryLevel_EXPIRY_LEVEL_WITHIN_14_DAYS || c.GetJobId() != "J" {
		t.Errorf("listed %v; want its binding, its level and the job that saw it", c)
	}
}

func TestOwnCertificatesAreForAdministrators(t *testing.T) {
	f := newFixture(t)
	f.put(store.TableOperators, store.Key("bob"), &storagev1.OperatorRecord{Operator: &fleetv1.Operator{Name: "bob", CertificateExpires: timestamppb.New(f.now.Add(2 * day))}})
	wantLines(t, "a viewer", f.list(viewer, &fleetv1.ListCertificatesRequest{}))
	soon := &fleetv1.ListCertificatesRequest{ExpiringWithin: durationpb.New(100 * day)}
	if list := f.list(admin, soon); slices.Contains(list, "name-T-0001 agent/T-0001") {
		t.Errorf("listed %q; an agent that renews its certificate in time ends nothing", list)
	}
	soon.Owner = fleetv1.CertificateOwner_CERTIFICATE_OWNER_AGENT
	if list := f.list(admin, soon); len(list) != 3 {
		t.Errorf("listed %q, want all agents when they are asked for", list)
	}
	owners := map[fleetv1.CertificateOwner]int{}
	page, err := f.List(t.Context(), admin, &fleetv1.ListCertificatesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range page.GetCertificates() {
		owners[c.GetOwner()]++
	}
	if got := fmt.Sprint(owners); got != "map[CERTIFICATE_OWNER_AGENT:3 CERTIFICATE_OWNER_OPERATOR:1 CERTIFICATE_OWNER_SERVER:1 CERTIFICATE_OWNER_AUTHORITY:1]" {
		t.Errorf("an administrator sees %s", got)
	}
	wantLines(t, "operators alone", f.list(admin, &fleetv1.ListCertificatesRequest{Owner: fleetv1.CertificateOwner_CERTIFICATE_OWNER_OPERATOR}), "bob operator/bob")
}

// Each level is told of once, whether scans come daily or after a long time, and another scan of the same day tells nothing.
func TestEachLevelIsNotedOnce(t *testing.T) {
	f := newFixture(t)
	c := f.certificate("nes", 61)
	begin := f.now
	for _, at := range []int{0, 0, 2, 2, 20, 35, 50, 55, 60, 61, 62, 70} {
		f.now = begin.Add(time.Duration(at)*day + time.Minute)
		f.scan("T-0001", "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{c}})
	}
	wantLines(t, "audited", f.audited("certificate.expiring"), "CN=nes: within 60 days", "CN=nes: within 30 days",
		"CN=nes: within 14 days", "CN=nes: within 7 days", "CN=nes: within 1 day", "CN=nes: expired")
}

func TestAnOlderScanChangesNothing(t *testing.T) {
	f := newFixture(t)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("new", 9)}})
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Scanned: timestamppb.New(f.now.Add(-day)), Certificates: []*actionv1.Certificate{f.certificate("old", 1)}})
	wantLines(t, "listed", f.list(viewer, &fleetv1.ListCertificatesRequest{}), "name-T-0001 new")
	// A clock that is ahead must not keep all scans that follow out.
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Scanned: timestamppb.New(f.now.Add(1000 * day)), Certificates: []*actionv1.Certificate{f.certificate("ahead", 1)}})
	f.now = f.now.Add(time.Hour)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("later", 1), {Sha256: "nonsense"}}})
	wantLines(t, "listed", f.list(viewer, &fleetv1.ListCertificatesRequest{}), "name-T-0001 later")
	if found, err := certificates.Verify(t.Context(), f.store); err != nil || found != "1 certificates on 1 terminals" {
		t.Errorf("verified %q, %v", found, err)
	}
}

func TestTrustSaysWhoDoesNotAndOfWhomItIsNotKnown(t *testing.T) {
	f := newFixture(t)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Roots: map[string]bool{hash("root"): true}})
	f.scan("T-0002", "lyon", &actionv1.CertificateReport{Roots: map[string]bool{hash("root"): false}})
	resp, err := f.Trust(t.Context(), admin, &fleetv1.ListTrustRequest{})
	if err != nil || len(resp.GetRoots()) != 2 {
		t.Fatalf("listed %v, %v; want a root at each site", resp, err)
	}
	lyon, turin := resp.GetRoots()[0], resp.GetRoots()[1]
	if lyon.GetTrusting() != 1 || fmt.Sprint(lyon.GetMissing()) != "[name-T-0002]" || lyon.GetUnknownTotal() != 0 {
		t.Errorf("at lyon: %v, want one that trusts it and name-T-0002 that does not", lyon)
	}
	if turin.GetTrusting() != 0 || fmt.Sprint(turin.GetUnknown()) != "[name-T-0003]" {
		t.Errorf("at turin: %v, want that nothing is known of name-T-0003", turin)
	}
	if own, err := f.Trust(t.Context(), viewer, &fleetv1.ListTrustRequest{Root: "PLANT"}); err != nil || len(own.GetRoots()) != 1 {
		t.Errorf("a viewer of lyon sees %v, %v; want one site", own, err)
	}
	for _, req := range []*fleetv1.ListTrustRequest{{Site: "turin"}, {Site: "nowhere"}, {Root: "unknown"}} {
		_, err := f.Trust(t.Context(), viewer, req)
		if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Kind != refusal.NotFound {
			t.Errorf("%v: %v, want NOT_FOUND", req, err)
		}
	}
}

func TestCoverageIsOfTheTerminalsThatAreMeant(t *testing.T) {
	f := newFixture(t)
	f.scan("T-0001", "lyon", &actionv1.CertificateReport{Roots: map[string]bool{hash("root"): true}})
	f.scan("T-0002", "lyon", &actionv1.CertificateReport{Roots: map[string]bool{hash("root"): false}})
	var all []*storagev1.TerminalRecord
	for _, id := range []string{"T-0001", "T-0002", "T-0003"} {
		r, err := f.inv.Terminal(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	c, err := f.Coverage(t.Context(), all, []string{hash("root"), hash("other")}, func(id string) bool { return id == "T-0003" })
	if err != nil || c.GetUsers() != 3 || c.GetTrusting() != 1 || len(c.GetMissing()) != 0 || fmt.Sprint(c.GetUnknown()) != "[name-T-0002 name-T-0003]" {
		t.Errorf("coverage %v, %v: one trusts a root; of the others it is not known, for nobody looked for the other root", c, err)
	}
	if fmt.Sprint(c.GetOffline()) != "[name-T-0002]" {
		t.Errorf("offline %v, want name-T-0002", c.GetOffline())
	}
	c, err = f.Coverage(t.Context(), all, []string{hash("root")}, func(string) bool { return true })
	if err != nil || fmt.Sprint(c.GetMissing(), c.GetUnknown()) != "[name-T-0002] [name-T-0003]" {
		t.Errorf("coverage %v, %v", c, err)
	}
}

func TestScansGoWithTheirTerminal(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"T-0001", "T-0002"} {
		f.scan(id, "lyon", &actionv1.CertificateReport{Certificates: []*actionv1.Certificate{f.certificate("nes", 9)}})
	}
	f.terminal("T-0001", "lyon", fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED)
	wantLines(t, "listed before it is removed", f.list(viewer, &fleetv1.ListCertificatesRequest{}), "name-T-0002 nes")
	if err := errors.Join(f.Sweep(t.Context()), f.Forget(t.Context(), "T-0002")); err != nil {
		t.Fatal(err)
	}
	if found, err := certificates.Verify(t.Context(), f.store); err != nil || found != "1 certificates on 1 terminals" {
		t.Errorf("verified %q, %v; want that of T-0002 alone to be left", found, err)
	}
}

func TestBadQuestionsAreRefused(t *testing.T) {
	f := newFixture(t)
	for name, req := range map[string]*fleetv1.ListCertificatesRequest{
		"BAD_PAGE_TOKEN": {PageToken: "*"}, "BAD_SPAN": {ExpiringWithin: durationpb.New(-1)}, "BAD_OWNER": {Owner: 99}, "BAD_EXPRESSION": {Select: "("},
		"NOT_FOUND": {Site: "turin"},
	} {
		_, err := f.List(t.Context(), viewer, req)
		if no, ok := errors.AsType[*refusal.Error](err); !ok || no.Reason != name {
			t.Errorf("%v: %v, want a refusal with reason %s", req, err, name)
		}
	}
}
