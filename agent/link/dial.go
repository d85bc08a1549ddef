package link

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxMessage is the greatest message in either direction, in bytes.
	maxMessage = 4 << 20
	// bufferSize of a connection: an agent sends little, and the server pays for each connection's buffers likewise.
	bufferSize = 4 << 10
	// window is how much the server may send ahead of what is read. It is fixed: gRPC would find out whether a greater one pays
	// by a ping for every message that comes in, and an agent's messages are few and short.
	window = 64 << 10
	// protocolVersion is the version of agent.v1 that this build speaks.
	protocolVersion = 1
)

// dialTCP connects directly: an agent does not follow proxy settings that it happens to inherit.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, "tcp", addr)
}

// open makes a connection to server. It is dialled by the first call, and each session has its own: reconnecting is decided
// here and not by gRPC.
func open(server string, config *tls.Config, dial func(context.Context, string) (net.Conn, error)) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+server,
		grpc.WithTransportCredentials(handshake{credentials.NewTLS(config)}),
		grpc.WithContextDialer(dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
		grpc.WithReadBufferSize(bufferSize),
		grpc.WithWriteBufferSize(bufferSize),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
	)
}

// handshake is gRPC's TLS with one thing mended: in TLS 1.3 a server refuses a client's certificate after the client has
// finished its handshake, and the reason is lost when the client's next write meets the closed connection first.
type handshake struct {
	credentials.TransportCredentials
}

// ClientHandshake implements credentials.TransportCredentials.
func (h handshake) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return alertConn{conn}, info, nil
}

// Clone implements credentials.TransportCredentials.
func (h handshake) Clone() credentials.TransportCredentials {
	return handshake{h.TransportCredentials.Clone()}
}

// alertConn reports why the server closed a connection instead of that it was closed.
type alertConn struct {
	net.Conn
}

// Write implements net.Conn. After a failed write it looks whether the server had said something last.
func (c alertConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || c.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return n, err
	}
	var alert *net.OpError
	if _, said := c.Read(make([]byte, 1)); errors.As(said, &alert) && alert.Op == "remote error" {
		return n, said
	}
	return n, err
}
