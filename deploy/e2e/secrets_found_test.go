package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"
)

// TestSecretsWouldBeFound holds the search for secrets to what it promises: a PFX, its key or its password is found wherever it stands, in
// whatever form it is written. Without this, that nothing is found would say nothing.
func TestSecretsWouldBeFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	machine := filepath.Join(dir, "nes")
	mustRun(t, program("fleet-agent"), "sim", "init", machine, "--role", roleNESHost, "--hostname", "nes.example")
	t.Cleanup(func() { mustRun(t, program("fleet-agent"), "sim", "stop", machine) })
	file, password, _ := newPFX(t, machine)
	secrets := secretsOf(t, file, password)
	key, _, _, err := pkcs12.DecodeChain(file, password)
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string][]byte{"PFX": file, "password": []byte("a" + password), "key": privatePart(t, key)} {
		for form, text := range map[string]string{
			"as it is": string(secret), "in base64": base64.StdEncoding.EncodeToString(secret), "in base64 for URLs": base64.RawURLEncoding.EncodeToString(secret),
			"in hexadecimal": hex.EncodeToString(secret), "in capital hexadecimal": strings.ToUpper(hex.EncodeToString(secret)),
		} {
			if secrets.in([]byte(`{"value": "`+text+`"}`)) == "" {
				t.Errorf("the %s %s is not found in a text that holds it", what, form)
			}
		}
	}
	if got := secrets.in([]byte("nes.pfx, CN=nes.example")); got != "" {
		t.Errorf("%s is found where it is not", got)
	}
}

// newPFX has the authority of a simulated NES host issue a certificate, and returns its PFX, the password and the certificate's SHA-256.
func newPFX(t testing.TB, machine string) (file []byte, password, sha256 string) {
	t.Helper()
	pfx, word := filepath.Join(filepath.Dir(machine), "new.pfx"), filepath.Join(filepath.Dir(machine), "new.password")
	sha256 = strings.TrimSpace(mustRun(t, program("fleet-agent"), "sim", "certificate", machine, "--out", pfx, "--password-out", word))
	file, err := os.ReadFile(pfx)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(word)
	if err != nil {
		t.Fatal(err)
	}
	return file, strings.TrimSpace(string(text)), sha256
}
