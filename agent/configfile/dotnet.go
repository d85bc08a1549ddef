package configfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Paths of what is read of a .NET configuration file.
const (
	diagnostics = "configuration/system.diagnostics"
	switches    = diagnostics + "/switches"
)

// readSwitches picks the switches. Two of one name are refused: nobody can say which one counts.
func (d *document) readSwitches(elements []*element) error {
	seen := map[string]*element{}
	for _, e := range elements {
		switch path := e.path; path {
		case diagnostics, switches:
			if seen[path] != nil {
				return malformed(lineAt(d.text, e.start.from), "has a second element <%s>", e.name)
			}
			seen[path] = e
		case switches + "/add":
			if err := d.addSwitch(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *document) addSwitch(e *element) error {
	line := lineAt(d.text, e.start.from)
	name, ok := e.attrs["name"]
	if !ok {
		return malformed(line, "has a switch without a name")
	}
	value, ok := e.attrs["value"]
	if !ok {
		return malformed(line, "has switch %q without a value", clip(name.value))
	}
	return d.add(e.start.from, "switch", entry{key: name.value, value: value.value, span: value.span, whole: value.span, quote: value.quote})
}

// readSettings picks the settings that are text. A setting whose name stands in several groups has the group before its name:
// "Nymi.Properties.Settings/Url".
func (d *document) readSettings(elements []*element) error {
	groups := map[string]int{}
	var values []*element
	for _, e := range elements {
		if !isSetting(e) {
			continue
		}
		groups[e.attrs["name"].value]++
		if v := valueOf(e); v != nil {
			values = append(values, v)
		}
	}
	for _, v := range values {
		name := v.parent.attrs["name"].value
		if groups[name] > 1 {
			name = v.parent.parent.name + "/" + name
		}
		if err := d.add(v.start.from, "setting", d.settingEntry(name, v)); err != nil {
			return err
		}
	}
	return nil
}

func isSetting(e *element) bool {
	_, named := e.attrs["name"]
	return e.name == "setting" && named && strings.HasPrefix(e.path, "configuration/") && e.parent.parent != nil
}

// valueOf returns the value of a setting: its only element, which holds no other; nil when it has no such.
func valueOf(setting *element) *element {
	if len(setting.children) != 1 || setting.children[0].name != "value" || len(setting.children[0].children) > 0 {
		return nil
	}
	return setting.children[0]
}

func (d *document) settingEntry(name string, v *element) entry {
	e := entry{key: name, value: v.text.String(), span: v.content, whole: span{v.start.from, v.end.to}, empty: v.empty}
	if !v.plain {
		e.fixed = "holds a comment or a section of raw text, and is edited by hand"
	}
	return e
}

// escaped writes a value as the text of an attribute with this quote, or of an element (0).
func (d *document) escaped(value string, quote byte) (string, error) {
	var out strings.Builder
	for _, r := range value {
		switch {
		case r == utf8.RuneError, r < ' ' && !strings.ContainsRune("\t\n\r", r), r == 0xfffe, r == 0xffff:
			return "", errors.New("holds a character that a file of this kind cannot have")
		case r == '&':
			out.WriteString("&amp;")
		case r == '<':
			out.WriteString("&lt;")
		case r == '>' && quote == 0:
			out.WriteString("&gt;")
		case r == '"' && quote == '"':
			out.WriteString("&quot;")
		case r == '\'' && quote == '\'':
			out.WriteString("&apos;")
		case quote != 0 && r < ' ', r == '\r', d.ascii && r >= 0x80:
			fmt.Fprintf(&out, "&#%d;", r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String(), nil
}
