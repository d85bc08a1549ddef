package catalogue

import (
	"fmt"
	"slices"
	"strings"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// samples holds every sample against all rules of all entries.
func (l *linter) samples() {
	set := l.compiled()
	if set == nil {
		return
	}
	for _, e := range l.c.entries {
		l.entry = e
		for i, r := range e.Detect.Logs {
			if _, err := match.Compile([]*agentv1.LogRule{r.rule(e.ID)}); err != nil {
				continue // it has been reported
			}
			for j, sample := range r.Samples {
				l.sample(set, &r, fmt.Sprintf("detect.logs[%d].samples[%d]", i, j), sample)
			}
		}
	}
}

// compiled is the set of all rules that can be compiled; the others have been reported.
func (l *linter) compiled() *match.Set {
	var rules []*agentv1.LogRule
	for _, e := range l.c.entries {
		for _, r := range e.Detect.Logs {
			rule := r.rule(e.ID)
			if _, err := match.Compile([]*agentv1.LogRule{rule}); err == nil && !slices.ContainsFunc(rules, func(o *agentv1.LogRule) bool { return o.GetId() == rule.GetId() }) {
				rules = append(rules, rule)
			}
		}
	}
	set, err := match.Compile(rules)
	if err != nil {
		l.entry = &Entry{}
		l.bad("detect.logs", "%s", err)
		return nil
	}
	return set
}

// Sampled returns the hits of a sample: a line, or several of one file.
func Sampled(set *match.Set, class, sample string) (hits []match.Hit) {
	stream := set.Stream(class)
	for line := range strings.SplitSeq(sample, "\n") {
		hits = append(hits, stream.Line([]byte(line))...)
	}
	return hits
}

func (l *linter) sample(set *match.Set, r *LogRule, field, sample string) {
	hits := Sampled(set, r.File, sample)
	own := l.entry.ID + "/" + r.Name
	if !slices.ContainsFunc(hits, func(h match.Hit) bool { return h.Rule.GetId() == own }) {
		l.bad(field, "does not obey its own rule%s", insteadOf(hits))
	}
	for _, h := range hits {
		other := h.Rule.GetEntry()
		if other == l.entry.ID || slices.Contains(r.Like, other) {
			continue
		}
		l.problems = append(l.problems, Problem{
			Entry: l.entry.ID, With: other, Field: field,
			Text: fmt.Sprintf("obeys the rule %q of another entry, too; make one of the two say more, or name the entry in like", h.Rule.GetId()),
		})
	}
}

// insteadOf says which rules a line obeys, after words that it does not obey its own.
func insteadOf(hits []match.Hit) string {
	if len(hits) == 0 {
		return ""
	}
	return fmt.Sprintf(", but %q, which says more", hits[0].Rule.GetId())
}
