package hosttest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// held finds a certificate in the store; nil when it is not there.
func (e Equipment) held(t *testing.T, sha256 string) *actionv1.Certificate {
	t.Helper()
	list, err := e.Host.Certificates.List(t.Context(), e.Store)
	if err != nil {
		t.Fatalf("List(%q) = %v, want success", e.Store, err)
	}
	byName := func(a, b *actionv1.Certificate) int { return strings.Compare(a.GetSha256(), b.GetSha256()) }
	if !slices.IsSortedFunc(list, byName) {
		t.Errorf("List(%q) = %v, want it sorted by SHA-256", e.Store, list)
	}
	for _, c := range list {
		if c.GetSha256() == sha256 {
			return c
		}
	}
	return nil
}

// removed takes a certificate away when the test is over.
func (e Equipment) removed(t *testing.T, sha256 string) {
	t.Helper()
	t.Cleanup(func() { _ = e.Host.Certificates.Remove(context.WithoutCancel(t.Context()), e.Store, sha256) }) // the test may have removed it
}

func testCertificate(t *testing.T, e Equipment) {
	authority, _ := newIdentity(t, sample.Wanted{Names: []string{"unused.example"}})
	der, name := authority.Certificate.Raw, authority.SHA256()
	e.removed(t, name)
	for range 2 { // one that is there already is left as it is
		if err := e.Host.Certificates.Add(t.Context(), e.Store, der); err != nil {
			t.Fatalf("Add = %v, want success", err)
		}
	}
	c := e.held(t, name)
	if c == nil || c.GetStore() != e.Store || c.GetHasPrivateKey() || !c.GetIsCa() || !c.GetSelfSigned() || len(c.GetSha1()) != 40 {
		t.Fatalf("after Add: %v, want the root, without a key, with its store and thumbprint", c)
	}
	if err := e.Host.Certificates.Remove(t.Context(), e.Store, name); err != nil || e.held(t, name) != nil {
		t.Errorf("Remove = %v, want success and the certificate gone", err)
	}
	wantError(t, "second Remove", e.Host.Certificates.Remove(t.Context(), e.Store, name), host.ErrNotExist, name)
	if err := e.Host.Certificates.Add(t.Context(), e.Store, []byte("no certificate")); err == nil {
		t.Error("Add of what is no certificate = nil, want an error")
	}
}

func testImport(t *testing.T, e Equipment) {
	_, identity := newIdentity(t, sample.Wanted{Names: []string{"import.example"}})
	pfx, err := identity.PFX("a password")
	if err != nil {
		t.Fatal(err)
	}
	name := identity.SHA256()
	e.removed(t, name)
	if err := e.Host.Certificates.Add(t.Context(), e.Store, identity.Certificate.Raw); err != nil {
		t.Fatalf("Add = %v, want success", err)
	}
	for range 2 {
		if err := e.Host.Certificates.Import(t.Context(), e.Store, slices.Clone(pfx), "a password"); err != nil {
			t.Fatalf("Import = %v, want success, also of one that is there without or with its key", err)
		}
		if c := e.held(t, name); c == nil || !c.GetHasPrivateKey() || !slices.Equal(c.GetDnsNames(), []string{"import.example"}) {
			t.Fatalf("after Import: %v, want the certificate with its key", c)
		}
	}
	if err := e.Host.Certificates.Add(t.Context(), e.Store, identity.Certificate.Raw); err != nil {
		t.Fatalf("Add = %v, want success", err)
	}
	if c := e.held(t, name); !c.GetHasPrivateKey() {
		t.Errorf("after Add of a certificate that has its key: %v, want the key still there", c)
	}
	if err := e.Host.Certificates.Remove(t.Context(), e.Store, name); err != nil || e.held(t, name) != nil {
		t.Errorf("Remove = %v, want success and the certificate gone", err)
	}
}

func testImportRefused(t *testing.T, e Equipment) {
	_, identity := newIdentity(t, sample.Wanted{Names: []string{"import.example"}})
	pfx, err := identity.PFX("the right one")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		pfx            []byte
	}{
		{"a wrong password", "the wrong one", pfx},
		{"no password", "", pfx},
		{"what is no PFX", "the right one", []byte("no PFX")},
		{"a cut PFX", "the right one", pfx[:len(pfx)/2]},
	} {
		err := e.Host.Certificates.Import(t.Context(), e.Store, slices.Clone(c.pfx), c.password)
		if err == nil || strings.Contains(err.Error(), "right one") || strings.Contains(err.Error(), "wrong one") {
			t.Errorf("Import with %s = %v, want an error without the password in it", c.name, err)
		}
		if held := e.held(t, identity.SHA256()); held != nil {
			t.Errorf("after Import with %s: %v, want nothing added", c.name, held)
		}
	}
}

func testNoStore(t *testing.T, e Equipment) {
	const store = "NoSuchStore"
	authority, _ := newIdentity(t, sample.Wanted{Names: []string{"unused.example"}})
	_, err := e.Host.Certificates.List(t.Context(), store)
	wantError(t, "List", err, host.ErrNotExist, store)
	wantError(t, "Add", e.Host.Certificates.Add(t.Context(), store, authority.Certificate.Raw), host.ErrNotExist, store)
	wantError(t, "Remove", e.Host.Certificates.Remove(t.Context(), store, authority.SHA256()), host.ErrNotExist, store)
}
