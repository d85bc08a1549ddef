package logs

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how a file's bytes are characters.
type encoding int

// The encodings. Narrow is UTF-8, or a code page in which ASCII is ASCII.
const (
	unknown encoding = iota
	narrow
	littleEndian
	bigEndian
)

// enough is how many bytes tell a file's encoding.
const enough = 4

// encodingOf reads a file's first bytes, and says how many of them are a mark. Without a mark, every second byte of ASCII in UTF-16 is zero.
func encodingOf(head []byte) (e encoding, mark int64) {
	switch {
	case bytes.HasPrefix(head, []byte{0xef, 0xbb, 0xbf}):
		return narrow, 3
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}):
		return littleEndian, 2
	case bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return bigEndian, 2
	case len(head) < enough:
		return narrow, 0
	case head[0] != 0 && head[1] == 0 && head[2] != 0 && head[3] == 0:
		return littleEndian, 0
	case head[0] == 0 && head[1] != 0 && head[2] == 0 && head[3] != 0:
		return bigEndian, 0
	}
	return narrow, 0
}

func (e encoding) wide() bool { return e == littleEndian || e == bigEndian }

// unit is how many bytes a line's end has.
func (e encoding) unit() int {
	if e.wide() {
		return 2
	}
	return 1
}

// end finds the first line's end in bytes that begin at one of a character; -1 when there is none.
func (e encoding) end(text []byte) int {
	if !e.wide() {
		return bytes.IndexByte(text, '\n')
	}
	high := 1 // where the zero byte of a line's end is
	if e == bigEndian {
		high = 0
	}
	for from := 0; ; {
		i := bytes.IndexByte(text[from:], '\n')
		if i < 0 {
			return -1
		}
		at := from + i
		begin := at &^ 1
		if begin+1 < len(text) && at-begin == 1-high && text[begin+high] == 0 {
			return begin
		}
		from = at + 1
	}
}

// decode returns a line as UTF-8, in dst if it must be written anew. What is no UTF-8 stays as it is.
func (e encoding) decode(dst, text []byte) []byte {
	if !e.wide() {
		return bytes.TrimSuffix(text, []byte{'\r'})
	}
	dst = dst[:0]
	for len(text) >= 2 {
		r, size := e.character(text)
		text = text[size:]
		dst = utf8.AppendRune(dst, r)
	}
	return bytes.TrimSuffix(dst, []byte{'\r'})
}

// character reads the first character of UTF-16; half of a pair is U+FFFD.
func (e encoding) character(text []byte) (r rune, size int) {
	r = e.unitAt(text)
	if !utf16.IsSurrogate(r) {
		return r, 2
	}
	if len(text) >= 4 {
		if both := utf16.DecodeRune(r, e.unitAt(text[2:])); both != utf8.RuneError {
			return both, 4
		}
	}
	return utf8.RuneError, 2
}

func (e encoding) unitAt(text []byte) rune {
	if e == bigEndian {
		return rune(binary.BigEndian.Uint16(text))
	}
	return rune(binary.LittleEndian.Uint16(text))
}
