package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Message prints a message of the API as protojson (or the same as YAML). It is valid JSON and harmless on a terminal:
// runes that a terminal could obey are written as \u escapes.
func (p *Printer) Message(f Format, m proto.Message) error {
	text, err := marshal(m)
	if err != nil {
		return err
	}
	if f != YAML {
		p.write(escapeIn(text, jsonEscape))
		return nil
	}
	// Escaped before and after: YAML neither reads nor writes all of these runes as they are.
	block, err := toYAML(escapeIn(text, yamlEscape))
	if err != nil {
		return err
	}
	p.write(escapeIn(block, yamlEscape))
	return nil
}

// marshal goes through json.Indent because protojson varies its white space on purpose.
func marshal(m proto.Message) (string, error) {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: false}.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("message %s as JSON: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", err
	}
	b.WriteByte('\n')
	return b.String(), nil
}

// toYAML keeps the order of keys: JSON is read as the YAML that it is, and written in block style.
func toYAML(text string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	blockStyle(&doc)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return "", err
	}
	err := e.Close()
	return b.String(), err
}

// blockStyle leaves double quotes where escapes are needed: only there are they understood.
func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || isSafe(n.Value) {
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// escapeIn replaces what is unsafe in a text in which it can only stand inside double quotes.
func escapeIn(text string, escape func(rune) string) string {
	if strings.IndexFunc(text, unsafeInText) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unsafeInText(r) {
			b.WriteString(escape(r))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unsafeInText(r rune) bool { return r != '\n' && unsafe(r) }

func jsonEscape(r rune) string {
	if r > 0xffff {
		hi, lo := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, hi, lo)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

func yamlEscape(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
