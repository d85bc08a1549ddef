package admission

import (
	"net"
	"net/netip"

	"google.golang.org/grpc/credentials"
)

// Bound puts the gate around the server's handshake of creds. The deadline of a connection that is not one yet is gRPC's.
func (g *Gate) Bound(creds credentials.TransportCredentials) credentials.TransportCredentials {
	return gated{creds, g}
}

// gated are credentials whose handshakes pass a gate.
type gated struct {
	credentials.TransportCredentials
	gate *Gate
}

// Clone implements credentials.TransportCredentials; the gate is shared.
func (c gated) Clone() credentials.TransportCredentials {
	return gated{c.TransportCredentials.Clone(), c.gate}
}

// ServerHandshake implements credentials.TransportCredentials.
func (c gated) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	a, err := c.gate.admit(sourceOf(raw.RemoteAddr()), raw)
	if err != nil {
		return nil, nil, err
	}
	paced := &pacedConn{Conn: raw, attempt: a}
	conn, info, err := c.TransportCredentials.ServerHandshake(paced)
	paced.attempt = nil
	a.end(err == nil)
	return conn, info, err
}

// pacedConn is a connection while it shakes hands: between two reads, which is when there is work, it holds a place.
type pacedConn struct {
	net.Conn
	// attempt is nil when the handshake is over.
	attempt *attempt
}

// Read implements net.Conn.
func (c *pacedConn) Read(b []byte) (int, error) {
	a := c.attempt
	if a == nil {
		return c.Conn.Read(b)
	}
	a.leave()
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	return n, a.enter()
}

// sourceOf is the address that counts as one. Whoever has an IPv6 address has 2^64 of them.
func sourceOf(addr net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	ip := at.Addr().Unmap()
	if ip.Is4() {
		return ip
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return network.Addr()
}
