package explain

import (
	"fmt"
	"slices"
	"strings"
)

// score is how well an entry fits a question.
func (x *index) score(q question, t *entryText) Hit {
	h := Hit{Entry: t.entry}
	h.Score, h.Why = x.wordScore(q, t)
	if q.code == "" {
		return h
	}
	switch has := slices.Contains(t.entry.Codes, q.code); {
	case has && (len(q.words) == 0 || h.Score >= least):
		h.Score, h.Why = codeScore+h.Score, "the number "+q.code+join(h.Why)
	case has:
		h.Score, h.Why = codeScore, "the number "+q.code
	case len(t.entry.Codes) > 0 || x.codes[q.code]:
		// Another number, or none where the number that was given is one that entries have.
		h.Score, h.Why = h.Score*otherCode, h.Why+", but not the number "+q.code
	}
	return h
}

// otherCode is what is left of a score when the number is another one.
const otherCode = 0.4

func join(why string) string {
	if why == "" {
		return ""
	}
	return " and " + why
}

// wordScore is the better of the phrase and the words.
func (x *index) wordScore(q question, t *entryText) (score float64, why string) {
	if len(q.words) == 0 {
		return 0, ""
	}
	for i := range t.fields {
		if s := phraseScore(q, &t.fields[i]); s > score {
			score, why = s, fmt.Sprintf("%s %q", t.fields[i].name, shortened(t.fields[i].text))
		}
	}
	if s, found := x.eachWord(q, t); s > score {
		score, why = s, "the words "+strings.Join(found, ", ")
	}
	return score, why
}

const maxShown = 80

func shortened(text string) string {
	runes := []rune(text)
	if len(runes) <= maxShown {
		return text
	}
	return string(runes[:maxShown-1]) + "…"
}

// Scores of phrases. What is said word for word is surer than any words; of two that are part of the question the longer is meant.
const (
	phraseWhole  = 1.0
	phraseNearly = 0.97 // but for words that people say in passing
	phraseInside = 0.8
	phraseHolds  = 0.7
	minPhrase    = 6
)

// phraseScore compares the question as a whole with a text that is shown or said.
func phraseScore(q question, f *field) float64 {
	asked, text := strings.Join(q.words, " "), strings.Join(f.words, " ")
	if !f.phrase || len(text) < minPhrase && len(f.words) < 2 || text == "" || asked == "" {
		return 0
	}
	share := func(part, whole string) float64 { return float64(len(part)) / float64(len(whole)) }
	switch {
	case q.text == f.text:
		return phraseWhole * f.weight
	case asked == text:
		return phraseNearly * f.weight
	case holds(asked, text):
		return (phraseInside + (phraseWhole-phraseInside)*share(text, asked)) * f.weight
	case holds(text, asked) && len(q.words) > 1:
		return (phraseHolds + (phraseWhole-phraseHolds)*share(asked, text)) * f.weight
	}
	return 0
}

// holds says whether whole words of a text are a part of it.
func holds(text, part string) bool { return strings.Contains(" "+text+" ", " "+part+" ") }

// eachWord is the share of the question's words that an entry has, by how much each says.
func (x *index) eachWord(q question, t *entryText) (score float64, found []string) {
	all := 0.0
	for _, w := range q.words {
		rarity := x.rarity(w)
		best, as := bestWord(w, t)
		all += rarity
		score += rarity * best
		if best > 0 && !slices.Contains(found, as) {
			found = append(found, as)
		}
	}
	return wordsAlone * score / all, found
}

// wordsAlone keeps words in any order below what is said word for word.
const wordsAlone = 0.9

// bestWord is how well an entry has a word, and which of its words that is.
func bestWord(word string, t *entryText) (best float64, as string) {
	for i := range t.fields {
		f := &t.fields[i]
		if f.weight <= best {
			continue
		}
		for _, w := range f.words {
			if s := alike(word, w) * f.weight; s > best {
				best, as = s, w
			}
		}
	}
	return best, as
}
