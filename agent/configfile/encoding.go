package configfile

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// encoding is how the bytes of a file stand for text. Decoding and encoding again gives the identical bytes.
type encoding struct {
	bom string
	// order is set for UTF-16.
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
}

const (
	bomUTF8    = "\xef\xbb\xbf"
	bomUTF16LE = "\xff\xfe"
	bomUTF16BE = "\xfe\xff"
)

// decode returns a file's text in UTF-8 without its byte order mark.
func decode(content []byte) ([]byte, encoding, error) {
	switch {
	case bytes.HasPrefix(content, []byte(bomUTF8)):
		return checked(content[len(bomUTF8):], encoding{bom: bomUTF8})
	case bytes.HasPrefix(content, []byte(bomUTF16LE)):
		return wide(content, encoding{bom: bomUTF16LE, order: binary.LittleEndian})
	case bytes.HasPrefix(content, []byte(bomUTF16BE)):
		return wide(content, encoding{bom: bomUTF16BE, order: binary.BigEndian})
	default:
		return checked(content, encoding{})
	}
}

// checked refuses bytes that are not UTF-8: they would be in an encoding that nobody named.
func checked(text []byte, enc encoding) ([]byte, encoding, error) {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return nil, enc, malformed(lineAt(text, at), "has a byte that is not UTF-8; save the file as UTF-8")
		}
		at += size
	}
	return text, enc, nil
}

func wide(content []byte, enc encoding) ([]byte, encoding, error) {
	content = content[len(enc.bom):]
	if len(content)%2 != 0 {
		return nil, enc, malformed(0, "is UTF-16 with half a character at its end")
	}
	text := make([]byte, 0, len(content))
	for at := 0; at < len(content); at += 2 {
		unit := rune(enc.order.Uint16(content[at:]))
		if utf16.IsSurrogate(unit) {
			var low rune
			if at += 2; at < len(content) {
				low = rune(enc.order.Uint16(content[at:]))
			}
			if unit = utf16.DecodeRune(unit, low); unit == utf8.RuneError {
				return nil, enc, malformed(lineAt(text, len(text)), "has half a character of UTF-16")
			}
		}
		text = utf8.AppendRune(text, unit)
	}
	return text, enc, nil
}

// encode is the inverse of decode.
func (e encoding) encode(text []byte) []byte {
	content := append(make([]byte, 0, len(e.bom)+2*len(text)), e.bom...)
	if e.order == nil {
		return append(content, text...)
	}
	for _, unit := range utf16.Encode(bytes.Runes(text)) {
		content = e.order.AppendUint16(content, unit)
	}
	return content
}

// lineAt returns the line that a place in a text is on, from 1.
func lineAt(text []byte, at int) int {
	return 1 + bytes.Count(text[:min(at, len(text))], []byte("\n"))
}

// lineStart returns where the line begins that a place is on.
func lineStart(text []byte, at int) int { return 1 + bytes.LastIndexByte(text[:at], '\n') }

// lineEnd returns where the next line begins, or the end of the text.
func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}
