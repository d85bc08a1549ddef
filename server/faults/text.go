package faults

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts, in bytes.
const (
	maxName     = 100
	maxSubject  = 512
	maxNote     = 1 << 10
	maxValue    = 1 << 10
	maxEvidence = 16
	maxOthers   = 20
)

// line makes one printable line of a text and bounds it. Text of logs and machines goes through it before it is kept.
func line(text string, most int) string {
	printable := func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}
	text = strings.Map(printable, strings.ToValidUTF8(text, "?"))
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// clean reports whether a text is one printable line of at most so many bytes.
func clean(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}
