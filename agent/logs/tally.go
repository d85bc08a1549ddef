package logs

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

const (
	// defaultWindow is in what time so many lines are one fault when the rule does not say.
	defaultWindow = 24 * time.Hour
	// defaultCooldown is how long lines only count after a report when the rule does not say: a flood is one report and a number.
	defaultCooldown = 5 * time.Minute
)

// tally is what is counted of one entry. A log tells of the whole machine, so that its faults have no subject.
type tally struct {
	// Recent are the times of the last lines of each rule, no more than make a fault.
	Recent map[string][]time.Time `json:"recent,omitempty"`
	// Told is when the entry was last reported; Cooldown is how long lines only count after that.
	Told           time.Time     `json:"told,omitzero"`
	Cooldown       time.Duration `json:"cooldown,omitempty"`
	ToldHistorical bool          `json:"told_historical,omitempty"`
	// Waiting is what is to be reported; nil when there is nothing.
	Waiting *waiting `json:"waiting,omitempty"`
}

// waiting is what was seen since the last report.
type waiting struct {
	Count      uint64              `json:"count"`
	First      time.Time           `json:"first"`
	Last       time.Time           `json:"last"`
	Rule       string              `json:"rule"`
	Confidence int32               `json:"confidence"`
	Candidates []string            `json:"candidates,omitempty"`
	Evidence   []*agentv1.Evidence `json:"evidence"`
	Historical bool                `json:"historical,omitempty"`
}

// tallies are the tallies of all entries, by entry.
type tallies map[string]*tally

// retain forgets entries that the orders do not name.
func (t tallies) retain(o *orders) {
	for entry := range t {
		if !o.entries[entry] {
			delete(t, entry)
		}
	}
}

// line matches a line and counts what it says.
func (w *Watcher) line(s *source, text []byte) {
	hits := s.m.line(s.o, s.f.class, text)
	if len(hits) == 0 {
		if saysError(text) {
			w.errors.addLine(s.f.class, text, w.names)
		}
		return
	}
	now := w.cfg.Now()
	for i, h := range hits {
		entry := h.Rule.GetEntry()
		if slices.ContainsFunc(hits[:i], func(o match.Hit) bool { return o.Rule.GetEntry() == entry }) {
			continue // a surer rule of the same entry has counted the line
		}
		w.count(s, h, hits, text, now)
	}
}

// count counts a line for a rule.
func (w *Watcher) count(s *source, h match.Hit, hits []match.Hit, text []byte, now time.Time) {
	entry := h.Rule.GetEntry()
	t := w.tallies[entry]
	if t == nil {
		t = &tally{}
		w.tallies[entry] = t
	}
	lines, ok := t.reached(h.Rule, now)
	if !ok {
		return
	}
	historical := s.m.Offset < s.m.Historical
	if t.Waiting == nil || t.Waiting.Historical && !historical {
		t.Waiting = &waiting{
			First: now, Rule: h.Rule.GetId(), Confidence: int32(h.Rule.GetConfidence()), Candidates: candidates(h.Rule, hits),
			Evidence: w.evidence(s, h.Joined, text), Historical: historical,
		}
		t.Cooldown = cooldownOf(h.Rule)
	}
	t.Waiting.Count += lines
	t.Waiting.Last = now
}

// reached adds a line of a rule, and says whether its lines within the window are a fault, and how many they are.
func (t *tally) reached(r *agentv1.LogRule, now time.Time) (lines uint64, ok bool) {
	want := max(1, int(r.GetCount()))
	if want == 1 {
		return 1, true
	}
	if t.Recent == nil {
		t.Recent = map[string][]time.Time{}
	}
	oldest := now.Add(-windowOf(r))
	recent := slices.DeleteFunc(t.Recent[r.GetId()], func(at time.Time) bool { return at.Before(oldest) || at.After(now) })
	recent = append(recent, now)
	if len(recent) < want {
		t.Recent[r.GetId()] = recent
		return 0, false
	}
	delete(t.Recent, r.GetId())
	return uint64(len(recent)), true
}

func windowOf(r *agentv1.LogRule) time.Duration {
	if d := r.GetWindow().AsDuration(); d > 0 {
		return d
	}
	return defaultWindow
}

func cooldownOf(r *agentv1.LogRule) time.Duration {
	if d := r.GetCooldown().AsDuration(); d > 0 {
		return d
	}
	return defaultCooldown
}

// candidates are the other entries that a line may mean: those that the rule names, and those whose rules the line obeys, too.
func candidates(r *agentv1.LogRule, hits []match.Hit) []string {
	all := slices.Clone(r.GetCandidates())
	for _, h := range hits {
		all = append(all, h.Rule.GetEntry())
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(entry string) bool { return entry == r.GetEntry() })
}

// report tells the sink what is due. What it does not take stays.
func (w *Watcher) report(o *orders) {
	now := w.cfg.Now()
	w.reported = false
	for entry, t := range w.tallies {
		if !t.due(now) {
			continue
		}
		if err := w.cfg.Sink.Fault(t.report(entry, o.version)); err != nil {
			w.cfg.Log.Error("a fault that a log tells of could not be kept; it is offered again", "entry", entry, "error", err)
			continue
		}
		t.Told, t.ToldHistorical, t.Waiting = now, t.Waiting.Historical, nil
		w.reported = true
	}
}

// due says whether there is something to report now. A clock that was set back does not keep a report back.
func (t *tally) due(now time.Time) bool {
	if t.Waiting == nil {
		return false
	}
	passed := now.Sub(t.Told)
	return t.Told.IsZero() || passed < 0 || passed >= t.Cooldown || t.ToldHistorical && !t.Waiting.Historical
}

func (t *tally) report(entry, version string) *agentv1.FaultReport {
	w := t.Waiting
	return &agentv1.FaultReport{
		Entry: entry, FirstSeen: timestamppb.New(w.First), LastSeen: timestamppb.New(w.Last), Count: w.Count, Evidence: w.Evidence,
		Rule: w.Rule, OrdersVersion: version, Confidence: agentv1.Confidence(w.Confidence), Candidates: w.Candidates, Historical: w.Historical,
	}
}
