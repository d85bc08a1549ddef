package host

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

func TestPollEnds(t *testing.T) {
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	cancelled, cancelNow := context.WithCancel(t.Context())
	cancelNow()
	broken := errors.New("broken")
	never := func() (bool, error) { return false, nil }
	for _, c := range []struct {
		name string
		ctx  context.Context
		done func() (bool, error)
		want error
	}{
		{"done", t.Context(), func() (bool, error) { return true, nil }, nil},
		{"error", t.Context(), func() (bool, error) { return false, broken }, broken},
		{"deadline", deadline, never, ErrTimeout},
		{"deadline while asking", deadline, func() (bool, error) { <-deadline.Done(); return false, deadline.Err() }, ErrTimeout},
		{"cancelled", cancelled, never, context.Canceled},
		{"done though cancelled", cancelled, func() (bool, error) { return true, nil }, nil},
	} {
		if err := Poll(c.ctx, time.Millisecond, c.done); !errors.Is(err, c.want) {
			t.Errorf("%s: Poll = %v, want %v", c.name, err, c.want)
		}
	}
}

// TestEndProcessSparesOthers hands in this test's own process: it must survive every refusal.
func TestEndProcessSparesOthers(t *testing.T) {
	self, broken := uint32(os.Getpid()), errors.New("broken")
	for _, c := range []struct {
		name  string
		pid   uint32
		owner uint32
		err   error
		want  error
	}{
		{"another owns the service", self, self + 1, nil, ErrNotOwnProcess},
		{"nothing runs", self, 0, nil, nil},
		{"nobody can say", self, self, broken, broken},
		{"no process", 0, 0, nil, ErrNotOwnProcess},
	} {
		err := EndProcess(c.pid, func() (uint32, error) { return c.owner, c.err })
		if !errors.Is(err, c.want) {
			t.Errorf("%s: EndProcess = %v, want %v", c.name, err, c.want)
		}
	}
}
