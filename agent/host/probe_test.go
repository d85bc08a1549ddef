package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// target is what a test server listens on.
func target(t *testing.T, address string) *actionv1.ProbeTarget {
	t.Helper()
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Host
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &actionv1.ProbeTarget{Host: name, Port: uint32(number)}
}

func probe(t *testing.T, n localNetwork, target *actionv1.ProbeTarget) *actionv1.NetProbeResult {
	t.Helper()
	result, err := n.Probe(t.Context(), target, 5*time.Second)
	if err != nil {
		t.Fatalf("Probe = %v, want an answer: what a probe meets is no error", err)
	}
	return result
}

func answering(status int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func TestProbeTellsTheApplicationApart(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nes/" {
			http.Redirect(w, r, "/nes/login", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]uint32{"/nes/": 302, "/other": 404, "": 0} {
		to := target(t, server.URL)
		to.HttpPath = path
		got := probe(t, localNetwork{}, to)
		if !got.GetConnected() || got.GetHttpStatus() != want || got.GetHttpProblem() != "" || got.GetHandshake() {
			t.Errorf("path %q: %v, want connected, status %d, no TLS", path, got, want)
		}
	}
}

func TestProbeTellsTrustApart(t *testing.T) {
	server := httptest.NewTLSServer(answering(http.StatusOK))
	t.Cleanup(server.Close)
	trusting := x509.NewCertPool()
	trusting.AddCert(server.Certificate())
	to := target(t, server.URL)
	to.Tls, to.HttpPath = true, "/"

	got := probe(t, localNetwork{roots: x509.NewCertPool()}, to)
	if !got.GetHandshake() || got.GetTrusted() || !strings.Contains(got.GetTrustProblem(), "not trusted here") || got.GetHttpStatus() != 0 {
		t.Errorf("without its root: %v, want a handshake, no trust, and nothing asked", got)
	}
	if len(got.GetChain()) != 1 || got.GetChain()[0].GetSha256() != certfacts.SHA256(server.Certificate().Raw) {
		t.Errorf("without its root: chain %v, want what was served: it shows what to trust", got.GetChain())
	}
	got = probe(t, localNetwork{roots: trusting}, to)
	if !got.GetTrusted() || got.GetTrustProblem() != "" || got.GetHttpStatus() != 200 {
		t.Errorf("with its root: %v, want trust and status 200", got)
	}
	other, key := pair(t) // for no address
	server.TLS.Certificates = []tls.Certificate{{Certificate: [][]byte{other.Raw}, PrivateKey: key}}
	trusting.AddCert(other)
	got = probe(t, localNetwork{roots: trusting}, to)
	if got.GetTrusted() || !strings.Contains(got.GetTrustProblem(), to.GetHost()) {
		t.Errorf("of another name: %v, want no trust, and the name in the reason", got)
	}
}

func TestProbeTellsTheNetworkApart(t *testing.T) {
	gone := httptest.NewServer(answering(http.StatusOK))
	closed := target(t, gone.URL)
	gone.Close()
	if got := probe(t, localNetwork{}, closed); got.GetConnected() || !strings.Contains(got.GetConnectProblem(), "refused") {
		t.Errorf("closed port: %v, want that the connection was refused", got)
	}
	got := probe(t, localNetwork{}, &actionv1.ProbeTarget{Host: "no-such-host.invalid", Port: 443})
	if got.GetNameProblem() == "" || len(got.GetAddresses()) != 0 || got.GetConnectProblem() != "" {
		t.Errorf("unknown name: %v, want a problem of the name and nothing after it", got)
	}
	plain := httptest.NewServer(answering(http.StatusOK))
	t.Cleanup(plain.Close)
	to := target(t, plain.URL)
	to.Tls = true
	if got := probe(t, localNetwork{}, to); !got.GetConnected() || got.GetHandshake() || !strings.Contains(got.GetTlsProblem(), "no TLS is spoken") {
		t.Errorf("no TLS there: %v, want connected, and a problem of TLS", got)
	}
}

// TestProbeOfASilentPeer: a peer that accepts and says nothing must not hold the agent.
func TestProbeOfASilentPeer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for name, to := range map[string]*actionv1.ProbeTarget{"tls": {Tls: true}, "http": {HttpPath: "/"}} {
		at := target(t, silent.Addr().String())
		to.Host, to.Port = at.GetHost(), at.GetPort()
		got, err := localNetwork{}.Probe(t.Context(), to, 50*time.Millisecond)
		if err != nil || !got.GetConnected() || !strings.Contains(got.GetTlsProblem()+got.GetHttpProblem(), "timed out after 50ms") {
			t.Errorf("%s: %v, %v; want that it timed out", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (localNetwork{}).Probe(ctx, target(t, silent.Addr().String()), time.Second); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled probe = %v, want the cancellation", err)
	}
}

func TestProbeRefusesWhatIsNoTarget(t *testing.T) {
	for name, to := range map[string]*actionv1.ProbeTarget{
		"no host":        {Port: 443},
		"a url":          {Host: "https://nes/", Port: 443},
		"a new line":     {Host: "nes\r\nX: y", Port: 443},
		"no port":        {Host: "nes"},
		"a large port":   {Host: "nes", Port: 65536},
		"relative path":  {Host: "nes", Port: 80, HttpPath: "nes/"},
		"path with line": {Host: "nes", Port: 80, HttpPath: "/ HTTP/1.1\r\nX: y"},
		"whole address":  {Host: "nes", Port: 80, HttpPath: "http://other/"},
	} {
		if got, err := (localNetwork{}).Probe(t.Context(), to, time.Second); err == nil {
			t.Errorf("%s: %v, want an error and no connection", name, got)
		}
	}
}

func TestValidity(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for want, cert := range map[string]*x509.Certificate{
		"expired at 2026-05-31":      {NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, 0, -1)},
		"valid only from 2026-06-02": {NotBefore: now.AddDate(0, 0, 1), NotAfter: now.AddDate(1, 0, 0)},
	} {
		if got := validity(cert, now); !strings.Contains(got, want) {
			t.Errorf("validity = %q, want %q in it", got, want)
		}
	}
	expired := x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}
	if got := trustReason(fmt.Errorf("verify: %w", expired), []*x509.Certificate{{}}); !strings.Contains(got, "expired at") {
		t.Errorf("trustReason = %q, want when it expired", got)
	}
}

