package news

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// What is too much for a server would end its session, or be left out there, with all that it says.
func TestReportsAreMadeToFit(t *testing.T) {
	f := &agentv1.FaultReport{
		Entry: "a", Subject: strings.Repeat("s", 2000), Rule: "a/" + strings.Repeat("r", 500), Candidates: make([]string, 70),
		Evidence: make([]*agentv1.Evidence, 40),
	}
	for i := range f.Evidence {
		f.Evidence[i] = &agentv1.Evidence{Name: strings.Repeat("n", 200), Value: "\x1b[31m\u202e\u00a0" + strings.Repeat("ä", 900) + "\n\xff"}
	}
	Fit(f)
	if len(f.GetEvidence()) != maxEvidence || len(f.GetCandidates()) != maxCandidates {
		t.Errorf("%d pieces of evidence and %d candidates are left, want %d and %d", len(f.GetEvidence()), len(f.GetCandidates()), maxEvidence, maxCandidates)
	}
	texts := map[string]int{f.GetSubject(): maxSubject, f.GetRule(): 2 * maxName}
	for _, e := range f.GetEvidence() {
		texts[e.GetName()], texts[e.GetValue()] = maxName, maxValue
	}
	for text, most := range texts {
		hidden := strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
		if len(text) > most || len(text) < most-8 || !utf8.ValidString(text) || hidden {
			t.Errorf("%.20q… has %d bytes, want as much of it as fits into %d, printable", text, len(text), most)
		}
	}
}

func TestSubjectsThatDifferStillDo(t *testing.T) {
	long := strings.Repeat("s", 600)
	for _, pair := range [][2]string{{long + "1", long + "2"}, {"a\nb", "a b"}, {"a\xffb", "a?b"}} {
		if a, b := Subject(pair[0]), Subject(pair[1]); a == b || Subject(a) != a {
			t.Errorf("%.10q… and %.10q… become %.10q… and %.10q…, want two subjects that stay as they are", pair[0], pair[1], a, b)
		}
	}
	if got := Subject("nes-lyon-1.example:443"); got != "nes-lyon-1.example:443" {
		t.Errorf("a subject that fits becomes %q, want it as it is", got)
	}
}
