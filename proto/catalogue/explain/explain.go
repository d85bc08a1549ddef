// Package explain finds what in the catalogue somebody means who reads out what a screen says, types it from memory, or gives a number. It
// forgives slips of the keyboard, and it never makes one cause of words that stand for several. fleetctl explain asks it; it needs no server.
package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// Hit is an entry that may be meant.
type Hit struct {
	Entry *catalogue.Entry
	// Score is how well it fits: 0 to 1 for words, 1 and more with a number.
	Score float64
	// Why says what of it fits.
	Why string
}

// Answer is what may be meant.
type Answer struct {
	// Ranked are the entries that fit, the best first; at most maxHits.
	Ranked []Hit
	// Likely is how many of the first of them fit about as well as the first: only one is a certain answer.
	Likely int
	// AskCode are the numbers that tell the likely ones apart; empty when no number would help, or one was given.
	AskCode []string
	// UnknownCode is the number that was given when no entry has it: the words alone are no certain answer then.
	UnknownCode string
}

// Sure says whether one entry is meant, and no other may be.
func (a *Answer) Sure() bool {
	return a.Likely == 1 && len(a.AskCode) == 0 && a.UnknownCode == "" && a.Ranked[0].Score >= certain
}

const (
	// maxHits is how many entries are told.
	maxHits = 10
	// maxWords is how much of a question is read, in bytes.
	maxWords = 1000
	// least is the score below which an entry does not fit.
	least = 0.34
	// near is the share of the best score from which another entry fits about as well.
	near = 0.85
	// certain is the score from which an entry is meant when no other fits about as well.
	certain = 0.6
	// codeScore is added when the number is the entry's.
	codeScore = 1.0
)

// Find ranks the entries that words and a number stand for. Either may be empty.
func Find(c *catalogue.Catalogue, words, code string) *Answer {
	if len(words) > maxWords {
		words = words[:maxWords]
	}
	x := newIndex(c)
	q := x.question(words, strings.TrimSpace(code))
	a := &Answer{}
	if q.code != "" && !x.codes[q.code] {
		a.UnknownCode = q.code
	}
	for i := range x.texts {
		if h := x.score(q, &x.texts[i]); h.Score >= least {
			a.Ranked = append(a.Ranked, h)
		}
	}
	slices.SortStableFunc(a.Ranked, better)
	a.judge(q)
	return a
}

// For leaves out what cannot be at machines of a kind. Bands are at terminals.
func (a *Answer) For(target catalogue.Target) *Answer {
	out := &Answer{UnknownCode: a.UnknownCode}
	for _, h := range a.Ranked {
		of := h.Entry.Target
		if of == target || of == catalogue.Device || of == catalogue.Band && target == catalogue.Terminal {
			out.Ranked = append(out.Ranked, h)
		}
	}
	out.judge(question{asked: len(a.AskCode) == 0})
	return out
}

// better sorts hits: the score, then faults before what people ask for, then the guide's order.
func better(a, b Hit) int {
	return cmp.Or(-cmp.Compare(a.Score, b.Score), procedure(a)-procedure(b))
}

func procedure(h Hit) int {
	if h.Entry.Procedure {
		return 1
	}
	return 0
}

// judge counts the likely ones and finds out which number would tell them apart.
func (a *Answer) judge(q question) {
	if len(a.Ranked) == 0 {
		return
	}
	for a.Likely < len(a.Ranked) && a.Ranked[a.Likely].Score >= near*a.Ranked[0].Score {
		a.Likely++
	}
	if !q.asked && a.Likely > 1 {
		a.AskCode = codesOf(a.Ranked[:a.Likely])
	}
	a.Ranked = a.Ranked[:min(len(a.Ranked), max(maxHits, a.Likely))]
}

// codesOf are the numbers of entries, when at least two of the entries have different ones.
func codesOf(hits []Hit) (codes []string) {
	with := 0
	for _, h := range hits {
		if len(h.Entry.Codes) > 0 {
			with++
		}
		codes = append(codes, h.Entry.Codes...)
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	if with < 2 || len(codes) < 2 {
		return nil
	}
	return codes
}

// question is what somebody asks, folded.
type question struct {
	text  string
	words []string
	code  string
	// asked: a number was given, or need not be.
	asked bool
}

// question reads words and finds a number among them.
func (x *index) question(words, code string) question {
	q := question{text: match.FoldText(words), code: code, asked: code != ""}
	for _, w := range split(q.text) {
		switch {
		case q.code == "" && x.codes[w]:
			q.code, q.asked = w, true
		case w != q.code:
			q.words = append(q.words, w)
		}
	}
	return q
}
