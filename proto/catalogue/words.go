package catalogue

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// FoundBy says for people how an entry's fault comes to be known, a line for each way.
func (e *Entry) FoundBy() (ways []string) {
	for _, c := range e.Detect.State {
		ways = append(ways, c.Words())
	}
	for _, r := range e.Detect.Logs {
		ways = append(ways, r.Words())
	}
	if e.Detect.As != "" {
		ways = append(ways, "it is the same condition as "+e.Detect.As)
	}
	if e.Detect.Reported {
		ways = append(ways, "a person reports it")
	}
	return ways
}

// Words is the condition for people.
func (c *Condition) Words() string {
	var parts []string
	for _, is := range c.All {
		parts = append(parts, is.Words())
	}
	text := "the agent sees that " + strings.Join(parts, " and ")
	if c.For > 0 {
		text += ", for " + brief(c.For)
	}
	return text
}

// Words is what is asked of a signal, for people.
func (is *Is) Words() string { return is.Signal + " is " + strings.Join(is.Values, " or ") }

// brief writes a duration without zeros at its end.
func brief(d time.Duration) string {
	text := d.String()
	if minutes, found := strings.CutSuffix(text, "m0s"); found {
		text = minutes + "m"
	}
	if hours, found := strings.CutSuffix(text, "h0m"); found {
		text = hours + "h"
	}
	return text
}

// Words is the rule for people.
func (r *LogRule) Words() string {
	var parts []string
	add := func(format string, texts []string, between string) {
		if len(texts) > 0 {
			parts = append(parts, fmt.Sprintf(format, strings.Join(quoted(texts), between)))
		}
	}
	add("%s", r.All, " and ")
	add("%s", r.Any, " or ")
	if r.Code != "" {
		parts = append(parts, "the number "+r.Code)
	}
	add("not %s", r.None, " or ")
	text := fmt.Sprintf("a line of the %s log has %s", r.File, strings.Join(parts, ", "))
	if r.Count > 1 {
		text += fmt.Sprintf(", %d times within %s", r.Count, brief(r.Window))
	}
	if r.Confidence != "guide" && r.Confidence != "public" {
		text += " (nobody has seen such a line yet, so it starts nothing by itself)"
	}
	return text
}

func quoted(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = fmt.Sprintf("%q", t)
	}
	return out
}

// Words says what is done without a person, for people.
func (r *Remedy) Words() string {
	switch {
	case len(r.Steps) == 0:
		return "does nothing by itself: a person does it"
	case r.Kind == Auto:
		return "remedies it by itself, where a policy says so"
	case r.Kind == Approval:
		return "remedies it once a person has agreed"
	default:
		return "gathers what a person needs to know"
	}
}

// Words is the step for people: when it is taken and where.
func (s *Step) Words() string {
	var notes []string
	if s.If != nil {
		notes = append(notes, "if "+s.If.Words())
	}
	if s.Approval {
		notes = append(notes, "once a person has agreed")
	}
	switch s.On {
	case "nes-host":
		notes = append(notes, "on the NES host")
	case "site":
		notes = append(notes, "on all terminals of the site")
	}
	if len(notes) == 0 {
		return s.Action
	}
	return s.Action + " (" + strings.Join(notes, ", ") + ")"
}

// Command is what a person types to take a step by hand. What is not known stands in capitals.
func (s *Step) Command(target Target) string {
	words := []string{"fleetctl fix", s.Action, "--terminal TERMINAL"}
	switch {
	case s.On == "site":
		words[2] = "--site SITE"
	case s.On == "nes-host" || s.On == "" && target == NESHost:
		words[2] = "--host NES-HOST"
	}
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		value := placeholder.ReplaceAllString(s.Params[name], strings.ToUpper(strings.ReplaceAll(name, "_", "-")))
		words = append(words, "--param "+shell(name+"="+value))
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:,=@+-]*$`)

// shell quotes a word for a shell when it must be.
func shell(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