func TestProbeTellsTheSubstatusOfAnErrorsPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/good":
			_, _ = io.WriteString(w, "<title>200.19 is no error</title>") // the asker may be gone
		case "/plain":
			w.WriteHeader(http.StatusInternalServerError)
		case "/other":
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "<p>403.4 and 500.999999</p>")
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "<title>IIS 10.0 Detailed Error - 500.19 - Internal Server Error</title>")
		}
	}))
	t.Cleanup(server.Close)
	for path, want := range map[string]uint32{"/nes/": 19, "/good": 0, "/plain": 0, "/other": 0} {
		to := target(t, server.URL)
		to.HttpPath = path
		if got := probe(t, localNetwork{}, to); got.GetHttpSubstatus() != want {
			t.Errorf("path %q: substatus %d, want %d", path, got.GetHttpSubstatus(), want)
		}
	}
}

func TestResolveLooksANameUpAndConnectsToNothing(t *testing.T) {
	locate := func(address string) (string, error) {
		if address == "known.example:443" {
			return "192.0.2.7:443", nil
		}
		return "", &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
	}
	n := localNetwork{locate: locate}
	addresses, problem, err := n.Resolve(t.Context(), "known.example", time.Second)
	if err != nil || problem != "" || len(addresses) != 1 || addresses[0] != "192.0.2.7" {
		t.Errorf("Resolve = %v, %q, %v; want 192.0.2.7", addresses, problem, err)
	}
	if addresses, problem, err = n.Resolve(t.Context(), "other.example", time.Second); err != nil || problem != "no such host" || len(addresses) > 0 {
		t.Errorf("Resolve of an unknown name = %v, %q, %v; want no address, and why", addresses, problem, err)
	}
	if _, _, err = n.Resolve(t.Context(), "no name", time.Second); err == nil {
		t.Error("Resolve of what is no name succeeded, want an error")
	}
}
