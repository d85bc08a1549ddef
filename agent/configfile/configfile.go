// Package configfile reads and edits configuration files without touching a byte that is not part of a wanted value: comments, spacing,
// order, line ends, byte order mark and encoding stay as they are. It is pure functions over the bytes of a file: the runner reads and
// writes the file itself. A file that is not what it should be is never edited.
package configfile

import (
	"fmt"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// File is what a configuration file says.
type File struct {
	// Values are in the order of the file. A value is in the text form of the format, as ConfigFormat says.
	Values []*actionv1.ConfigValue
}

// Value returns the value of a key and whether it is there.
func (f *File) Value(key string) (string, bool) {
	for _, v := range f.Values {
		if v.GetKey() == key {
			return v.GetValue(), true
		}
	}
	return "", false
}

// MalformedError says that a file is not what it should be, so that its values cannot be relied on and it is not edited.
type MalformedError struct {
	// Line is where, from 1; 0 when it is the file as a whole.
	Line int
	// Problem is a clause ("element <switches> is not closed").
	Problem string
}

// Error implements error.
func (e *MalformedError) Error() string {
	if e.Line == 0 {
		return e.Problem
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Problem)
}

func malformed(line int, format string, args ...any) error {
	return &MalformedError{Line: line, Problem: fmt.Sprintf(format, args...)}
}

// ConflictError says that a key has not the value that a change expects, so that nothing was changed.
type ConflictError struct {
	Key string
	// Want is what the change expects, Have what is there; nil stands for no such key.
	Want, Have *string
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("key %q: %s, the change expects that it %s", clip(e.Key), sayValue(e.Have), sayValue(e.Want))
}

func sayValue(v *string) string {
	if v == nil {
		return "is not there"
	}
	return "is " + clip(*v)
}

// clip bounds what of a file goes into an error.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Parse reads the keys of a file. A file that is not well formed is a *MalformedError.
func Parse(format actionv1.ConfigFormat, content []byte) (*File, error) {
	d, err := open(format, content)
	if err != nil {
		return nil, err
	}
	f := &File{}
	for _, e := range d.entries {
		f.Values = append(f.Values, &actionv1.ConfigValue{Key: e.key, Value: e.value, Line: uint32(lineAt(d.text, e.span.from))})
	}
	return f, nil
}

// document is a file in UTF-8 with the places of its values.
type document struct {
	format  actionv1.ConfigFormat
	enc     encoding
	text    []byte
	entries []entry
	// tables are the parts of a TOML file; the first is the part before any header.
	tables []table
	// ascii: what is not ASCII must be written as a reference.
	ascii bool
}

// entry is a key with its value in a document.
type entry struct {
	key, value string
	// span is where the value's text is. For an element without content it is empty and stands where its content would.
	span span
	// whole is what is put back when the value is restored from an earlier file: of an element the tags too.
	whole span
	// quote is what encloses the value; 0 outside attributes.
	quote byte
	// empty: an element without content or end tag (<value/>), whose start tag is whole.
	empty bool
	// fixed says why the value cannot be edited; empty when it can.
	fixed string
	// table is the index of the TOML table that it is in.
	table int
}

// span is a part of a text.
type span struct{ from, to int }

func (s span) of(text []byte) []byte { return text[s.from:s.to] }

func open(format actionv1.ConfigFormat, content []byte) (*document, error) {
	text, enc, err := decode(content)
	if err != nil {
		return nil, err
	}
	d := &document{format: format, enc: enc, text: text}
	switch format {
	case actionv1.ConfigFormat_CONFIG_FORMAT_TOML:
		err = d.readTOML()
	case actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES:
		err = d.readXML((*document).readSwitches)
	case actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS:
		err = d.readXML((*document).readSettings)
	default:
		return nil, fmt.Errorf("configuration format %d: is not known to this agent; update the agent", format)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// maxEntries bounds how many keys a file may have, so that an answer always fits into one message.
const maxEntries = 4096

// add adds a value. A second one of the same key is refused: nobody can say which one counts.
func (d *document) add(at int, what string, e entry) error {
	if d.find(e.key) != nil {
		return malformed(lineAt(d.text, at), "has %s %q for the second time", what, clip(e.key))
	}
	if len(d.entries) == maxEntries {
		return malformed(lineAt(d.text, at), "has more than %d keys", maxEntries)
	}
	d.entries = append(d.entries, e)
	return nil
}

func (d *document) find(key string) *entry {
	for i := range d.entries {
		if d.entries[i].key == key {
			return &d.entries[i]
		}
	}
	return nil
}
