package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestNameRoundTrip(t *testing.T) {
	for _, n := range []Name{{KindServer, "fleetd"}, {KindAgent, "T-0142"}, {KindOperator, "ada.l"}} {
		u, err := n.URI()
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		back, err := ParseURI(u)
		if err != nil || back != n {
			t.Errorf("%s came back as %s, %v", n, back, err)
		}
	}
}

func TestNamesThatAreRefused(t *testing.T) {
	for _, n := range []Name{{"robot", "x"}, {KindAgent, ""}, {KindAgent, "a/b"}, {KindAgent, "../x"}, {KindOperator, strings.Repeat("x", 64)}} {
		if u, err := n.URI(); err == nil {
			t.Errorf("%q must not become a name, got %s", n, u)
		}
	}
	for _, text := range []string{
		"spiffe://elsewhere/agent/T-0142", "https://bandfleet/agent/T-0142", "spiffe://bandfleet/agent",
		"spiffe://bandfleet/agent/a/b", "spiffe://bandfleet/robot/x", "spiffe://bandfleet/agent/..",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := ParseURI(u); err == nil {
			t.Errorf("%s must be refused, was read as %s", text, n)
		}
	}
}

func TestCertificateWithTwoNamesIsRefused(t *testing.T) {
	a, _ := Name{KindAgent, "T-1"}.URI()
	b, _ := Name{KindOperator, "ada"}.URI()
	if n, err := FromCertificate(&x509.Certificate{URIs: []*url.URL{a, b}}); err == nil {
		t.Errorf("two names must be refused: who speaks would be a choice of the reader; got %s", n)
	}
}

func TestTokenRoundTripAndDamage(t *testing.T) {
	token := NewToken(sha256.Sum256([]byte("ca")))
	back, err := ParseToken("  " + token.Text() + "\n")
	if err != nil || back.ID != token.ID || !bytes.Equal(back.Secret, token.Secret) || back.CA != token.CA {
		t.Fatalf("token came back as %v, %v", back, err)
	}
	parts := strings.Split(token.Text(), ".")
	for name, text := range map[string]string{
		"empty":        "",
		"one word":     "token",
		"other kind":   strings.Replace(token.Text(), "bft1", "bft2", 1),
		"no id":        strings.Join([]string{parts[0], "", parts[2], parts[3]}, "."),
		"short secret": strings.Join([]string{parts[0], parts[1], parts[2][:10], parts[3]}, "."),
		"bad secret":   strings.Join([]string{parts[0], parts[1], "!" + parts[2][1:], parts[3]}, "."),
		"short CA":     strings.Join([]string{parts[0], parts[1], parts[2], parts[3][:10]}, "."),
		"cut off":      token.Text()[:len(token.Text())-3],
	} {
		_, err := ParseToken(text)
		if err == nil {
			t.Errorf("%s: must be refused", name)
			continue
		}
		if strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error repeats the secret: %v", name, err)
		}
	}
	if strings.Contains(token.String(), parts[2]) {
		t.Error("a printed token must not show its secret")
	}
}

func TestKeyAndCertificateText(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := MarshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseKey(text)
	if err != nil || !back.Equal(key) {
		t.Errorf("the key did not come back: %v", err)
	}
	if _, err := ParseKey([]byte("nonsense")); err == nil {
		t.Error("a text that is no key must be refused")
	}
	if _, err := ParseCertificates(text); err == nil {
		t.Error("a private key among certificates must be refused")
	}
	if _, err := ParseCertificates(nil); err == nil {
		t.Error("no certificate at all must be an error, not an empty trust bundle")
	}
}

// fleet is a CA with one server certificate, for tests.
type fleet struct {
	ca     *x509.Certificate
	server tls.Certificate
}

func newFleet(t *testing.T, serverName Name) fleet {
	t.Helper()
	caKey, caCert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotAfter: time.Now().Add(time.Hour),
	}, nil, nil)
	uri, err := serverName.URI()
	if err != nil {
		t.Fatal(err)
	}
	key, cert := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{uri}, DNSNames: []string{ServerDNSName}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, caCert, caKey)
	return fleet{ca: caCert, server: tls.Certificate{Certificate: [][]byte{cert.Raw, caCert.Raw}, PrivateKey: key}}
}

func sign(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// dial runs one handshake of client against the fleet's server and returns the client's error.
func dial(t *testing.T, f fleet, client *tls.Config) error {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	server := tls.Server(there, ServerTLS(func() (*tls.Certificate, error) { return &f.server, nil }, Pool(f.ca)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		_ = server.Handshake() // the client's view decides
	}()
	err := tls.Client(here, client).Handshake()
	here.Close()
	<-done
	return err
}

func TestEnrolmentTrustsOnlyThePinnedCA(t *testing.T) {
	mine, other := newFleet(t, Name{KindServer, "fleetd"}), newFleet(t, Name{KindServer, "fleetd"})
	if err := dial(t, mine, EnrolTLS(Fingerprint(mine.ca))); err != nil {
		t.Errorf("the server whose CA is pinned must be accepted: %v", err)
	}
	err := dial(t, other, EnrolTLS(Fingerprint(mine.ca)))
	if err == nil || !strings.Contains(err.Error(), "not the token's") {
		t.Errorf("a server of another CA must be refused with the reason, got %v", err)
	}
	// A CA that is sent along but did not sign the leaf proves nothing.
	forged := other
	forged.server.Certificate = [][]byte{other.server.Certificate[0], mine.ca.Raw}
	if err := dial(t, forged, EnrolTLS(Fingerprint(mine.ca))); err == nil {
		t.Error("the pinned CA was sent along, but the server's certificate is not of it: must be refused")
	}
}

func TestClientRefusesAPeerThatIsNoServer(t *testing.T) {
	none := func() (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	good := newFleet(t, Name{KindServer, "fleetd"})
	if err := dial(t, good, ClientTLS(none, Pool(good.ca))); err != nil {
		t.Errorf("a server must be accepted: %v", err)
	}
	agent := newFleet(t, Name{KindAgent, "T-0001"})
	if err := dial(t, agent, ClientTLS(none, Pool(agent.ca))); err == nil || !strings.Contains(err.Error(), "not a server") {
		t.Errorf("an agent that poses as the server must be refused, got %v", err)
	}
	if err := dial(t, good, ClientTLS(none, Pool(agent.ca))); err == nil {
		t.Error("a server of another CA must be refused")
	}
	old := ClientTLS(none, Pool(good.ca))
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if err := dial(t, good, old); err == nil {
		t.Error("TLS 1.2 must be refused")
	}
}
