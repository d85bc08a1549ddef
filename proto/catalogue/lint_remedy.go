package catalogue

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// remedy looks at what a machine does.
func (l *linter) remedy() {
	r := l.entry.Remedy
	if !l.oneOf("remedy.kind", string(r.Kind), string(Auto), string(Approval), string(Guided)) {
		return
	}
	if r.Kind != Guided && len(r.Steps) == 0 {
		l.bad("remedy.steps", "are none, and the kind is %s; give a step, or make it guided", r.Kind)
	}
	if r.Kind == Guided && l.entry.Person == nil {
		l.bad("person", "is missing, and the remedy is guided: say who does what")
	}
	l.long("remedy.interrupts", r.Interrupts, false)
	for i, step := range r.Steps {
		l.step(fmt.Sprintf("remedy.steps[%d]", i), &step)
	}
}

func (l *linter) step(field string, s *Step) {
	l.oneOf(field+".on", s.On, "", "nes-host", "site")
	if s.If != nil {
		if l.is(field+".if", s.If) != nil && !l.told(s.If.Signal) {
			l.bad(field+".if.signal", "is %q, which no state asks for: nobody would tell the server of it", s.If.Signal)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Params)) {
		l.placeholders(field+".params."+name, s.Params[name])
	}
	for _, loop := range loops() {
		if loop.caughtBy(s, l.entry) {
			l.bad(field, "raises the fault that it is for: %s", loop.why)
		}
	}
	if !idPattern.MatchString(s.Action) {
		l.bad(field+".action", "is %q, want the name of an action", s.Action)
		return
	}
	if l.actions != nil {
		l.offered(field, s)
	}
}

// told says whether agents tell of a signal: it is part of a state by which some fault is found.
func (l *linter) told(signal string) bool {
	return slices.ContainsFunc(l.c.entries, func(e *Entry) bool {
		return slices.ContainsFunc(e.Detect.State, func(c Condition) bool {
			return slices.ContainsFunc(c.All, func(is Is) bool { return is.Signal == signal })
		})
	})
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

func (l *linter) placeholders(field, value string) {
	known := Placeholders()
	for _, found := range placeholder.FindAllString(value, -1) {
		if _, ok := known[found]; !ok {
			l.bad(field, "has %s, which stands for nothing; use one of %s", found, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
}

// offered compares a step with the actions that machines offer. When several versions of one are, one that fits is enough.
func (l *linter) offered(field string, s *Step) {
	versions := l.actions.named(s.Action)
	if len(versions) == 0 {
		l.bad(field+".action", "is %q, which no machine offers", s.Action)
		return
	}
	var first []string
	for _, a := range versions {
		problems := unfit(a, s, l.entry.Target)
		if len(problems) == 0 {
			return
		}
		if first == nil {
			first = problems
		}
	}
	for _, p := range first {
		l.bad(field, "%s", p)
	}
}

// unfit says what in a step does not fit an action.
func unfit(a *actionv1.Action, s *Step, target Target) (problems []string) {
	if role := roleOf(s, target); role != "" && !slices.Contains(a.GetRoles(), role) {
		problems = append(problems, fmt.Sprintf("runs %s on a machine of role %s, and it is for %s", a.GetName(), role, strings.Join(a.GetRoles(), ", ")))
	}
	problems = append(problems, unfitParams(a, s.Params)...)
	slices.Sort(problems)
	return problems
}

// unfitParams says what is wrong with parameters. What stands for a placeholder is known only when the step is taken, and so are rules over
// several parameters of which one is such.
func unfitParams(a *actionv1.Action, given map[string]string) (problems []string) {
	later := false
	for name, value := range given {
		later = later || isKnown(a, name) && placeholder.MatchString(value)
	}
	var bad *params.Error
	if _, err := params.Resolve(a, given); !errors.As(err, &bad) {
		return nil
	}
	for _, p := range bad.Problems {
		value, ok := given[p.Param]
		switch known := isKnown(a, p.Param); {
		case known && placeholder.MatchString(value):
		case later && known && ok && fits(a, p.Param, value):
		default:
			problems = append(problems, fmt.Sprintf("parameter %q of %s: %s", p.Param, a.GetName(), p.Reason))
		}
	}
	return problems
}

// fits says whether a value is right by itself.
func fits(a *actionv1.Action, name, value string) bool {
	return slices.ContainsFunc(a.GetParams(), func(p *actionv1.Param) bool {
		_, err := params.Canonical(p, value)
		return p.GetName() == name && err == nil
	})
}

func isKnown(a *actionv1.Action, name string) bool {
	return slices.ContainsFunc(a.GetParams(), func(p *actionv1.Param) bool { return p.GetName() == name })
}

// roleOf is the role of the machine on which a step runs; empty when it may be any.
func roleOf(s *Step, target Target) string {
	switch {
	case s.On == "nes-host", s.On == "" && target == NESHost:
		return "nes-host"
	case s.On == "site", s.On == "" && target == Terminal:
		return "user-terminal"
	default:
		return ""
	}
}
