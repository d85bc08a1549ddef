package link

import (
	"errors"
	"math/rand/v2"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// timing holds every duration of a link, so that a test sees them in one place.
type timing struct {
	// base and most bound the pause before a reconnect: a random time up to base, doubled with each attempt, never above most.
	base, most time.Duration
	// widest bounds the time that the server may spread a fleet's return over.
	widest time.Duration
	// stable is how long a session must have lasted for the next pause to be short again.
	stable time.Duration
	// replaced is the least pause after another agent took the session over: two machines with one identity must not fight.
	replaced time.Duration
	// hopeless is the least pause when the server will not have this terminal. A person may still mend that.
	hopeless time.Duration
	// welcome bounds the wait for the first message of the server, dialling included.
	welcome time.Duration
	// call bounds a renewal.
	call time.Duration
	// renewRetry and renewRetryMost bound the pause after a failed renewal.
	renewRetry, renewRetryMost time.Duration
	// uploadStart bounds the pause before the first upload of a session, so that a fleet that came back together does not upload
	// together; uploadRetry and uploadRetryMost bound the pause after a failed one.
	uploadStart, uploadRetry, uploadRetryMost time.Duration
	// stall is how long the server may take nothing and say nothing in an upload.
	stall time.Duration
}

func defaultTiming() timing {
	return timing{
		base:           time.Second,
		most:           time.Minute,
		widest:         5 * time.Minute,
		stable:         30 * time.Second,
		replaced:       30 * time.Second,
		hopeless:       15 * time.Minute,
		welcome:        30 * time.Second,
		call:           30 * time.Second,
		renewRetry:     time.Minute,
		renewRetryMost: 30 * time.Minute,

		uploadStart:     5 * time.Second,
		uploadRetry:     5 * time.Second,
		uploadRetryMost: 15 * time.Minute,
		stall:           time.Minute,
	}
}

// ending is how a session ended.
type ending struct {
	err error
	// lasted is the time since the Welcome, 0 when none came.
	lasted time.Duration
	// goodbye is what the server said before it ended the session, if it did.
	goodbye *agentv1.Goodbye
	// returnWithin is what the last session's server said of a return without a goodbye, 0 if nothing. It holds until a session
	// ends with one.
	returnWithin time.Duration
}

// lost says that a session ended and nobody had said goodbye.
func (e ending) lost() bool { return e.lasted > 0 && e.goodbye == nil }

// pause returns how long to wait before the next session. Random is in [0, 1).
func (t timing) pause(end ending, attempt int, random float64) time.Duration {
	jitter := func(d time.Duration) time.Duration { return time.Duration(random * float64(d)) }
	var refused *Error
	errors.As(end.err, &refused)
	switch {
	case refused != nil && refused.hopeless:
		return t.hopeless + jitter(t.hopeless)
	case refused != nil && refused.Kind == Replaced:
		return t.replaced + jitter(t.replaced)
	case end.goodbye.GetRetryAfter().AsDuration() > 0:
		after := min(end.goodbye.GetRetryAfter().AsDuration(), t.hopeless)
		return after + jitter(max(t.base, after/2))
	}
	// All of a fleet lose their sessions at once when its server dies: the server has said over how long a time it can take them
	// back, and a dial that fails meanwhile must not gather them again.
	return jitter(max(grow(t.base, t.most, attempt), min(end.returnWithin, t.widest)))
}

// chance is a random number in [0, 1).
func chance() float64 {
	return rand.Float64() //nolint:gosec // it spreads load: nobody gains anything by guessing it
}

// grow doubles base attempt times, up to most.
func grow(base, most time.Duration, attempt int) time.Duration {
	d := base
	for range attempt {
		if d >= most/2 {
			return most
		}
		d *= 2
	}
	return d
}
