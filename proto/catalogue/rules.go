package catalogue

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Rules are what an agent of a kind of machine looks for: Terminal or NESHost.
func Rules(c *Catalogue, target Target) (states []*agentv1.StateRule, logs []*agentv1.LogRule) {
	signals, classes := signalTargets(), classTargets()
	for _, e := range c.entries {
		for _, condition := range e.Detect.State {
			if condition.seenAt(target, e.Target, signals) {
				states = append(states, condition.rule(e.ID))
			}
		}
		for _, rule := range e.Detect.Logs {
			if of := classes[rule.File]; of == target || of == Device {
				logs = append(logs, rule.rule(e.ID))
			}
		}
	}
	return states, logs
}

// NoticedAt says whether a machine of a kind may tell of the entry's fault: the fault is there, or shows there in a log. What is wrong with a
// band is noticed at a terminal.
func (e *Entry) NoticedAt(target Target) bool {
	if e.Target == target || e.Target == Device || e.Target == Band && target == Terminal {
		return true
	}
	classes := classTargets()
	return slices.ContainsFunc(e.Detect.Logs, func(r LogRule) bool { return classes[r.File] == target })
}

func signalTargets() map[string]Target {
	targets := map[string]Target{}
	for _, s := range Signals() {
		targets[s.Name] = s.Target
	}
	return targets
}

func classTargets() map[string]Target {
	targets := map[string]Target{}
	for _, c := range Classes() {
		targets[c.Name] = c.Target
	}
	return targets
}

// seenAt says whether machines of a kind look for the condition: all of its signals are theirs, and one is theirs alone or the entry is about
// them.
func (c *Condition) seenAt(target, about Target, signals map[string]Target) bool {
	theirs := about == target || about == Device || about == Band
	for _, is := range c.All {
		of, known := signals[is.Signal]
		if !known || of != target && of != Device {
			return false
		}
		theirs = theirs || of == target
	}
	return theirs && len(c.All) > 0
}

func (c *Condition) rule(entry string) *agentv1.StateRule {
	r := &agentv1.StateRule{Entry: entry, For: span(c.For)}
	for _, is := range c.All {
		r.All = append(r.All, &agentv1.SignalIs{Signal: is.Signal, Values: slices.Clone(is.Values)})
	}
	return r
}

func (r *LogRule) rule(entry string) *agentv1.LogRule {
	return &agentv1.LogRule{
		Entry: entry, Id: entry + "/" + r.Name, FileClass: r.File, All: slices.Clone(r.All), Any: slices.Clone(r.Any), None: slices.Clone(r.None),
		Code: r.Code, Confidence: Confidence(r.Confidence), Count: uint32(max(r.Count, 0)), Window: span(r.Window), Cooldown: span(r.Cooldown), // Lint bounds the count
		Candidates: slices.Clone(r.Like),
	}
}

// Confidence reads the word of a rule. A word that is not known is a guess, which never starts an action.
func Confidence(word string) agentv1.Confidence {
	switch word {
	case "guide":
		return agentv1.Confidence_CONFIDENCE_GUIDE
	case "public":
		return agentv1.Confidence_CONFIDENCE_PUBLIC
	default:
		return agentv1.Confidence_CONFIDENCE_GUESS
	}
}

// span leaves a duration of nothing out.
func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}
