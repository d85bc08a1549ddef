package logs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/bandfleet/bandfleet/agent/places"
)

// maxNamed bounds how many names of people are known.
const maxNamed = 2000

// Names that Windows gives to profiles of nobody.
func nobodys() []string {
	return []string{"public", "default", "default user", "all users", "defaultapppool", "desktop.ini", "systemprofile"}
}

// names are the names of people of this machine, as far as they are known. They are looked for in small letters.
type names struct {
	mu sync.RWMutex
	// long stand anywhere in a text, short ones by themselves.
	long, short []string
}

func newNames() *names { return &names{} }

// add learns a name as an account or a profile shows it: "CORP\ada.lovelace", "ada@example.org", "ada.CORP.000".
func (n *names) add(name string) {
	all := []string{name}
	all = append(all, strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, part := range all {
		part = fold(clean(part))
		size := utf8.RuneCountInString(part)
		switch {
		case size < 2 || i > 0 && size < 3 || isNumber(part) || len(n.long)+len(n.short) >= maxNamed:
		case size < 4:
			n.short = with(n.short, part)
		default:
			n.long = with(n.long, part)
		}
	}
}

// with adds a text, the longest first, so that no part of a name is masked before the whole.
func with(all []string, text string) []string {
	if slices.Contains(all, text) {
		return all
	}
	all = append(slices.Clone(all), text)
	slices.SortStableFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

func isNumber(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !unicode.IsDigit(r) }) < 0
}

// learnNames asks the machine whose names there are. Who is signed in is asked less often: that takes a call of the system.
func (w *Watcher) learnNames(ctx context.Context) {
	profiles, err := w.cfg.Files.List(ctx, places.Profiles, ".")
	if err == nil {
		for _, name := range profiles {
			if !slices.Contains(nobodys(), strings.ToLower(name)) {
				w.names.add(name)
			}
		}
	}
	if w.cfg.Users == nil || w.scans%8 != 0 {
		return
	}
	sessions, err := w.cfg.Users.Sessions(ctx)
	if err != nil {
		return // the profiles tell most
	}
	for _, s := range sessions {
		w.names.add(s.GetUser())
	}
}

// known returns text with the known names masked.
func (n *names) known(text string) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	folded := fold(text)
	for _, name := range n.long {
		text, folded = replace(text, folded, name, false)
	}
	for _, name := range n.short {
		text, folded = replace(text, folded, name, true)
	}
	return text
}

// replace masks a name in a text and in its folded form, which has the same length.
func replace(text, folded, name string, alone bool) (newText, newFolded string) {
	for from := 0; ; {
		i := strings.Index(folded[from:], name)
		if i < 0 {
			return text, folded
		}
		at, end := from+i, from+i+len(name)
		if alone && !standsAlone(folded, at, end) {
			from = at + 1
			continue
		}
		text, folded = text[:at]+masked+text[end:], folded[:at]+masked+folded[end:]
		from = at + len(masked)
	}
}

func standsAlone(text string, from, to int) bool {
	before, _ := utf8.DecodeLastRuneInString(text[:from])
	after, _ := utf8.DecodeRuneInString(text[to:])
	inWord := func(r rune, there bool) bool { return there && (unicode.IsLetter(r) || unicode.IsDigit(r)) }
	return !inWord(before, from > 0) && !inWord(after, to < len(text))
}

// fold makes letters small where that keeps a text's length.
func fold(text string) string {
	return strings.Map(func(r rune) rune {
		if small := unicode.ToLower(r); utf8.RuneLen(small) == utf8.RuneLen(r) {
			return small
		}
		return r
	}, text)
}

// clean returns a text as one line of valid UTF-8 without characters that nobody sees, or that steer a screen.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.TrimSpace(text)
}
