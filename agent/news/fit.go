package news

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// What the server takes of one fault, in bytes; more would be refused there, and come again with every session.
const (
	maxEvidence   = 16
	maxName       = 100
	maxValue      = 1 << 10
	maxSubject    = 512
	maxCandidates = 20
)

// Fit makes a report one that a server takes: bounded, each text one printable line. It changes f. Subjects that differ still do.
func Fit(f *agentv1.FaultReport) {
	f.Subject = Subject(f.GetSubject())
	f.Rule = fit(f.GetRule(), 2*maxName)
	f.Evidence = f.GetEvidence()[:min(len(f.GetEvidence()), maxEvidence)]
	for _, e := range f.GetEvidence() {
		e.Name, e.Value = fit(e.GetName(), maxName), fit(e.GetValue(), maxValue)
	}
	f.Candidates = f.GetCandidates()[:min(len(f.GetCandidates()), maxCandidates)]
}

// Subject makes a subject one that a server takes. Of one that is too long or not printable, a hash at its end tells it from others.
func Subject(text string) string {
	if len(text) <= maxSubject && line(text) == text {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	mark := "~" + hex.EncodeToString(sum[:4])
	return strings.TrimSuffix(fit(text, maxSubject-len(mark)), more) + mark
}

// more stands at the end of what was cut.
const more = "…"

// fit makes a printable line of a text, and cuts it between characters.
func fit(text string, most int) string {
	text = line(text)
	if len(text) <= most {
		return text
	}
	end := most - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// line puts blanks where a text has what cannot be printed.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
