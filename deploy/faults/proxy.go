// Package faults makes lines fail: a proxy between agents and their server that holds back one direction or both, resets, or
// lets through a trickle. It holds, too, what the tests of faults are made of beside it: the plugin that counts (testaction), the
// reading of system calls (syscalls) and the planted bugs (planted). Tests in deploy/e2e use it; nothing that ships does.
package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Mode is how a line is.
type Mode int

// The modes of a line. What is held back is delivered when the line lets it through again, as TCP does when a cut ends before the
// peers have given each other up; so is the end of a connection.
const (
	// Pass lets everything through.
	Pass Mode = iota
	// HoldUp lets nothing through from the agent to the server.
	HoldUp
	// HoldDown lets nothing through from the server to the agent.
	HoldDown
	// Stall lets nothing through at all.
	Stall
	// Slow lets 1 kB/s through in each direction.
	Slow
	// Reset ends connections, those that are open and those that are tried, as a router does that has forgotten them.
	Reset
)

// String names the mode in a schedule.
func (m Mode) String() string {
	return [...]string{"pass", "hold-up", "hold-down", "stall", "slow", "reset"}[m]
}

const (
	// trickle is how much a slow line lets through at once, and tick how often: together 1 kB/s.
	trickle = 128
	tick    = 128 * time.Millisecond
	// chunk is how much any other line lets through at once.
	chunk = 16 << 10
	// dialPatience is how long the proxy tries to reach the server.
	dialPatience = 5 * time.Second
)

// Line is a proxy in front of one server, with a mode that may be changed at any time.
type Line struct {
	server   string
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	mu   sync.Mutex
	mode Mode
	// changed is closed, and replaced, when the mode changes.
	changed chan struct{}
	open    map[net.Conn]struct{}
}

// NewLine opens a line to a server on a free port of this machine.
func NewLine(server string) (*Line, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Line{server: server, listener: listener, changed: make(chan struct{}), open: make(map[net.Conn]struct{})}
	l.ctx, l.stop = context.WithCancel(context.Background())
	l.running.Go(l.accept)
	return l, nil
}

// Addr is where agents find the server.
func (l *Line) Addr() string { return l.listener.Addr().String() }

// Set changes the mode.
func (l *Line) Set(m Mode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mode = m
	close(l.changed)
	l.changed = make(chan struct{})
	if m == Reset {
		for conn := range l.open {
			reset(conn)
		}
	}
}

// Close ends every connection and waits until nothing of the line runs any more.
func (l *Line) Close() error {
	l.stop()
	err := l.listener.Close()
	l.mu.Lock()
	for conn := range l.open {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
	return err
}

func (l *Line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.serve(conn) })
	}
}

// serve carries one connection until both directions have ended.
func (l *Line) serve(agent net.Conn) {
	defer l.track(agent)()
	if mode, _ := l.state(); mode == Reset {
		reset(agent)
		return
	}
	dialer := net.Dialer{Timeout: dialPatience}
	server, err := dialer.DialContext(l.ctx, "tcp", l.server)
	if err != nil {
		reset(agent)
		return
	}
	defer l.track(server)()
	var both sync.WaitGroup
	both.Go(func() { l.pump(server, agent, HoldUp) })
	both.Go(func() { l.pump(agent, server, HoldDown) })
	both.Wait()
}

// track has a connection closed with the line, and returns what ends that and the connection.
func (l *Line) track(conn net.Conn) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[conn] = struct{}{}
	return func() {
		_ = conn.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, conn)
	}
}

// pump carries one direction, which the mode hold stops, to its end.
func (l *Line) pump(to, from net.Conn, hold Mode) {
	buf := make([]byte, chunk)
	for {
		n, err := from.Read(buf)
		for rest := buf[:n]; len(rest) > 0; {
			most := l.await(hold)
			if most == 0 {
				return
			}
			sent, failed := to.Write(rest[:min(most, len(rest))])
			if failed != nil {
				_ = from.Close()
				return
			}
			rest = rest[sent:]
		}
		if err != nil {
			l.end(to, err, hold)
			return
		}
	}
}

// end passes the end of one direction on, when the line lets it through.
func (l *Line) end(to net.Conn, cause error, hold Mode) {
	if l.await(hold) == 0 {
		return
	}
	if tcp, ok := to.(*net.TCPConn); ok && errors.Is(cause, io.EOF) {
		_ = tcp.CloseWrite()
		return
	}
	reset(to)
}

// await waits until something may pass and returns how much; 0 when the line is closed.
func (l *Line) await(hold Mode) int {
	for {
		mode, changed := l.state()
		wait := (<-chan time.Time)(nil) // for ever
		switch mode {
		case Slow:
			wait = time.After(tick)
		case hold, Stall:
		default:
			return l.unlessClosed(chunk)
		}
		select {
		case <-wait:
			return l.unlessClosed(trickle)
		case <-changed:
		case <-l.ctx.Done():
			return 0
		}
	}
}

func (l *Line) unlessClosed(n int) int {
	if l.ctx.Err() != nil {
		return 0
	}
	return n
}

func (l *Line) state() (Mode, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode, l.changed
}

// reset ends a connection with a reset instead of in good order.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
