package output

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// Document prints a value that is no message of the API as JSON or YAML, with the names of its YAML tags. It is as harmless on a terminal as
// Message.
func (p *Printer) Document(f Format, v any) error {
	text, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	var plain any
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(plain); err != nil {
		return err
	}
	if f != YAML {
		p.write(escapeIn(b.String(), jsonEscape))
		return nil
	}
	block, err := toYAML(escapeIn(b.String(), yamlEscape))
	if err != nil {
		return err
	}
	p.write(escapeIn(block, yamlEscape))
	return nil
}
