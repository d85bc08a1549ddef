package explain

import (
	"math"
	"strings"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// Weights of where a word of the question stands in an entry.
const (
	weightSays   = 1.0
	weightWords  = 0.95
	weightTitle  = 0.9
	weightID     = 0.8
	weightOther  = 0.6
	weightCauses = 0.5
)

// field is a text of an entry.
type field struct {
	name   string
	text   string
	words  []string
	weight float64
	// phrase: it is what a screen shows or what people say, so that it counts as a whole.
	phrase bool
}

// entryText is an entry as it is searched.
type entryText struct {
	entry  *catalogue.Entry
	fields []field
}

// index is a catalogue as it is searched.
type index struct {
	texts []entryText
	// in counts the entries that have a word.
	in    map[string]int
	codes map[string]bool
}

func newIndex(c *catalogue.Catalogue) *index {
	x := &index{in: map[string]int{}, codes: map[string]bool{}}
	for _, e := range c.Entries() {
		t := textOf(e)
		seen := map[string]bool{}
		for _, f := range t.fields {
			for _, w := range f.words {
				if !seen[w] {
					seen[w] = true
					x.in[w]++
				}
			}
		}
		for _, code := range e.Codes {
			x.codes[code] = true
		}
		x.texts = append(x.texts, t)
	}
	return x
}

func textOf(e *catalogue.Entry) entryText {
	t := entryText{entry: e}
	add := func(name string, weight float64, phrase bool, texts ...string) {
		for _, text := range texts {
			folded := match.FoldText(text)
			t.fields = append(t.fields, field{name, folded, split(folded), weight, phrase})
		}
	}
	add("its text", weightSays, true, e.Says...)
	add("its words", weightWords, true, e.Words...)
	add("its title", weightTitle, false, e.Title)
	add("its id", weightID, true, e.ID, strings.ReplaceAll(e.ID, "-", " "))
	add("its symptom", weightOther, false, e.Symptom)
	add("its causes", weightCauses, false, e.Causes...)
	return t
}

// rarity is how much a word says: one that few entries have says more.
func (x *index) rarity(word string) float64 {
	return math.Log(1 + float64(len(x.texts)+1)/float64(x.in[word]+1))
}

// split cuts a folded text into words. What people say in passing is left out.
func split(text string) (words []string) {
	for _, w := range strings.FieldsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '.' && r < 0x80
	}) {
		if w = strings.Trim(w, "."); w != "" && !passing(w) {
			words = append(words, w)
		}
	}
	return words
}

func passing(word string) bool {
	switch word {
	case "a", "an", "the", "is", "are", "was", "be", "to", "of", "in", "on", "at", "it", "its", "and", "or", "my", "your", "i", "we", "he", "she", "you",
		"this", "that", "with", "for", "by", "from", "has", "have", "as", "what", "why", "how", "says", "say", "please", "help", "there", "some":
		return true
	}
	return false
}
