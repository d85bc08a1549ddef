package guided

import (
	"regexp"
	"unicode"
	"unicode/utf8"

	"strings"

	"github.com/bandfleet/bandfleet/server/refusal"
)

// Bounds, in bytes where they are of text.
const (
	maxText     = 1024
	maxEvidence = 50
	maxParams   = 10
	maxParam    = 128
	maxNotes    = 200
	// maxFile is the largest file of a note, maxFiles how many notes of a task may have one.
	maxFile  = 1 << 20
	maxFiles = 20
)

// paramFailures is the parameter that says how many failed matches there were.
const paramFailures = "failures"

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
	paramPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
)

// checkName wants an operator or a role.
func checkName(field, name string, empty bool) error {
	if namePattern.MatchString(name) || empty && name == "" {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_NAME", "%s %q: is neither an operator nor a role", field, refusal.Shown(name)).At(field).
		Then("give a name such as ada, or a role such as site-desk")
}

func checkParams(params map[string]string) error {
	if len(params) > maxParams {
		return refusal.New(refusal.Invalid, "BAD_PARAM", "params: %d are too many, at most %d are allowed", len(params), maxParams).At("params")
	}
	for name, value := range params {
		if !paramPattern.MatchString(name) || !printable(value, maxParam) {
			return refusal.New(refusal.Invalid, "BAD_PARAM", "parameter %q: is not one line of at most %d bytes", refusal.Shown(name), maxParam).
				At("params[" + refusal.Shown(name) + "]")
		}
	}
	if _, there := params[paramFailures]; there && failuresIn(params) < LockoutFrom {
		return refusal.New(refusal.Invalid, "BAD_FAILURES", "failures %q: a band locks after %d failed matches in a row", refusal.Shown(params[paramFailures]), LockoutFrom).
			At("params[failures]").Then("give how many there were, %d to %d", LockoutFrom, MostFailures)
	}
	return nil
}

// printable says that text is one line that steers no screen.
func printable(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// checkText wants one line.
func checkText(field, text string, empty bool) error {
	if text == "" && !empty {
		return refusal.New(refusal.Invalid, "MISSING", "%s: is missing", field).At(field)
	}
	if printable(text, maxText) {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_TEXT", "%s: want at most %d bytes of text without control characters", field, maxText).At(field).
		Then("say it on one line, and put the rest into a file of a note")
}
