package inventory

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bandfleet/bandfleet/server/refusal"
)

var (
	siteName     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	terminalName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	terminalID   = regexp.MustCompile(`^[Tt]-[0-9]{1,12}$`)
	operatorName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
	bandSerial   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{1,62}$`)
	// firmwareVersion is numbers with dots between them; what follows them is the vendor's.
	firmwareVersion = regexp.MustCompile(`^[0-9]{1,9}(\.[0-9]{1,9}){0,5}[A-Za-z0-9._+-]{0,20}$`)
	labelKey        = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	pluginHash      = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Longest texts, in bytes.
const (
	maxDescription = 256
	maxLabelValue  = 63
	maxLabels      = 64
	maxWearer      = 128
	maxNote        = 512
	maxReason      = 512
	maxVersion     = 64
)

// wantName refuses a name that does not match.
func wantName(kind string, p *regexp.Regexp, name, field, allowed string) error {
	if p.MatchString(name) {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_NAME", "%s %q: is no valid name", kind, clipped(name)).
		At(field).Then("use %s", allowed)
}

// wantText refuses text that is too long, is not UTF-8, or holds control characters, which could fool a terminal.
func wantText(what, text, field string, most int) error {
	if cause := textProblem(text, most); cause != "" {
		return refusal.New(refusal.Invalid, "BAD_TEXT", "%s: %s", what, cause).At(field)
	}
	return nil
}

// textProblem says what is wrong with text, or "".
func textProblem(text string, most int) string {
	switch {
	case len(text) > most:
		return fmt.Sprintf("is %d bytes long, at most %d are allowed", len(text), most)
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "has a character that cannot be printed"
	default:
		return ""
	}
}

func clipped(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
