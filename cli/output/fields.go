package output

import (
	"fmt"
	"strings"
)

// Field is one "name: value" line of a description.
type Field struct {
	Name  string
	Value Painted
}

// Text makes a field of text as it came; it is escaped.
func Text(name, value string) Field { return Field{Name: name, Value: Painted(Safe(orDash(value)))} }

// Fields prints fields below each other, values aligned, indented by indent blanks.
func (p *Printer) Fields(indent int, fields ...Field) {
	width := 0
	for _, f := range fields {
		width = max(width, len(f.Name)+1)
	}
	for _, f := range fields {
		p.write(fmt.Sprintf("%s%-*s  %s\n", strings.Repeat(" ", indent), width, f.Name+":", f.Value))
	}
}
