package sample

import (
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"
)

func TestEncodings(t *testing.T) {
	for _, c := range []struct {
		name     string
		encoding Encoding
		want     string
	}{
		{"plain", Encoding{}, "a\nb\n"},
		{"as Visual Studio writes", Windows(), "\xef\xbb\xbfa\r\nb\r\n"},
		{"UTF-16, little end first", Encoding{UTF16LE: true, NoFinalNewline: true}, "\xff\xfea\x00\n\x00b\x00"},
		{"UTF-16, big end first", Encoding{UTF16BE: true, NoFinalNewline: true}, "\xfe\xff\x00a\x00\n\x00b"},
	} {
		if got := c.encoding.Encode("a\nb\n"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for _, application := range Applications() {
		if text := WebConfig(application, Encoding{}); !strings.Contains(text, "<switches>") {
			t.Errorf("web.config of %s = %q, want one with switches", application, text)
		}
	}
}

func TestPFXHoldsTheChain(t *testing.T) {
	root, err := NewAuthority("root")
	if err != nil {
		t.Fatal(err)
	}
	between, err := root.Intermediate("between")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := between.Issue(Wanted{Names: []string{"host.example", "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, encode := range map[string]func(string) ([]byte, error){"AES": identity.PFX, "3DES": identity.LegacyPFX} {
		pfx, err := encode("password")
		if err != nil {
			t.Fatal(err)
		}
		_, leaf, above, err := pkcs12.DecodeChain(pfx, "password")
		if err != nil || !leaf.Equal(identity.Certificate) || len(above) != 2 || len(leaf.IPAddresses) != 1 {
			t.Errorf("%s: %v, %d authorities, %v; want the certificate with both authorities", name, leaf, len(above), err)
		}
	}
}
