package secrets_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/secrets"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

// fixture is a keeper over two terminals: T-0001 at lyon and T-0002 at turin.
type fixture struct {
	*secrets.Keeper
	t     *testing.T
	store *store.Bolt
	keys  map[string]*ecdh.PrivateKey
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	st := storetest.New(t)
	f := &fixture{t: t, store: st, keys: map[string]*ecdh.PrivateKey{}}
	inv := inventory.New(inventory.Config{Store: st})
	f.Keeper = secrets.New(secrets.Config{Store: st, Terminals: inv, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	f.terminal("T-0001", "lyon", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	f.terminal("T-0002", "turin", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	return f
}

// terminal stores a terminal with a new sealing key.
func (f *fixture) terminal(id, site string, state fleetv1.TerminalState) {
	f.t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.keys[id] = key
	f.put(store.TableTerminals, store.TerminalKey(id), &storagev1.TerminalRecord{
		Terminal: &fleetv1.Terminal{Id: id, Name: "nes-" + site, Site: site, State: state}, SealingKey: key.PublicKey().Bytes(),
		SealingKeyProof: []byte("proof"), SealingKeyChain: [][]byte{[]byte("certificate")},
	})
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

func person(role fleetv1.OperatorRole, sites ...string) *access.Principal {
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: "ada"}, Operator: &fleetv1.Operator{
		Name: "ada", Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}},
	}}
}

var everywhere = person(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, access.AllSites)

// request seals a text to a terminal.
func (f *fixture) request(id, name, text string) *fleetv1.PutSecretRequest {
	f.t.Helper()
	s, err := sealed.Seal(f.keys[id].PublicKey().Bytes(), id, name, []byte(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return &fleetv1.PutSecretRequest{Terminal: id, Name: name, Kind: fleetv1.SecretKind_SECRET_KIND_TEXT, Sealed: s, Reason: "INC-1"}
}

func (f *fixture) mustPut(id, name, text string) *fleetv1.Secret {
	f.t.Helper()
	s, err := f.Put(f.t.Context(), everywhere, f.request(id, name, text))
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func wantRefusal(t *testing.T, err error, kind refusal.Kind, reason string) {
	t.Helper()
	no, ok := errors.AsType[*refusal.Error](err)
	if !ok || no.Kind != kind || no.Reason != reason {
		t.Errorf("error %v, want a refusal of kind %d with reason %s", err, kind, reason)
	}
}

func TestASecretReachesItsTerminalAlone(t *testing.T) {
	f := newFixture(t)
	first := f.mustPut("T-0001", "nes.pfx", "hunter2")
	second := f.mustPut("T-0001", "nes.pfx", "hunter3")
	if first.GetVersion() != 1 || second.GetVersion() != 2 || !second.GetUsable() || second.GetSite() != "lyon" || second.GetCreatedBy() != "ada" {
		t.Errorf("put %v, then %v; want versions 1 and 2, of lyon, usable, by ada", first, second)
	}
	s, err := f.Sealed(t.Context(), "T-0001", "nes.pfx")
	if err != nil {
		t.Fatal(err)
	}
	text, err := sealed.Open(f.keys["T-0001"], "T-0001", s)
	if err != nil || string(text) != "hunter3" || s.GetVersion() != 2 {
		t.Errorf("the terminal opens version %d as %q, %v; want version 2, hunter3", s.GetVersion(), text, err)
	}
	_, err = f.Sealed(t.Context(), "T-0002", "nes.pfx")
	wantRefusal(t, err, refusal.NotFound, "NO_SECRET")
	_, err = f.Sealed(t.Context(), "T-0001", "../T-0002")
	wantRefusal(t, err, refusal.NotFound, "NO_SECRET")
}

// Nothing of what is sealed may be in the audit record, whole or in part; who, what and why must be.
func TestTheAuditRecordTellsNothingOfTheContent(t *testing.T) {
	f := newFixture(t)
	req := f.request("T-0001", "nes.pfx", "hunter2")
	req.Certificates = []*actionv1.Certificate{{Sha256: strings.Repeat("ab", 32), Subject: "CN=nes"}}
	if _, err := f.Put(t.Context(), everywhere, req); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Delete(t.Context(), everywhere, &fleetv1.DeleteSecretRequest{Terminal: "T-0001", Name: "nes.pfx", Reason: "INC-2"}); err != nil {
		t.Fatal(err)
	}
	var verbs []string
	err := f.store.View(t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, value []byte) bool {
			if bytes.Contains(value, req.GetSealed().GetCiphertext()[:16]) || bytes.Contains(value, []byte("hunter")) {
				t.Error("an audit record holds what was sealed")
			}
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(value, r); err != nil {
				t.Fatal(err)
			}
			verbs = append(verbs, r.GetVerb()+" "+r.GetObject()+" "+r.GetReason())
			return true
		})
	})
	if want := "[secret.put secret/T-0001/nes.pfx INC-1 secret.delete secret/T-0001/nes.pfx INC-2]"; err != nil || fmt.Sprint(verbs) != want {
		t.Errorf("audited %v, %v; want %s", verbs, err, want)
	}
	if err := audit.Verify(t.Context(), f.store); err != nil {
		t.Error(err)
	}
}

func TestARepeatedPutMakesNoNewVersion(t *testing.T) {
	f := newFixture(t)
	req := f.request("T-0001", "nes.pfx", "hunter2")
	req.RequestId = "r-1"
	for range 2 {
		s, err := f.Put(t.Context(), everywhere, proto.CloneOf(req))
		if err != nil || s.GetVersion() != 1 {
			t.Errorf("version %d, %v; want 1 however often it is asked", s.GetVersion(), err)
		}
	}
}

func TestBadSecretsChangeNothing(t *testing.T) {
	f := newFixture(t)
	for name, c := range map[string]struct {
		change func(*fleetv1.PutSecretRequest)
		kind   refusal.Kind
		reason string
	}{
		"a name with a slash":      {func(r *fleetv1.PutSecretRequest) { r.Name, r.Sealed.Name = "a/b", "a/b" }, refusal.Invalid, "BAD_NAME"},
		"no name":                  {func(r *fleetv1.PutSecretRequest) { r.Name = "" }, refusal.Invalid, "BAD_NAME"},
		"sealed for another name":  {func(r *fleetv1.PutSecretRequest) { r.Name = "other" }, refusal.Invalid, "NAME_DIFFERS"},
		"no kind":                  {func(r *fleetv1.PutSecretRequest) { r.Kind = 0 }, refusal.Invalid, "BAD_KIND"},
		"not sealed":               {func(r *fleetv1.PutSecretRequest) { r.Sealed.Ciphertext = []byte("hunter2") }, refusal.Invalid, "NOT_SEALED"},
		"too large":                {func(r *fleetv1.PutSecretRequest) { r.Sealed.Ciphertext = make([]byte, 301<<10) }, refusal.Invalid, "NOT_SEALED"},
		"to another terminal":      {func(r *fleetv1.PutSecretRequest) { r.Terminal = "T-0002" }, refusal.Conflict, "KEY_CHANGED"},
		"no such terminal":         {func(r *fleetv1.PutSecretRequest) { r.Terminal = "T-0009" }, refusal.NotFound, "NOT_FOUND"},
		"certificate without hash": {func(r *fleetv1.PutSecretRequest) { r.Certificates = []*actionv1.Certificate{{}} }, refusal.Invalid, "BAD_CERTIFICATE"},
		"a reason of two lines":    {func(r *fleetv1.PutSecretRequest) { r.Reason = "a\nb" }, refusal.Invalid, "BAD_REASON"},
	} {
		t.Run(name, func(t *testing.T) {
			req := f.request("T-0001", "nes.pfx", "hunter2")
			c.change(req)
			_, err := f.Put(t.Context(), everywhere, req)
			wantRefusal(t, err, c.kind, c.reason)
			if some, _ := store.Any(t.Context(), f.store, store.TableSecrets); some {
				t.Error("a secret that was refused is stored")
			}
		})
	}
}

func TestAnotherKeyMakesSecretsUseless(t *testing.T) {
	f := newFixture(t)
	f.mustPut("T-0001", "nes.pfx", "hunter2")
	f.terminal("T-0001", "lyon", fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	list, err := f.List(t.Context(), everywhere, &fleetv1.ListSecretsRequest{})
	if err != nil || len(list.GetSecrets()) != 1 || list.GetSecrets()[0].GetUsable() {
		t.Errorf("listed %v, %v; want one that is not usable", list, err)
	}
	_, err = f.Sealed(t.Context(), "T-0001", "nes.pfx")
	wantRefusal(t, err, refusal.Precondition, "SECRET_OUTDATED")
	if s := f.mustPut("T-0001", "nes.pfx", "hunter2"); !s.GetUsable() || s.GetVersion() != 2 {
		t.Errorf("put again: %v, want version 2, usable", s)
	}
}

// stamp is what an approval covers of a secret.
func (f *fixture) stamp(id, name string) (stamp string, err error) {
	f.t.Helper()
	_ = f.store.View(f.t.Context(), func(v store.Snapshot) error {
		stamp, err = f.Stamp(v, id, name)
		return nil
	})
	return stamp, err
}

func TestAStampNeverComesAgain(t *testing.T) {
	f := newFixture(t)
	seen := map[string]bool{}
	for range 3 {
		f.mustPut("T-0001", "nes.pfx", "hunter2")
		stamp, err := f.stamp("T-0001", "nes.pfx")
		if err != nil || seen[stamp] {
			t.Errorf("stamp %q, %v: an approval of what was deleted would count for what was put since", stamp, err)
		}
		seen[stamp] = true
		if _, err := f.Delete(t.Context(), everywhere, &fleetv1.DeleteSecretRequest{Terminal: "T-0001", Name: "nes.pfx"}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.stamp("T-0001", "nes.pfx")
	wantRefusal(t, err, refusal.NotFound, "NO_SECRET")
}

func TestATerminalHasSoManySecretsAndNoMore(t *testing.T) {
	f := newFixture(t)
	for n := range 100 {
		f.mustPut("T-0001", fmt.Sprint("s-", n), "x")
	}
	_, err := f.Put(t.Context(), everywhere, f.request("T-0001", "one-more", "x"))
	wantRefusal(t, err, refusal.Exhausted, "TOO_MANY_SECRETS")
	if s := f.mustPut("T-0001", "s-7", "y"); s.GetVersion() != 2 {
		t.Errorf("version %d; a full terminal must still get new versions", s.GetVersion())
	}
}

func TestListsShowTheCallersSitesPageByPage(t *testing.T) {
	f := newFixture(t)
	for n := range 3 {
		f.mustPut("T-0001", fmt.Sprint("a-", n), "x")
		f.mustPut("T-0002", fmt.Sprint("b-", n), "x")
	}
	turin := person(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "turin")
	var names []string
	for token := ""; ; {
		page, err := f.List(t.Context(), turin, &fleetv1.ListSecretsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page.GetSecrets() {
			names = append(names, s.GetTerminalName()+"/"+s.GetName())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if want := "[nes-turin/b-0 nes-turin/b-1 nes-turin/b-2]"; fmt.Sprint(names) != want {
		t.Errorf("listed %v, want %s", names, want)
	}
	_, err := f.List(t.Context(), turin, &fleetv1.ListSecretsRequest{Terminal: "T-0001"})
	wantRefusal(t, err, refusal.NotFound, "NOT_FOUND")
	_, err = f.List(t.Context(), turin, &fleetv1.ListSecretsRequest{PageToken: "*"})
	wantRefusal(t, err, refusal.Invalid, "BAD_PAGE_TOKEN")
}

func TestSecretsGoWithTheirTerminal(t *testing.T) {
	f := newFixture(t)
	f.mustPut("T-0001", "a", "x")
	f.mustPut("T-0002", "b", "x")
	if err := f.Forget(t.Context(), "T-0001"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.stamp("T-0001", "a"); err != nil {
		t.Errorf("a terminal in service lost its secret: %v", err)
	}
	f.terminal("T-0001", "lyon", fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED)
	_, err := f.Put(t.Context(), everywhere, f.request("T-0001", "c", "x"))
	wantRefusal(t, err, refusal.Precondition, "TERMINAL_DECOMMISSIONED")
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := f.List(t.Context(), everywhere, &fleetv1.ListSecretsRequest{})
	if err != nil || len(list.GetSecrets()) != 1 || list.GetSecrets()[0].GetName() != "b" {
		t.Errorf("left are %v, %v; want b alone", list, err)
	}
	if found, err := secrets.Verify(context.Background(), f.store); err != nil || found != "1 secrets" {
		t.Errorf("verified %q, %v", found, err)
	}
}

func TestASealingKeyIsGivenWithItsProof(t *testing.T) {
	f := newFixture(t)
	key, err := f.SealingKey(t.Context(), "T-0001")
	if err != nil || !bytes.Equal(key.GetSealingKey(), f.keys["T-0001"].PublicKey().Bytes()) || string(key.GetProof()) != "proof" || len(key.GetCertificateChain()) != 1 {
		t.Errorf("given %v, %v", key, err)
	}
	f.put(store.TableTerminals, store.TerminalKey("T-0001"), &storagev1.TerminalRecord{
		Terminal: &fleetv1.Terminal{Id: "T-0001", State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE}, SealingKey: make([]byte, 32),
	})
	_, err = f.SealingKey(t.Context(), "T-0001")
	wantRefusal(t, err, refusal.Precondition, "NO_SEALING_KEY")
}

func TestVerifyFindsWhatDoesNotAgree(t *testing.T) {
	f := newFixture(t)
	f.mustPut("T-0001", "a", "x")
	f.put(store.TableSecrets, store.SecretKey("T-0001", "b"), &storagev1.SecretRecord{Secret: &fleetv1.Secret{TerminalId: "T-0001", Name: "c"}})
	if _, err := secrets.Verify(t.Context(), f.store); err == nil || !strings.Contains(err.Error(), "lies under the key of another") {
		t.Errorf("verified with %v, want the record under a foreign key named", err)
	}
}
