package admission

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
)

// port is a listener whose connections shake hands through a gate.
type port struct {
	t       *testing.T
	gate    *Gate
	creds   credentials.TransportCredentials
	lis     net.Listener
	serving sync.WaitGroup
}

func listen(t *testing.T, g *Gate) *port {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS13}
	p := &port{t: t, gate: g, creds: g.Bound(credentials.NewTLS(config)), lis: lis}
	p.serving.Go(p.serve)
	t.Cleanup(func() { lis.Close(); p.serving.Wait() })
	return p
}

func (p *port) serve() {
	for {
		raw, err := p.lis.Accept()
		if err != nil {
			return
		}
		p.serving.Go(func() {
			defer raw.Close()
			conn, _, err := p.creds.Clone().ServerHandshake(raw)
			if err != nil {
				return
			}
			// After the handshake the gate is out of the way: this read is nobody's turn.
			_, _ = conn.Read(make([]byte, 1))
		})
	}
}

// dialFrom connects from a loopback address.
func (p *port) dialFrom(ip string) net.Conn {
	p.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", p.lis.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// handshake shakes hands from an address, with a deadline that says that it was held up.
func (p *port) handshake(ip string) error {
	conn := p.dialFrom(ip)
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}).Handshake()
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Three hundred agents behind one address and one behind another connect at once: all get in.
func TestEverybodyGetsIn(t *testing.T) {
	p := listen(t, gate(2, 1024))
	var all sync.WaitGroup
	for range 300 {
		all.Go(func() {
			if err := p.handshake("127.0.0.1"); err != nil {
				t.Errorf("one of the many: %v", err)
			}
		})
	}
	all.Go(func() {
		if err := p.handshake("127.0.0.2"); err != nil {
			t.Errorf("the one from elsewhere: %v", err)
		}
	})
	all.Wait()
}

// Peers that say nothing, or half of what they should, hold no place: with a single one, others still get in.
func TestSlowPeersHoldNobodyUp(t *testing.T) {
	p := listen(t, gate(1, 1024))
	for _, said := range [][]byte{nil, {22}, {22, 3, 1, 2, 0, 1}} {
		slow := p.dialFrom("127.0.0.1")
		defer slow.Close()
		if _, err := slow.Write(said); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.handshake("127.0.0.1"); err != nil {
		t.Errorf("behind peers that dawdle: %v, want the handshake done at once", err)
	}
}

// The silent ones of one address fill the gate to its last place: another address still gets in.
func TestSilentPeersDoNotFillTheGate(t *testing.T) {
	g := gate(1, 16)
	p := listen(t, g)
	for range 24 {
		conn := p.dialFrom("127.0.0.1")
		defer conn.Close()
	}
	if err := p.handshake("127.0.0.2"); err != nil {
		t.Errorf("from another address: %v, want room to be made", err)
	}
}

func TestAnIPv6NetworkCountsAsOneAddress(t *testing.T) {
	source := func(addr string) string {
		a, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return sourceOf(a).String()
	}
	if a, b := source("[2001:db8::1]:1"), source("[2001:db8::ffff:2]:2"); a != b {
		t.Errorf("two addresses of one network count as %s and %s: one machine could take every turn", a, b)
	}
	if a, b := source("192.0.2.1:1"), source("192.0.2.2:1"); a == b {
		t.Errorf("two IPv4 addresses count as one, %s", a)
	}
	if a := source("[::ffff:192.0.2.1]:1"); a != "192.0.2.1" {
		t.Errorf("a mapped IPv4 address counts as %s", a)
	}
}
