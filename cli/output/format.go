package output

import (
	"fmt"
	"slices"
	"strings"
)

// Format is a form of output, as chosen by -o.
type Format string

// The formats.
const (
	Table Format = "table"
	Wide  Format = "wide"
	JSON  Format = "json"
	YAML  Format = "yaml"
	Name  Format = "name"
)

// Formats returns all formats, in the order of the help.
func Formats() []Format { return []Format{Table, Wide, JSON, YAML, Name} }

// Machine tells whether the format is for programs: then only the document itself may go to standard output.
func (f Format) Machine() bool { return f == JSON || f == YAML || f == Name }

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Type implements pflag.Value.
func (*Format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *Format) Set(text string) error {
	if !slices.Contains(Formats(), Format(text)) {
		return fmt.Errorf("want one of %s", Names())
	}
	*f = Format(text)
	return nil
}

// Names lists the formats for a help text.
func Names() string {
	names := make([]string, 0, len(Formats()))
	for _, f := range Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, "|")
}
