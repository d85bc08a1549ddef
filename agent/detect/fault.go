package detect

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// stateRule is the rule of reports that come from here.
const stateRule = "state"

// name is which fault: of an entry, about a subject.
type name struct{ entry, subject string }

// fault is one that is open, or is about to be.
type fault struct {
	name
	// open: the sink has a report that says so.
	open bool
	// gone: it has ended, and the sink has no report yet that says so.
	gone bool
	// again: it was open before the agent was started, and has not been seen since.
	again     bool
	firstSeen time.Time
	lastSeen  time.Time
	// count is how often it was seen since the last report.
	count    uint64
	evidence []*agentv1.Evidence
	// stable is what of the evidence matters, reported what of that the sink has.
	stable, reported string
	// told is when the sink took the last report, pause how long until the next one that says nothing new. Both go by the monotonic clock.
	told  time.Time
	pause time.Duration
	// retry is when a report that was not kept is offered again; zero when none waits.
	retry time.Time
}

// due says whether there is something to report now.
func (f *fault) due(now time.Time) bool {
	switch {
	case now.Before(f.retry):
		return false
	case f.gone || !f.open:
		return true
	case f.stable != f.reported:
		return now.Sub(f.told) >= changeGap
	}
	return f.count > 0 && now.Sub(f.told) >= f.pause
}

// next is when due may say yes without another reading; zero when it will not.
func (f *fault) next() time.Time {
	switch {
	case !f.retry.IsZero():
		return f.retry
	case f.open && !f.gone && f.stable != f.reported:
		return f.told.Add(changeGap)
	}
	return time.Time{}
}

// report is what the sink is told.
func (f *fault) report(version string) *agentv1.FaultReport {
	return &agentv1.FaultReport{
		Entry: f.entry, Subject: f.subject, Gone: f.gone,
		FirstSeen: timestamppb.New(f.firstSeen), LastSeen: timestamppb.New(f.lastSeen), Count: f.count, Evidence: f.evidence,
		Rule: stateRule, OrdersVersion: version, Confidence: agentv1.Confidence_CONFIDENCE_STATE,
	}
}

// taken says that the sink has the report.
func (f *fault) taken(now time.Time, t Timings) {
	first := !f.open
	f.open, f.count, f.reported, f.told, f.retry = true, 0, f.stable, now, time.Time{}
	if f.pause = min(2*f.pause, t.AgainMost); first || f.pause == 0 {
		f.pause = t.Again
	}
}

// known is a fault of which an earlier run of the agent has told.
func known(r *agentv1.FaultReport, t Timings) *fault {
	return &fault{
		name: name{r.GetEntry(), r.GetSubject()}, open: true, again: true, firstSeen: r.GetFirstSeen().AsTime(), lastSeen: r.GetLastSeen().AsTime(),
		evidence: r.GetEvidence(), told: time.Now(), pause: t.Again,
	}
}
