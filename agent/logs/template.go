package logs

import (
	"strings"
	"unicode"
)

// maxTemplate is how long a template may be, in bytes.
const maxTemplate = 300

// number stands in a template for whatever has a digit in it: numbers, times, ids, hashes.
const number = "#"

// template returns what a line has in common with others of its kind: names, numbers, ids, paths and quoted words are masked.
func template(line string, n *names) string {
	t := &templater{}
	text := n.known(clean(line))
	for text != "" && t.out.Len() < maxTemplate {
		text = t.next(text)
	}
	return cut(strings.TrimSpace(n.known(t.out.String())), maxTemplate)
}

// templater writes a template.
type templater struct {
	out strings.Builder
	// named: what comes next is a name or a secret, since the word before says so; listed: the words after it may be the rest of the name.
	named, listed bool
	quote         rune
	gap           bool
}

// next takes one character or one word of a text and returns the rest.
func (t *templater) next(text string) string {
	end := strings.IndexFunc(text, isBoundary)
	if end < 0 {
		end = len(text)
	}
	if end > 0 {
		t.word(text[:end], text[end:])
		return text[end:]
	}
	r := rune(text[0]) // boundaries are ASCII
	if r == ' ' {
		t.gap = true
		return text[1:]
	}
	t.space()
	if (r == ':' || r == '=') && t.named {
		t.listed = true
	}
	t.quoted(r)
	t.out.WriteRune(r)
	return text[1:]
}

func isBoundary(r rune) bool { return r < 0x80 && strings.ContainsRune(" \"'()[]{}<>,;:=|", r) }

// quoted notes the quotes that a word stands in.
func (t *templater) quoted(r rune) {
	switch {
	case r != '"' && r != '\'':
		t.quote = 0
	case t.quote == r:
		t.quote = 0
	default:
		t.quote = r
	}
}

// word writes a word, or what stands for it.
func (t *templater) word(word, after string) {
	t.space()
	mask := t.stands(word, after)
	if mask == word {
		t.listed = false
		t.named = tellsName(word)
	} else {
		// "Ada Lovelace" after "user:" is one name.
		t.named = t.listed
	}
	t.out.WriteString(mask)
	if t.quote != 0 && (after == "" || rune(after[0]) != t.quote) {
		t.quote = 0 // more than one word: a text
	}
}

// stands is what stands for a word in the template.
func (t *templater) stands(word, after string) string {
	switch {
	case strings.ContainsAny(word, `\@*`) || len(word) > 32 || strings.Count(word, "/") > 1:
		return masked
	case t.named && t.listed && !startsLarge(word) && strings.HasSuffix(t.out.String(), masked):
		return word
	case t.named && (t.listed || !isPlain(word)):
		return masked
	case strings.IndexFunc(word, unicode.IsDigit) >= 0 || isHex(word):
		return number
	case t.quote != 0 && after != "" && rune(after[0]) == t.quote && !strings.HasPrefix(after[1:], ":"):
		return masked
	}
	return word
}

func startsLarge(word string) bool {
	for _, r := range word {
		return unicode.IsUpper(r)
	}
	return false
}

// isHex says whether a word of letters is likely to be a number.
func isHex(word string) bool {
	return len(word) >= 8 && strings.Trim(word, "abcdefABCDEF-") == ""
}

// tellsName says whether a name or a secret follows a word.
func tellsName(word string) bool {
	word = strings.ToLower(word)
	for _, w := range []string{"user", "login", "logon", "account", "operator", "employee", "person", "owner", "upn", "principal", "surname", "givenname", "password", "pwd", "secret", "token", "bearer", "otp", "cn"} {
		if word == w || strings.HasPrefix(word, "user") && strings.HasSuffix(word, "name") || strings.HasSuffix(word, "_name") || strings.HasSuffix(word, "accountname") {
			return true
		}
	}
	return false
}

func (t *templater) space() {
	if t.gap && t.out.Len() > 0 {
		t.out.WriteByte(' ')
	}
	t.gap = false
}
