package output

import (
	"fmt"
	"io"
)

// Style is how a piece of text looks on a terminal with colours.
type Style string

// The styles. Their values are the parameters of the terminal's SGR sequence.
const (
	Plain  Style = ""
	Bold   Style = "1"
	Faint  Style = "2"
	Good   Style = "32"
	Bad    Style = "31"
	Doubt  Style = "33"
	Active Style = "36"
)

// Painted is text that is safe to print as it is: escaped already, perhaps with colours.
type Painted string

// Printer writes lines for people.
type Printer struct {
	w     io.Writer
	color bool
	err   error
}

// NewPrinter returns a printer on w, with or without colours.
func NewPrinter(w io.Writer, color bool) *Printer { return &Printer{w: w, color: color} }

// Line writes one line. Every string, error and Stringer among args is escaped; Painted is not.
func (p *Printer) Line(format string, args ...any) {
	p.write(fmt.Sprintf(format, escapeAll(args)...) + "\n")
}

// Raw writes text that is known to be safe.
func (p *Printer) Raw(text Painted) { p.write(string(text)) }

// Paint escapes text and gives it a style, if this printer has colours.
func (p *Printer) Paint(s Style, text string) Painted {
	if !p.color || s == Plain {
		return Painted(Safe(text))
	}
	return Painted("\x1b[" + string(s) + "m" + Safe(text) + "\x1b[0m")
}

// Err returns the first error of writing.
func (p *Printer) Err() error { return p.err }

func (p *Printer) write(text string) {
	if _, err := io.WriteString(p.w, text); err != nil && p.err == nil {
		p.err = err
	}
}

func escapeAll(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case Painted:
			out[i] = string(v)
		case string:
			out[i] = Safe(v)
		case error:
			out[i] = Safe(v.Error())
		case fmt.Stringer:
			out[i] = Safe(v.String())
		default:
			out[i] = a
		}
	}
	return out
}
