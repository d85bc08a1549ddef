package catalogue

import (
	"fmt"
	"slices"
	"strings"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// Bounds of how faults are found.
const (
	maxSpan    = 7 * 24 * time.Hour
	maxCount   = 10000
	maxSamples = 20
)

// detect looks at how the entry's fault is found.
func (l *linter) detect() {
	d := l.entry.Detect
	if len(d.State)+len(d.Logs) == 0 && d.As == "" && !d.Reported && !l.entry.Procedure {
		l.bad("detect", "can neither be found nor reported; give state, logs or as, or set reported: true")
	}
	if d.As != "" && l.known("detect.as", d.As) {
		l.circle()
	}
	for i, condition := range d.State {
		l.condition(fmt.Sprintf("detect.state[%d]", i), &condition)
	}
	names := map[string]bool{}
	for i, rule := range d.Logs {
		field := fmt.Sprintf("detect.logs[%d]", i)
		if names[rule.Name] {
			l.bad(field+".name", "is %q, which another rule of this entry has", rule.Name)
		}
		names[rule.Name] = true
		l.logRule(field, &rule)
	}
}

// circle looks whether an entry stands for itself in the end.
func (l *linter) circle() {
	seen := map[string]bool{l.entry.ID: true}
	for e := l.c.Entry(l.entry.Detect.As); e != nil && e.Detect.As != ""; e = l.c.Entry(e.Detect.As) {
		if seen[e.ID] {
			l.bad("detect.as", "goes in a circle over %q", e.ID)
			return
		}
		seen[e.ID] = true
	}
	if last := l.c.Entry(l.entry.Detect.As); last != nil && last.Detect.As == l.entry.ID {
		l.bad("detect.as", "goes in a circle over %q", last.ID)
	}
}

func (l *linter) condition(field string, c *Condition) {
	if len(c.All) == 0 {
		l.bad(field+".all", "is empty; name a signal and the values that are wrong")
		return
	}
	l.span(field+".for", c.For, 0)
	known, wrong := true, false
	for i, is := range c.All {
		signal := l.is(fmt.Sprintf("%s.all[%d]", field, i), &is)
		known = known && signal != nil
		wrong = wrong || signal != nil && !slices.Contains(is.Values, signal.Values[0])
	}
	switch targets := signalTargets(); {
	case !known:
	case !wrong:
		l.bad(field, "holds when all is well: each signal may have the value that is wanted")
	case !c.seenAt(Terminal, l.entry.Target, targets) && !c.seenAt(NESHost, l.entry.Target, targets):
		l.bad(field, "is about signals that no machine has together")
	}
}

// is looks at a signal and its values and returns the signal when it is known.
func (l *linter) is(field string, is *Is) *Signal {
	all := Signals()
	at := slices.IndexFunc(all, func(s Signal) bool { return s.Name == is.Signal })
	if at < 0 {
		l.bad(field+".signal", "is %q, which is none; see the list of signals", is.Signal)
		return nil
	}
	if len(is.Values) == 0 {
		l.bad(field+".is", "is empty, want some of %s", strings.Join(all[at].Values, ", "))
	}
	for _, value := range is.Values {
		l.oneOf(field+".is", value, all[at].Values...)
	}
	return &all[at]
}

func (l *linter) logRule(field string, r *LogRule) {
	if !idPattern.MatchString(r.Name) {
		l.bad(field+".name", "is %q, want lower case letters, digits and dashes", r.Name)
	}
	var classes []string
	for _, c := range Classes() {
		classes = append(classes, c.Name)
	}
	l.oneOf(field+".file", r.File, classes...)
	l.oneOf(field+".confidence", r.Confidence, "guide", "public", "guess")
	if r.Count < 0 || r.Count > maxCount {
		l.bad(field+".count", "is %d, want 0 to %d", r.Count, maxCount)
	}
	l.span(field+".window", r.Window, min(time.Duration(max(r.Count, 1)-1), 1))
	l.span(field+".cooldown", r.Cooldown, 0)
	for i, id := range r.Like {
		l.known(fmt.Sprintf("%s.like[%d]", field, i), id)
	}
	if _, err := match.Compile([]*agentv1.LogRule{r.rule(l.entry.ID)}); err != nil {
		l.bad(field, "%s", strings.TrimPrefix(err.Error(), fmt.Sprintf("rule %q: ", l.entry.ID+"/"+r.Name)))
	}
	if n := len(r.Samples); n == 0 || n > maxSamples {
		l.bad(field+".samples", "are %d, want 1 to %d lines that the rule is for", n, maxSamples)
	}
}

func (l *linter) span(field string, d, least time.Duration) {
	if d < least || d > maxSpan {
		l.bad(field, "is %s, want %s to %s", d, max(least, 0), maxSpan)
	}
}
