package selector

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind is the kind of a token. Those of fixed spelling are that spelling.
type kind string

const (
	wordToken   kind = "a word"
	quotedToken kind = "a quoted value"
	endToken    kind = "the end"
)

// token is a piece of an expression.
type token struct {
	kind kind
	// value is a word's letters, or what a quoted value means.
	value string
	// offset is where it begins, in bytes.
	offset int
}

// symbols are the tokens of fixed spelling, the longer ones first.
var symbols = []kind{"!=", "<=", ">=", "=", "<", ">", "!", "(", ")", ","}

// keywords are the words that are the language's own.
var keywords = []kind{"and", "or", "not", "in", "notin"}

// foreign are spellings of other languages, with what to write here.
var foreign = []struct{ text, advice string }{
	{"==", "write = once"}, {"=~", "there are no patterns; write the values, as in key in (a, b)"},
	{"&&", "write and"}, {"||", "write or"}, {"'", "quote with double quotes"},
}

// scan cuts an expression into tokens. The last one is the end.
func scan(text string) ([]token, error) {
	var tokens []token
	for at := 0; ; {
		at += len(text[at:]) - len(strings.TrimLeft(text[at:], " \t\r\n"))
		if at == len(text) {
			return append(tokens, token{kind: endToken, offset: at}), nil
		}
		t, length, err := next(text, at)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		at += length
	}
}

// next reads the token that begins at a place, and its length in bytes.
func next(text string, at int) (token, int, error) {
	rest := text[at:]
	for _, f := range foreign {
		if strings.HasPrefix(rest, f.text) {
			return token{}, 0, failAt(text, at, "%s is not known here; %s", f.text, f.advice)
		}
	}
	for _, s := range symbols {
		if strings.HasPrefix(rest, string(s)) {
			return token{kind: s, offset: at}, len(s), nil
		}
	}
	if rest[0] == '"' {
		return quoted(text, at)
	}
	length := strings.IndexFunc(rest, func(r rune) bool { return !isBare(r) })
	if length < 0 {
		length = len(rest)
	}
	if length == 0 {
		return token{}, 0, strange(text, at)
	}
	t := token{kind: wordToken, value: rest[:length], offset: at}
	for _, k := range keywords {
		if strings.EqualFold(t.value, string(k)) {
			t.kind = k
		}
	}
	return t, length, nil
}

func strange(text string, at int) *Error {
	r, size := utf8.DecodeRuneInString(text[at:])
	switch {
	case r == utf8.RuneError && size <= 1:
		return failAt(text, at, "a byte that is no UTF-8")
	case !unicode.IsPrint(r):
		return failAt(text, at, "a character that cannot be printed (%U)", r)
	default:
		return failAt(text, at, "%c has no meaning here; within a value, quote the value", r)
	}
}

// isBare tells whether a character may stand in a word without quotes.
func isBare(r rune) bool {
	if r == utf8.RuneError {
		return false
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("_.-/:@+%#", r)
}

// quoted reads a value in quotes.
func quoted(text string, at int) (token, int, error) {
	var value strings.Builder
	for i := at + 1; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"':
			return token{kind: quotedToken, value: value.String(), offset: at}, i + size - at, nil
		case r == '\\':
			if i++; i == len(text) || (text[i] != '"' && text[i] != '\\') {
				return token{}, 0, failAt(text, i-1, `after \ must come " or \`)
			}
			r, size = rune(text[i]), 1
		case (r == utf8.RuneError && size <= 1) || !unicode.IsPrint(r):
			return token{}, 0, strange(text, i)
		}
		value.WriteRune(r)
		i += size
	}
	return token{}, 0, failAt(text, at, "the quote is not closed")
}
