package identity_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/identity/identitytest"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// enrolled makes an enrolled data directory.
func enrolled(t *testing.T, a *identitytest.Authority) (identity.Dir, identity.Keys) {
	t.Helper()
	d := identity.Dir(t.TempDir())
	return d, a.Enrol(d, identity.Record{Server: "fleet:7443", TerminalID: "T-1", Name: "press-1", Site: "lyon", Role: "user-terminal"})
}

func TestKeysAreMadeOnce(t *testing.T) {
	d := identity.Dir(t.TempDir())
	first, err := d.MakeKeys()
	if err != nil {
		t.Fatal(err)
	}
	second, err := d.MakeKeys()
	if err != nil {
		t.Fatal(err)
	}
	if !first.TLS.Equal(second.TLS) || !first.Sealing.Equal(second.Sealing) {
		t.Error("a repeated enrolment has other keys: a lost answer would leave a terminal behind that nobody can be")
	}
}

func TestHalfMadeKeysAreCompleted(t *testing.T) {
	d := identity.Dir(t.TempDir())
	first, err := d.MakeKeys()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(string(d), "seal.key")); err != nil {
		t.Fatal(err)
	}
	second, err := d.MakeKeys()
	if err != nil || !first.TLS.Equal(second.TLS) || second.Sealing == nil {
		t.Errorf("MakeKeys after a crash between the keys = %v, want the first key kept and the second made", err)
	}
}

func TestSecretsAreInPrivateFilesAndNowhereElse(t *testing.T) {
	d, keys := enrolled(t, identitytest.New(t))
	if text := fmt.Sprintf("%v %+v %s", keys, keys, keys); text != "private keys private keys private keys" {
		t.Errorf("printed keys are %q, want nothing of them: a key in a log is no secret any more", text)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "keys", keys)
	if !strings.Contains(log.String(), `"keys":"private keys"`) {
		t.Errorf("logged keys are %q, want nothing of them", log.String())
	}
	files, err := os.ReadDir(string(d))
	if err != nil || len(files) < 5 {
		t.Fatalf("data directory holds %v, %v; want keys, certificates and record", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(string(d), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if private := strings.HasSuffix(f.Name(), ".key"); bytes.Contains(text, []byte("PRIVATE KEY")) != private {
			t.Errorf("file %s: holds a private key: %v, want %v", f.Name(), !private, private)
		}
	}
}

func TestLoadAndRenew(t *testing.T) {
	a := identitytest.New(t)
	d, keys := enrolled(t, a)
	id, err := identity.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	if got := id.Record(); got.TerminalID != "T-1" || got.Site != "lyon" {
		t.Errorf("record is %+v, want what was enrolled", got)
	}
	renewed := a.Issue(keys.TLS.Public(), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * 24 * time.Hour) })
	before := id.TLS()
	if err := id.Renew(renewed); err != nil {
		t.Fatal(err)
	}
	if id.TLS() == before {
		t.Error("the TLS configuration did not change with the certificate")
	}
	again, err := identity.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	_, want := id.Life()
	if _, got := again.Life(); !got.Equal(want) {
		t.Errorf("after a restart the certificate is valid until %v, want the renewed one's %v", got, want)
	}
}

func TestBadGrantsChangeNothing(t *testing.T) {
	a, foreign := identitytest.New(t), identitytest.New(t)
	other, err := fleetid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	d, keys := enrolled(t, a)
	id, err := identity.Load(d)
	if err != nil {
		t.Fatal(err)
	}
	pub := keys.TLS.Public()
	mixed := foreign.Issue(pub, nil)
	mixed.Bundle = [][]byte{a.Certificate.Raw}
	for name, tc := range map[string]struct {
		grant identity.Grant
		want  string
	}{
		"nothing":          {identity.Grant{}, "missing"},
		"no bundle":        {identity.Grant{Chain: a.Issue(pub, nil).Chain}, "missing"},
		"damaged":          {identity.Grant{Chain: [][]byte{{1, 2}}, Bundle: [][]byte{a.Certificate.Raw}}, "certificate from the server"},
		"another key":      {a.Issue(other.Public(), nil), "another key"},
		"another terminal": {a.Issue(pub, func(c *x509.Certificate) { c.URIs = []*url.URL{identitytest.Name(t, fleetid.KindAgent, "T-2")} }), "T-2"},
		"an operator":      {a.Issue(pub, func(c *x509.Certificate) { c.URIs = []*url.URL{identitytest.Name(t, fleetid.KindOperator, "T-1")} }), "operator"},
		"no name":          {a.Issue(pub, func(c *x509.Certificate) { c.URIs = nil }), "names"},
		"for servers":      {a.Issue(pub, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "usage"},
		"another CA":       {mixed, "authority"},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshot(t, d)
			err := id.Renew(tc.grant)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Renew = %v, want an error about %q: the agent would lock itself out", err, tc.want)
			}
			if after := snapshot(t, d); after != before {
				t.Error("files changed, want the working certificate kept")
			}
		})
	}
}

