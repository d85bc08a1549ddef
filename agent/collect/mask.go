package collect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Masked is what stands in place of a secret.
const Masked = "***"

// Names that mean a secret, in any case, within longer names too.
const secretWords = `(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|connection|apikey|private|salt|machinekey|validationkey|decryptionkey|encryptionkey|accesskey|sharedkey|licen[cs]ekey)` //nolint:gosec // names, no secret

var (
	// section is all that connects to databases: every value in it goes.
	section = regexp.MustCompile(`(?is)<connectionStrings\b.*?(?:</connectionStrings\s*>|\z)`)
	// anyValue is the value of an attribute.
	anyValue = regexp.MustCompile(`(?s)([\w.:-]+\s*=\s*)("[^"]*"|'[^']*')`)
	// secretAttribute is an attribute that is named for a secret, quoted or not.
	secretAttribute = regexp.MustCompile(`(?is)\b([\w.:-]*` + secretWords + `[\w.:-]*\s*=\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s;"'<>]+)`)
	// element is a tag that names something and gives its value.
	element = regexp.MustCompile(`(?is)<[\w.:-]+\b[^<>]*?\b(?:key|name)\s*=\s*["'][^"']*` + secretWords + `[^"']*["'][^<>]*>`)
	value   = regexp.MustCompile(`(?is)(\bvalue\s*=\s*)("[^"]*"|'[^']*')`)
	// setting is an element that is named for a secret, with its content.
	setting = regexp.MustCompile(`(?is)(<setting\b[^<>]*\bname\s*=\s*["'][^"']*` + secretWords + `[^"']*["'][^<>]*>\s*<value\b[^<>]*>)(.*?)(</value\s*>|\z)`)
	named   = regexp.MustCompile(`(?is)(<([\w.:-]*` + secretWords + `[\w.:-]*)\b[^<>]*>)([^<>]+)(</)`)
	// address holds a name and a password before its host.
	address = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://[^/\s:@"'<>]+:)([^@/\s"'<>]+)(@)`)
)

// mask replaces the secrets of a configuration file (XML, TOML, ini) and counts them. It masks too much rather than too little. The
// result is UTF-8. Errors: a file that is no text cannot be masked.
func mask(content []byte) ([]byte, int, error) {
	text, err := decode(content)
	if err != nil {
		return nil, 0, err
	}
	total := 0
	// What is badly formed may show another secret once one is gone.
	for range passes {
		m := &masker{}
		if text = m.pass(text); m.count == 0 {
			return []byte(text), total, nil
		}
		total += m.count
	}
	return nil, 0, errors.New("it is formed so badly that no end of its secrets is found")
}

// MaskLine masks the secrets of one line of text that is no file of its own, in the same way. A line that is formed so badly that no end of
// its secrets is found is masked whole.
func MaskLine(line string) string {
	for range passes {
		m := &masker{}
		if line = m.pass(line); m.count == 0 {
			return line
		}
	}
	return Masked
}

// passes bounds how often a text is gone through.
const passes = 8

// masker counts what it masks.
type masker struct{ count int }

// pass masks what is found in one go.
func (m *masker) pass(text string) string {
	text = section.ReplaceAllStringFunc(text, func(s string) string { return m.keep(anyValue, s, 1) })
	text = element.ReplaceAllStringFunc(text, func(s string) string { return m.keep(value, s, 1) })
	text = m.between(setting, text)
	text = m.between(named, text)
	text = m.keep(secretAttribute, text, 1)
	return m.between(address, text)
}

// keep replaces each match by its group n and the mask, in the quotes that the value had.
func (m *masker) keep(pattern *regexp.Regexp, text string, n int) string {
	return pattern.ReplaceAllStringFunc(text, func(s string) string {
		groups := pattern.FindStringSubmatch(s)
		old := groups[n+1]
		quote := ""
		if old[0] == '"' || old[0] == '\'' {
			quote = old[:1]
		}
		if strings.Trim(old, `"'`) == Masked || old == quote+quote && quote != "" {
			return s
		}
		m.count++
		return groups[n] + quote + Masked + quote
	})
}

// between replaces what stands between the first and the last group of each match.
func (m *masker) between(pattern *regexp.Regexp, text string) string {
	return pattern.ReplaceAllStringFunc(text, func(s string) string {
		groups := pattern.FindStringSubmatch(s)
		last := groups[len(groups)-1]
		inner := s[len(groups[1]) : len(s)-len(last)]
		if strings.TrimSpace(inner) == "" || inner == Masked {
			return s
		}
		m.count++
		return groups[1] + Masked + last
	})
}

var errNoText = errors.New("it is no text in UTF-8 or UTF-16")

// decode reads UTF-8, with or without a mark, and UTF-16 with one.
func decode(content []byte) (string, error) {
	switch {
	case bytes.HasPrefix(content, []byte{0xff, 0xfe}):
		return decode16(content[2:], binary.LittleEndian)
	case bytes.HasPrefix(content, []byte{0xfe, 0xff}):
		return decode16(content[2:], binary.BigEndian)
	}
	content = bytes.TrimPrefix(content, []byte{0xef, 0xbb, 0xbf})
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return "", errNoText
	}
	return string(content), nil
}

func decode16(content []byte, order binary.ByteOrder) (string, error) {
	if len(content)%2 != 0 {
		return "", errors.New("it is cut within a character")
	}
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = order.Uint16(content[2*i:])
	}
	text := string(utf16.Decode(units))
	if strings.ContainsRune(text, 0) {
		return "", errNoText
	}
	return text, nil
}
