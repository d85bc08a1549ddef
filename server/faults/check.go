package faults

import (
	"log/slog"
	"regexp"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// clockSlack is how far ahead of the server's clock a time may be that an agent tells.
const clockSlack = 5 * time.Minute

var idPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`)

// checkFault says why a report is not taken; empty when it is.
func (t *taking) checkFault(r *agentv1.FaultReport) string {
	if r.GetGone() && t.cfg.Catalogue().Entry(r.GetEntry()) == nil && idPattern.MatchString(r.GetEntry()) && clean(r.GetSubject(), maxSubject) {
		// An agent whose orders have the entry no more tells the end of its faults.
		return ""
	}
	if bad := t.checkOf(r.GetEntry(), r.GetSubject()); bad != "" {
		return bad
	}
	switch {
	case !clean(r.GetRule(), 2*maxName):
		return "names a rule with control characters or that is too long"
	case len(r.GetEvidence()) > maxEvidence:
		return "has too much evidence"
	case len(r.GetCandidates()) > maxOthers:
		return "has too many candidates"
	case t.ahead(r.GetFirstSeen()), t.ahead(r.GetLastSeen()):
		return "is of a time that has not come"
	}
	for _, e := range r.GetEvidence() {
		if !clean(e.GetName(), maxName) || !clean(e.GetValue(), maxValue) {
			return "has evidence with control characters or that is too long"
		}
	}
	for _, c := range r.GetCandidates() {
		if !idPattern.MatchString(c) {
			return "has candidates that are no entries"
		}
	}
	return ""
}

// checkOf says why something is not about this terminal.
func (t *taking) checkOf(entry, subject string) string {
	switch e := t.cfg.Catalogue().Entry(entry); {
	case e == nil:
		return "is of an entry that the catalogue does not have"
	case !fits(e, t.terminal.GetRole()):
		return "is of an entry that is not for such a machine"
	case !clean(subject, maxSubject):
		return "has a subject with control characters or that is too long"
	}
	return ""
}

// fits reports whether a machine of this role can tell of what an entry is about. A procedure is no fault.
func fits(e *catalogue.Entry, role fleetv1.TerminalRole) bool {
	target := catalogue.Terminal
	if role == fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST {
		target = catalogue.NESHost
	}
	return !e.Procedure && e.NoticedAt(target)
}

// ahead reports whether a time is none, or lies in the future.
func (t *taking) ahead(at *timestamppb.Timestamp) bool {
	return at != nil && (at.CheckValid() != nil || at.AsTime().After(t.now.Add(clockSlack)))
}

func (t *taking) checkReflex(r *agentv1.ReflexRun) string {
	if bad := t.checkOf(r.GetEntry(), r.GetSubject()); bad != "" {
		return bad
	}
	switch {
	case !idPattern.MatchString(r.GetPolicy()):
		return "is of a policy that cannot be"
	case !idPattern.MatchString(r.GetAction()):
		return "is of an action that cannot be"
	case r.GetResult() == nil:
		return "is of a run without a result"
	case t.ahead(r.GetStarted()):
		return "is of a time that has not come"
	}
	return ""
}

func (t *taking) checkBreaker(b *agentv1.BreakerState) string {
	if bad := t.checkOf(b.GetEntry(), b.GetSubject()); bad != "" {
		return bad
	}
	switch {
	case !idPattern.MatchString(b.GetAction()):
		return "is of an action that cannot be"
	case !clean(b.GetReason(), maxNote):
		return "has a reason with control characters or that is too long"
	case t.ahead(b.GetSince()), b.GetUntil() != nil && b.GetUntil().CheckValid() != nil:
		return "is of a time that has not come"
	}
	return ""
}

// refusals counts what was not taken, to be logged once a minute. Its zero value is ready.
type refusals struct {
	mu     sync.Mutex
	counts map[refusedOf]int
	total  uint64
}

type refusedOf struct{ terminal, why string }

// mostRefused bounds what is told apart within a minute.
const mostRefused = 1000

func (r *refusals) add(terminal string, why []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range why {
		r.total++
		if r.counts == nil {
			r.counts = map[refusedOf]int{}
		}
		key := refusedOf{terminal, w}
		if _, known := r.counts[key]; !known && len(r.counts) >= mostRefused {
			key = refusedOf{"others", "makes no sense"}
		}
		r.counts[key]++
	}
}

// tell logs what was counted since it was called last.
func (r *refusals) tell(log *slog.Logger) {
	r.mu.Lock()
	counts := r.counts
	r.counts = nil
	r.mu.Unlock()
	for of, n := range counts {
		log.Warn("news of an agent was left out: it "+of.why, "terminal", of.terminal, "count", n)
	}
}

// Refused is how much news was left out since the server was started.
func (d *Desk) Refused() uint64 {
	d.refused.mu.Lock()
	defer d.refused.mu.Unlock()
	return d.refused.total
}
