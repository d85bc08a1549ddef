package audit

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bandfleet/bandfleet/server/refusal"
)

// maxReason bounds a reason, in bytes.
const maxReason = 1024

// CheckReason refuses a person's reason that could not be read in the record: too long, of several lines, or with characters that are
// not shown, as those that turn the direction of writing and could make it read as something else.
func CheckReason(field, text string) error {
	if len(text) <= maxReason && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_REASON", "%s: want at most %d bytes of text without control characters",
		strings.TrimPrefix(field, "spec."), maxReason).At(field).Then("say it on one line, and keep the rest where the incident is recorded")
}
