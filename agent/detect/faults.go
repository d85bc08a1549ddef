package detect

import (
	"log/slog"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// faults are the open ones, and the orders by which they come and go. One goroutine uses it.
type faults struct {
	sink    Sink
	now     func() time.Time
	log     *slog.Logger
	timings Timings
	orders  *orders
	open    map[name]*fault
}

// newFaults begins with those that were open when the agent went down.
func newFaults(c Config, t Timings) *faults {
	f := &faults{sink: c.Sink, now: c.Now, log: c.Log, timings: t, open: map[name]*fault{}}
	for _, r := range c.Known {
		if r.GetRule() == stateRule && !r.GetGone() {
			f.open[name{r.GetEntry(), r.GetSubject()}] = known(r, t)
		}
	}
	return f
}

// take goes by other orders from now on. Rules that stay keep what they have seen; a fault none of whose rules stays is gone.
func (f *faults) take(o *orders) {
	for _, r := range o.rules {
		if f.orders != nil {
			for _, before := range f.orders.rules {
				if before.text == r.text {
					r.conditions = before.conditions
				}
			}
		}
	}
	f.orders = o
	for n, open := range f.open {
		rules := o.of(n.entry)
		if len(rules) == 0 {
			f.end(open, []*agentv1.Evidence{{Name: "cause", Value: "rule removed"}})
			continue
		}
		for _, r := range rules {
			if r.conditions[n.subject] == nil && !open.gone {
				r.conditions[n.subject] = &condition{counts: true}
			}
		}
	}
}

// look goes through the rules that ask for one of the signals that were just read. It returns when signals are to be read again, because a
// condition may count by then.
func (f *faults) look(w what, signals []string) map[string]time.Time {
	again := map[string]time.Time{}
	if f.orders == nil {
		return again
	}
	seen := map[*rule]bool{}
	for _, signal := range signals {
		for _, r := range f.orders.by[signal] {
			if seen[r] {
				continue
			}
			seen[r] = true
			if due := f.lookAt(r, w); !due.IsZero() {
				for _, is := range r.all {
					again[is.GetSignal()] = earlier(again[is.GetSignal()], due)
				}
			}
		}
	}
	return again
}

// earlier is the first of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// lookAt judges a rule for each of its subjects.
func (f *faults) lookAt(r *rule, w what) (again time.Time) {
	subjects := map[string]bool{}
	for subject := range w[r.all[0].GetSignal()] {
		subjects[subject] = true
	}
	for subject := range r.conditions {
		subjects[subject] = true
	}
	now := time.Now()
	for subject := range subjects {
		again = earlier(again, f.judge(r, w, subject, now))
	}
	return again
}

func (f *faults) judge(r *rule, w what, subject string, now time.Time) time.Time {
	t, readings, present := r.judge(w, subject)
	c := r.conditions[subject]
	if c == nil {
		if t != holds {
			return time.Time{}
		}
		c = &condition{}
		r.conditions[subject] = c
	}
	wait := r.wait
	if !present {
		wait = 0
	}
	_, again := c.see(t, wait, now)
	switch {
	case c.counts && t == holds:
		c.readings = readings
		f.seen(name{r.entry, subject}, c.since)
	case !c.counts && !c.turning:
		delete(r.conditions, subject)
		f.unseen(name{r.entry, subject}, readings, present)
	}
	return again
}

// seen is a fault that is there, by the monotonic clock since then.
func (f *faults) seen(n name, since time.Time) {
	at := f.now()
	open := f.open[n]
	if open == nil {
		open = &fault{name: n, firstSeen: at.Add(-time.Since(since))}
		f.open[n] = open
	}
	readings := f.countingFor(n)
	evidence, stable := evidenceOf(readings), stableOf(readings)
	if open.again && slices.EqualFunc(open.evidence, evidence, sameEvidence) {
		open.reported = stable
	}
	// It may be back before its end was told.
	open.again, open.gone, open.lastSeen, open.evidence, open.stable = false, false, at, evidence, stable
	open.count++
}

func sameEvidence(a, b *agentv1.Evidence) bool { return proto.Equal(a, b) }

// countingFor are the readings of all rules by which a fault is there, each signal once.
func (f *faults) countingFor(n name) []Reading {
	var all []Reading
	for _, r := range f.orders.of(n.entry) {
		c := r.conditions[n.subject]
		if c == nil || !c.counts {
			continue
		}
		for _, reading := range c.readings {
			if !slices.ContainsFunc(all, func(o Reading) bool { return o.Signal == reading.Signal && o.Subject == reading.Subject }) {
				all = append(all, reading)
			}
		}
	}
	return all
}

// unseen is a fault that one rule sees no more: it has ended when no other one sees it.
func (f *faults) unseen(n name, readings []Reading, present bool) {
	open := f.open[n]
	if open == nil {
		return
	}
	for _, r := range f.orders.of(n.entry) {
		if c := r.conditions[n.subject]; c != nil && c.counts {
			return
		}
	}
	evidence := evidenceOf(readings)
	if !present {
		evidence = []*agentv1.Evidence{{Name: "cause", Value: "it is not there any more"}}
	}
	f.end(open, evidence)
}

// end has a fault be gone. One that nobody was told of is forgotten.
func (f *faults) end(open *fault, evidence []*agentv1.Evidence) {
	if !open.open {
		delete(f.open, open.name)
		return
	}
	open.gone, open.evidence, open.lastSeen = true, evidence, f.now()
}

// tell reports what is due. It returns when to do so again without a reading; zero when never.
func (f *faults) tell() (again time.Time) {
	if f.orders == nil {
		return again
	}
	now := time.Now()
	for n, open := range f.open {
		if open.due(now) {
			f.tellOf(n, open, now)
		}
		if f.open[n] != nil {
			again = earlier(again, open.next())
		}
	}
	return again
}

func (f *faults) tellOf(n name, open *fault, now time.Time) {
	if err := f.sink.Fault(open.report(f.orders.version)); err != nil {
		f.log.Error("a fault could not be reported; it is tried again", "entry", n.entry, "cause", err)
		open.retry = now.Add(retryGap)
		return
	}
	if open.gone {
		delete(f.open, n)
		return
	}
	open.taken(now, f.timings)
}
