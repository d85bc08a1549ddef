package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo is a server that sends everything back.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func newLine(t *testing.T) *Line {
	t.Helper()
	line, err := NewLine(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := line.Close(); err != nil {
			t.Error(err)
		}
	})
	return line
}

func dial(t *testing.T, line *Line) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", line.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// says sends a text and reads it back within a time.
func says(conn net.Conn, text string, within time.Duration) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	return hears(conn, text, within)
}

func hears(conn net.Conn, text string, within time.Duration) error {
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if string(got) != text {
		return errors.New("heard " + string(got))
	}
	return nil
}

const (
	soon    = 10 * time.Second
	silence = 200 * time.Millisecond
)

func TestHeldBackIsDeliveredLater(t *testing.T) {
	for _, mode := range []Mode{HoldUp, HoldDown, Stall} {
		t.Run(mode.String(), func(t *testing.T) {
			line := newLine(t)
			conn := dial(t, line)
			if err := says(conn, "before", soon); err != nil {
				t.Fatalf("a line that passes: %v", err)
			}
			line.Set(mode)
			if err := says(conn, "held", silence); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a line that holds: %v, want silence", err)
			}
			line.Set(Pass)
			if err := hears(conn, "held", soon); err != nil {
				t.Errorf("a line that passes again: %v, want what was held back", err)
			}
		})
	}
}

func TestOneDirectionIsHeld(t *testing.T) {
	line := newLine(t)
	conn := dial(t, line)
	line.Set(HoldDown)
	if _, err := io.WriteString(conn, "up"); err != nil {
		t.Fatal(err)
	}
	if err := hears(conn, "up", silence); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("down: %v, want silence", err)
	}
	// What was sent up has passed: holding up now changes nothing for it.
	line.Set(HoldUp)
	if err := hears(conn, "up", soon); err != nil {
		t.Errorf("down, when only up is held: %v", err)
	}
}

func TestResetEndsConnections(t *testing.T) {
	line := newLine(t)
	conn := dial(t, line)
	if err := says(conn, "before", soon); err != nil {
		t.Fatal(err)
	}
	line.Set(Reset)
	if err := says(conn, "x", soon); !isReset(err) {
		t.Errorf("an open connection: %v, want that it was reset", err)
	}
	conn, err := net.Dial("tcp", line.Addr())
	if err == nil {
		defer conn.Close()
		err = says(conn, "x", soon)
	}
	if !isReset(err) {
		t.Errorf("a new connection: %v, want that it is reset", err)
	}
	line.Set(Pass)
	if err := says(dial(t, line), "after", soon); err != nil {
		t.Errorf("a line that passes again: %v", err)
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.EOF)
}

func TestSlowLineTrickles(t *testing.T) {
	line := newLine(t)
	conn := dial(t, line)
	line.Set(Slow)
	text := string(bytes.Repeat([]byte{'x'}, 512))
	begun := time.Now()
	if err := says(conn, text, soon); err != nil {
		t.Fatal(err)
	}
	// Four portions in each direction, one after the other; the directions overlap.
	if took := time.Since(begun); took < 4*tick {
		t.Errorf("512 bytes took %v, want at least %v: 1 kB/s", took, 4*tick)
	}
}
