package fleet

import (
	"context"
	"net"
	"time"
)

// dialPatience bounds a connection attempt.
const dialPatience = 10 * time.Second

// line is an agent's way to the server. It is cut now and then: half of the cuts reset the connection, the others close it.
type line struct {
	chance    *chance
	perMinute float64
	counts    *Counts
}

func (l *line) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialPatience}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil || l.perMinute == 0 {
		return conn, err
	}
	c := &cutConn{Conn: conn}
	c.timer = time.AfterFunc(l.chance.until(l.perMinute), func() { l.cut(conn) })
	return c, nil
}

func (l *line) cut(conn net.Conn) {
	l.counts.add(func(c *Count) { c.Cuts++ })
	if tcp, ok := conn.(*net.TCPConn); ok && l.chance.happens(0.5) {
		// Without lingering a close is a reset.
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// cutConn is a connection that will be cut unless it is closed before.
type cutConn struct {
	net.Conn
	timer *time.Timer
}

// Close implements net.Conn.
func (c *cutConn) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}
