package detect

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// reader reads some signals of the machine at once. It is never run twice at the same time.
type reader struct {
	name string
	// signals are all that it tells of: what is not among its readings is not there.
	signals []string
	cost    cost
	// service is the one that it reads, which is watched.
	service string
	read    func(ctx context.Context, v view) ([]Reading, error)

	// due is when it is read next.
	due     time.Time
	running bool
	// deadline is when what it reads is unknown, if it still runs; zero when that has been said.
	deadline time.Time
}

// result is what a reader came to.
type result struct {
	of       *reader
	readings []Reading
	err      error
}

// run reads, whatever happens.
func (r *reader) run(ctx context.Context, v view) (readings []Reading, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			readings, err = nil, &panicError{fmt.Sprint(caught), string(debug.Stack())}
		}
	}()
	return r.read(ctx, v)
}

// panicError is a reader's panic.
type panicError struct{ value, stack string }

// Error implements error.
func (p *panicError) Error() string { return "the reader panicked: " + p.value }

// store replaces the readings of a reader's signals. What could not be read is unknown, for each subject that there was.
func (w what) store(r *reader, readings []Reading, err error, at time.Time) {
	before := map[string]map[string]Reading{}
	for _, signal := range r.signals {
		before[signal] = w[signal]
		w[signal] = map[string]Reading{}
	}
	for _, reading := range readings {
		reading.Read = at
		w[reading.Signal][reading.Subject] = reading
	}
	for _, signal := range r.signals {
		if err != nil || unreadable(w[signal]) {
			w.doubt(signal, before[signal], err, at)
		}
	}
}

// unreadable says whether a signal of several subjects could not be read at all.
func unreadable(subjects map[string]Reading) bool {
	r, ok := subjects[""]
	return ok && len(subjects) == 1 && r.Value == catalogue.Unknown
}

// doubt has all subjects of a signal be unknown.
func (w what) doubt(signal string, before map[string]Reading, err error, at time.Time) {
	cause := w[signal][""]
	if err != nil || cause.Signal == "" {
		cause = unknownOf(signal, "", err)
	}
	cause.Read = at
	w[signal][""] = cause
	for subject := range before {
		cause.Subject = subject
		w[signal][subject] = cause
	}
}

// values are what signals say, as texts that are equal when nothing has changed.
func (w what) values(signals []string) []string {
	var all []string
	for _, signal := range signals {
		text := ""
		for _, subject := range slices.Sorted(maps.Keys(w[signal])) {
			text += subject + "\x00" + w[signal][subject].Value + "\x00"
		}
		all = append(all, text)
	}
	return all
}