func TestEnrolmentNeedsThePinnedCA(t *testing.T) {
	a, foreign := identitytest.New(t), identitytest.New(t)
	d := identity.Dir(t.TempDir())
	keys, err := d.MakeKeys()
	if err != nil {
		t.Fatal(err)
	}
	err = d.Complete(identity.Record{Server: "s:1", TerminalID: "T-1"}, keys, foreign.Issue(keys.TLS.Public(), nil), fleetid.Fingerprint(a.Certificate))
	if err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("Complete with another CA's certificate = %v, want a refusal that names the token's CA", err)
	}
	if done, err := d.Enrolled(); done || err != nil {
		t.Errorf("Enrolled = %v, %v after a refused answer, want false", done, err)
	}
}

func TestDamagedDirectoriesAreRefusedWithTheNextStep(t *testing.T) {
	a := identitytest.New(t)
	for file, damage := range map[string]func(path string) error{
		"agent.json": func(p string) error {
			return os.WriteFile(p, []byte(`{"server":"s:1","terminal_id":"T-1","x":1}`), 0o600)
		},
		"tls.key":  func(p string) error { return os.WriteFile(p, []byte("nonsense"), 0o600) },
		"seal.key": os.Remove,
		"tls.crt":  func(p string) error { return os.Truncate(p, 40) },
		"ca.crt":   os.Remove,
	} {
		t.Run(file, func(t *testing.T) {
			d, _ := enrolled(t, a)
			if err := damage(filepath.Join(string(d), file)); err != nil {
				t.Fatal(err)
			}
			_, err := identity.Load(d)
			if err == nil || !strings.Contains(err.Error(), "enrol") {
				t.Errorf("Load = %v, want an error that says what to do", err)
			}
		})
	}
	var missing *identity.NotEnrolledError
	if _, err := identity.Load(identity.Dir(t.TempDir())); !errors.As(err, &missing) {
		t.Errorf("Load of an empty folder = %v, want %T", err, missing)
	}
}

func TestNewIdentityReplacesTheOldOneWhole(t *testing.T) {
	a := identitytest.New(t)
	d, _ := enrolled(t, a)
	if err := os.WriteFile(d.Journal(), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	staging := d.Staging()
	if err := staging.Make(); err != nil {
		t.Fatal(err)
	}
	keys, err := staging.MakeKeys()
	if err != nil {
		t.Fatal(err)
	}
	if err := staging.Complete(identity.Record{Server: "s:1", TerminalID: "T-1", Name: "new"}, keys, a.Issue(keys.TLS.Public(), nil), fleetid.Fingerprint(a.Certificate)); err != nil {
		t.Fatal(err)
	}
	aside, err := d.SetAside(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Adopt(); err != nil {
		t.Fatal(err)
	}
	if id, err := identity.Load(d); err != nil || id.Record().Name != "new" {
		t.Errorf("Load = %v, want the new identity", err)
	}
	if _, err := identity.Load(aside); err != nil {
		t.Errorf("the old identity cannot be loaded from %s: %v", aside, err)
	}
	if _, err := os.Stat(d.Journal()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old journal is still there (%v): its results belong to another terminal", err)
	}
}

// snapshot is the content of all files.
func snapshot(t *testing.T, d identity.Dir) string {
	t.Helper()
	var out strings.Builder
	files, err := os.ReadDir(string(d))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(string(d), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(f.Name() + "\n" + string(text))
	}
	return out.String()
}
