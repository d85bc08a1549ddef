package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
)

// Bounds of what callers without a certificate can take up, all of them together. They can do no more than enrol and ask for
// the server's health, and neither takes long or sends much.
const (
	maxStrangers = 128
	// strangerPatience is how long one of their connections lasts.
	strangerPatience = 30 * time.Second
	// strangerBytes is how much is read from one of them: the largest message, and what TLS and HTTP/2 add to it.
	strangerBytes = maxMessage + 1<<20
)

// strangers are credentials that bound the connections of callers without a certificate. A limit for each address would starve a
// site behind one address; this one can starve enrolment, but never those who have enrolled.
type strangers struct {
	credentials.TransportCredentials
	slots    chan struct{}
	patience time.Duration
	bytes    int64
	log      *slog.Logger
	// warned is when it was last logged that there are too many, in seconds since 1970.
	warned *atomic.Int64
}

func boundStrangers(creds credentials.TransportCredentials, log *slog.Logger) *strangers {
	return &strangers{creds, make(chan struct{}, maxStrangers), strangerPatience, strangerBytes, log, new(atomic.Int64)}
}

// Clone implements credentials.TransportCredentials; the bounds are shared.
func (s *strangers) Clone() credentials.TransportCredentials {
	clone := *s
	clone.TransportCredentials = s.TransportCredentials.Clone()
	return &clone
}

// ServerHandshake implements credentials.TransportCredentials.
func (s *strangers) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := s.TransportCredentials.ServerHandshake(raw)
	if err != nil || isKnown(info) {
		return conn, info, err
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.warn()
		return nil, nil, errors.Join(errors.New("too many connections without certificate"), conn.Close())
	}
	ctx, end := context.WithTimeout(context.Background(), s.patience)
	context.AfterFunc(ctx, func() {
		_ = conn.Close()
		<-s.slots
	})
	return &strangerConn{Conn: conn, rest: io.LimitReader(conn, s.bytes), end: end}, info, nil
}

// isKnown reports whether a client showed a certificate of the fleet.
func isKnown(info credentials.AuthInfo) bool {
	t, ok := info.(credentials.TLSInfo)
	return ok && len(t.State.VerifiedChains) > 0
}

// warn says once a minute that there are too many.
func (s *strangers) warn() {
	now := time.Now().Unix()
	if last := s.warned.Load(); now-last >= 60 && s.warned.CompareAndSwap(last, now) {
		s.log.Warn("machines that want to enrol are turned away: too many connections without certificate", "most", cap(s.slots))
	}
}

// strangerConn is a connection that lasts a short while and of which little is read.
type strangerConn struct {
	net.Conn
	rest io.Reader
	end  context.CancelFunc
}

// Read implements net.Conn. What is beyond the limit looks like the end.
func (c *strangerConn) Read(b []byte) (int, error) { return c.rest.Read(b) }

// Close implements net.Conn.
func (c *strangerConn) Close() error {
	c.end()
	return c.Conn.Close()
}
