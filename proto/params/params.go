// Package params reads and checks the parameters of an action against its manifest. The CLI, the server, the agent and the
// plugin SDK all call it, so that the same value is refused with the same words everywhere.
package params

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxText is the longest text of a value, in bytes.
const maxText = 4096

// Problem is what is wrong with one parameter.
type Problem struct {
	// Param is the parameter's name.
	Param string
	// Reason says what is wrong and what would be right, as a clause.
	Reason string
}

// Error lists every problem of a set of parameters.
type Error struct {
	Action   string
	Problems []Problem
}

// Error implements error.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("parameter %q of %s: %s", p.Param, e.Action, p.Reason)
	}
	return strings.Join(lines, "; ")
}

// Resolve checks given against the action's parameters and returns every parameter that has a value in canonical text,
// defaults filled in. All problems are reported together, as *Error.
func Resolve(a *actionv1.Action, given map[string]string) (map[string]string, error) {
	var problems []Problem
	known := make(map[string]*actionv1.Param, len(a.GetParams()))
	out := make(map[string]string, len(a.GetParams()))
	for _, p := range a.GetParams() {
		known[p.GetName()] = p
		text, ok := given[p.GetName()]
		if !ok {
			if p.GetRequired() {
				problems = append(problems, Problem{p.GetName(), "is required: " + p.GetHelp()})
				continue
			}
			if text = p.GetDefaultValue(); text == "" {
				continue
			}
		}
		canonical, err := Canonical(p, text)
		if err != nil {
			problems = append(problems, Problem{p.GetName(), err.Error()})
			continue
		}
		out[p.GetName()] = canonical
	}
	for name := range given {
		if known[name] == nil {
			problems = append(problems, Problem{name, "is not known; " + knownNames(a)})
		}
	}
	if len(problems) == 0 {
		problems = brokenRules(a, out)
	}
	if len(problems) > 0 {
		sort.Slice(problems, func(i, j int) bool { return problems[i].Param < problems[j].Param })
		return nil, &Error{Action: a.GetName(), Problems: problems}
	}
	return out, nil
}

// Canonical reads the text of one value, checks its bounds and returns it in its one canonical form. Of a list, each element is
// checked so.
func Canonical(p *actionv1.Param, text string) (string, error) {
	if len(text) > maxText {
		return "", fmt.Errorf("is %d bytes long, at most %d are allowed", len(text), maxText)
	}
	pattern, err := compile(p)
	if err != nil {
		return "", err
	}
	if !p.GetList() {
		return canonicalValue(p, pattern, text)
	}
	elements := strings.Split(text, ",")
	for i, element := range elements {
		if elements[i], err = canonicalValue(p, pattern, element); err != nil {
			return "", fmt.Errorf("has element %d, which %w", i+1, err)
		}
	}
	return strings.Join(elements, ","), nil
}

func canonicalValue(p *actionv1.Param, pattern *regexp.Regexp, text string) (string, error) {
	switch p.GetType() {
	case actionv1.ParamType_PARAM_TYPE_BOOL:
		if text != "true" && text != "false" {
			return "", fmt.Errorf("is %q, want true or false", text)
		}
		return text, nil
	case actionv1.ParamType_PARAM_TYPE_INTEGER:
		v, err := parseInteger(text)
		if err != nil {
			return "", err
		}
		return text, inRange(p, v, text, parseInteger)
	case actionv1.ParamType_PARAM_TYPE_DURATION:
		v, err := parseDuration(text)
		if err != nil {
			return "", err
		}
		return time.Duration(v).String(), inRange(p, v, text, parseDuration)
	case actionv1.ParamType_PARAM_TYPE_ENUM:
		if !slices.Contains(p.GetChoices(), text) {
			return "", fmt.Errorf("is %q, want one of %s", text, strings.Join(p.GetChoices(), ", "))
		}
		return text, nil
	case actionv1.ParamType_PARAM_TYPE_STRING:
		return text, checkString(p, pattern, text)
	case actionv1.ParamType_PARAM_TYPE_SECRET:
		return text, checkReference(text)
	default:
		return "", fmt.Errorf("has type %s, which this version does not know; update this program", p.GetType())
	}
}

// parseInteger takes decimal digits with an optional minus: no plus, no leading zero, no blank.
func parseInteger(text string) (int64, error) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(v, 10) != text {
		return 0, fmt.Errorf("is %q, want a whole number such as 10 or -42", text)
	}
	return v, nil
}

func parseDuration(text string) (int64, error) {
	d, err := time.ParseDuration(text)
	if err != nil || strings.HasPrefix(text, "+") {
		return 0, fmt.Errorf("is %q, want a duration such as 10s or 1m30s", text)
	}
	return int64(d), nil
}

// inRange checks v, printed as text, against the parameter's bounds, which parse reads.
func inRange(p *actionv1.Param, v int64, text string, parse func(string) (int64, error)) error {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	var err error
	if p.GetMin() != "" {
		if least, err = parse(p.GetMin()); err != nil {
			return fmt.Errorf("has a bad lower bound in the manifest: %w", err)
		}
	} else if p.GetType() == actionv1.ParamType_PARAM_TYPE_DURATION {
		least = 0
	}
	if p.GetMax() != "" {
		if most, err = parse(p.GetMax()); err != nil {
			return fmt.Errorf("has a bad upper bound in the manifest: %w", err)
		}
	}
	if v >= least && v <= most {
		return nil
	}
	switch {
	case p.GetMin() != "" && p.GetMax() != "":
		return fmt.Errorf("is %s, want %s to %s", text, Brief(p.GetMin()), Brief(p.GetMax()))
	case v < least:
		return fmt.Errorf("is %s, want at least %s", text, Brief(cmpOr(p.GetMin(), "0s")))
	default:
		return fmt.Errorf("is %s, want at most %s", text, Brief(p.GetMax()))
	}
}

// Brief writes a value for people: of a duration in its canonical form, the zeros at the end are left out ("1m" for "1m0s").
func Brief(value string) string {
	if d, err := time.ParseDuration(value); err != nil || d.String() != value {
		return value
	}
	if minutes, found := strings.CutSuffix(value, "m0s"); found {
		value = minutes + "m"
	}
	if hours, found := strings.CutSuffix(value, "h0m"); found {
		value = hours + "h"
	}
	return value
}

func cmpOr(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func knownNames(a *actionv1.Action) string {
	if len(a.GetParams()) == 0 {
		return a.GetName() + " takes no parameters"
	}
	names := make([]string, len(a.GetParams()))
	for i, p := range a.GetParams() {
		names[i] = p.GetName()
	}
	sort.Strings(names)
	return a.GetName() + " takes " + strings.Join(names, ", ")
}
