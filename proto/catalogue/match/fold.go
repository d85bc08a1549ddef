package match

import (
	"unicode"
	"unicode/utf8"
)

// What the table of bytes holds besides the byte that stands for a byte.
const (
	drop  = 0
	wide  = 0xff // not ASCII
	blank = ' '
)

// bytesTable says what becomes of each byte: letters are small, control characters are dropped, tabs are blanks.
var bytesTable = func() (t [256]byte) {
	for b := range t {
		switch {
		case b >= utf8.RuneSelf:
			t[b] = wide
		case b == '\t' || b == '\n' || b == '\r' || b == '\v' || b == '\f':
			t[b] = blank
		case b < ' ' || b == 0x7f:
			t[b] = drop
		case b >= 'A' && b <= 'Z':
			t[b] = byte(b) + 'a' - 'A'
		default:
			t[b] = byte(b)
		}
	}
	return t
}()

// Fold appends to dst the form of a line in which texts are compared: small letters, runs of blanks as one, typographic quotes and dashes as
// plain ones, no control characters, no blanks at the ends, and no more than the first MaxLine bytes.
func Fold(dst, line []byte) []byte {
	if len(line) > MaxLine {
		line = line[:MaxLine]
	}
	start := len(dst)
	gap := false
	for i := 0; i < len(line); {
		b := bytesTable[line[i]]
		r, size := rune(b), 1
		if b == wide {
			r, size = runeAt(line[i:])
		}
		i += size
		switch r {
		case drop:
			continue
		case blank:
			gap = true
			continue
		}
		if gap {
			dst = appendGap(dst, start)
			gap = false
		}
		if b != wide {
			dst = append(dst, b)
		} else {
			dst = appendRune(dst, r)
		}
	}
	return dst
}

func appendRune(dst []byte, r rune) []byte {
	if r == '…' {
		return append(dst, "..."...)
	}
	return utf8.AppendRune(dst, r)
}

// appendGap writes a blank between words, and none before the first.
func appendGap(dst []byte, start int) []byte {
	if len(dst) > start {
		return append(dst, blank)
	}
	return dst
}

// FoldText folds a literal. A full stop at its end is optional in lines, so it is left out.
func FoldText(text string) string {
	folded := Fold(nil, []byte(text))
	if n := len(folded); n > 1 && folded[n-1] == '.' && folded[n-2] != '.' {
		folded = Fold(nil, folded[:n-1])
	}
	return string(folded)
}

// runeAt reads a character that is not ASCII, and its size. Bytes that are no UTF-8 are read as Windows' Western European code page where that
// has quotes, dashes and blanks.
func runeAt(text []byte) (rune, int) {
	r, size := utf8.DecodeRune(text)
	if r == utf8.RuneError && size <= 1 {
		return ansi(text[0]), 1
	}
	return plainRune(r), size
}

func ansi(b byte) rune {
	switch b {
	case 0x82, 0x91, 0x92, 0xb4:
		return '\''
	case 0x84, 0x93, 0x94, 0xab, 0xbb:
		return '"'
	case 0x96, 0x97:
		return '-'
	case 0xa0:
		return blank
	case 0xad:
		return drop
	default:
		return '?'
	}
}

// plainRune is what a character stands for.
func plainRune(r rune) rune {
	switch {
	case r == '‘' || r == '’' || r == '‚' || r == '‛' || r == '′' || r == '´' || r == 'ʼ' || r == '‹' || r == '›':
		return '\''
	case r == '“' || r == '”' || r == '„' || r == '‟' || r == '″' || r == '«' || r == '»':
		return '"'
	case r >= '\u2010' && r <= '\u2015' || r == '−' || r == '﹣' || r == '－':
		return '-'
	case r == '\u00ad' || r >= '\u200b' && r <= '\u200f' || r >= '\u202a' && r <= '\u202e' || r >= '\u2060' && r <= '\u2069' || r == '\ufeff':
		return drop // invisible, and some turn the direction of what follows
	case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
		return blank
	case unicode.IsControl(r):
		return drop
	default:
		return unicode.ToLower(r)
	}
}
