package configfile

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// bits draws files from small parts, as people and programs leave them.
type bits struct{ *rapid.T }

func (b bits) one(label string, of ...string) string { return rapid.SampledFrom(of).Draw(b.T, label) }

func (b bits) end() string { return b.one("line end", "\n", "\r\n") }

// blanks is what may stand between two tokens of a line.
func (b bits) blanks() string { return b.one("blanks", "", " ", "\t", "   ") }

// tomlValue is a single value.
func (b bits) tomlValue() string {
	return b.one("value", "0", "-42", "3.5", "true", `"a # b = 1"`, `'c:\x'`, "\"\"\"\nb = 1\r\n\"\"\"", `"é\u00e9"`, "1979-05-27")
}

// toml draws a file whose keys are the letters from a on.
func (b bits) toml() string {
	var file strings.Builder
	for i := range rapid.IntRange(0, 6).Draw(b.T, "keys") {
		if b.one("between", "", "comment", "table") == "table" {
			fmt.Fprintf(&file, "%s[t%d]%s", b.blanks(), i, b.end())
		}
		fmt.Fprintf(&file, "%s# %c = 7%s%s", b.blanks(), 'a'+i, b.end(), b.one("empty line", "", "\n", "\r\n"))
		fmt.Fprintf(&file, "%s%c%s=%s%s%s%s", b.blanks(), 'a'+i, b.blanks(), b.blanks(), b.tomlValue(), b.one("comment", "", " # 1", "#"), b.end())
	}
	return b.cut(file.String())
}

// cut takes the last line end away, or not.
func (b bits) cut(file string) string {
	if b.one("last line end", "kept", "missing") == "missing" {
		return strings.TrimRight(file, "\r\n")
	}
	return file
}

func (b bits) xmlValue() string {
	return b.one("value", "Error", "", "a &amp; b", "it&#39;s", "&#x41;", "&quot;&lt;", "ö", "a>b")
}

// web draws a .NET configuration file with switches and settings whose names are the letters from a on.
func (b bits) web() string {
	var file strings.Builder
	n := rapid.IntRange(0, 4).Draw(b.T, "keys")
	file.WriteString(b.one("declaration", "", "<?xml version=\"1.0\"?>\r\n") + "<configuration>" + b.end())
	file.WriteString("<!-- <add name='a' value='z'/> --><system.diagnostics" + b.blanks() + ">" + b.end() + "<switches>")
	for i := range n {
		q := b.one("quote", `"`, `'`)
		fmt.Fprintf(&file, "%s<add%s name=%s%c%s%s value%s=%s%s%s%s", b.end(), b.blanks(), q, 'a'+i, q, b.blanks(), b.blanks(), b.blanks(), q, b.xmlValue(), q)
		file.WriteString(b.blanks() + b.one("closing", "/>", "></add>"))
	}
	file.WriteString("</switches></system.diagnostics>" + b.end() + "<applicationSettings><A>")
	for i := range n {
		fmt.Fprintf(&file, "%s<setting name=\"%c\">%s", b.end(), 'a'+i, b.blanks())
		file.WriteString(b.one("content", "<value/>", "<value />", "<value>"+b.xmlValue()+"</value>", "<value\n>"+b.xmlValue()+"</value >") + "</setting>")
	}
	return b.cut(file.String() + "</A></applicationSettings></configuration>" + b.end())
}

// encoded is a text in one of the encodings.
func (b bits) encoded(text string) []byte {
	_, enc, _ := decode([]byte(b.one("mark", "", bomUTF8, bomUTF16LE, bomUTF16BE)))
	return enc.encode([]byte(text))
}

// changes draws changes of some keys, and for TOML of new ones too.
func (b bits) changes(format actionv1.ConfigFormat, f *File) []*actionv1.ConfigChange {
	var changes []*actionv1.ConfigChange
	toml := format == tomlFormat
	for _, v := range f.Values {
		c := &actionv1.ConfigChange{Key: v.GetKey(), Before: text(v.GetValue()), After: text(b.one("new value", "Verbose", `<"&'>`, ""))}
		if toml {
			c.After = text(b.tomlValue())
		}
		what := b.one("what", "change", "leave", "remove")
		if toml && what == "remove" {
			c.After = nil
		}
		if what != "leave" {
			changes = append(changes, c)
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(b.T, "new keys") {
		if toml {
			changes = append(changes, &actionv1.ConfigChange{Key: fmt.Sprintf("new%d", i), After: text(b.tomlValue())})
		}
	}
	return changes
}

func (b bits) file() (actionv1.ConfigFormat, []byte) {
	format := rapid.SampledFrom([]actionv1.ConfigFormat{tomlFormat, switchesFormat, settingsFormat}).Draw(b.T, "format")
	if format == tomlFormat {
		return format, b.encoded(b.toml())
	}
	return format, b.encoded(b.web())
}

func TestAnyEditChangesItsValuesAndIsUndoneToTheByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := bits{rt}
		format, content := b.file()
		before, err := Parse(format, content)
		if err != nil {
			rt.Fatalf("the file that was drawn is refused: %v", err)
		}
		changes := b.changes(format, before)
		if len(changes) == 0 {
			return
		}
		was := bytes.Clone(content)
		edited, err := Edit(format, content, changes)
		if err != nil {
			rt.Fatalf("an edit is refused: %v", err)
		}
		back, err := Restore(format, content, edited, changes)
		if err != nil || !bytes.Equal(back, was) {
			rt.Fatalf("undone it is %q, %v\nwant %q", back, err, was)
		}
		if !bytes.Equal(content, was) {
			rt.Fatalf("the file itself was written to: %q, want %q", content, was)
		}
	})
}

// TestOnlyTheSpansOfValuesDiffer changes single values, so that what stands before and behind is known.
func TestOnlyTheSpansOfValuesDiffer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := bits{rt}
		format, content := b.file()
		d, err := open(format, content)
		if err != nil || len(d.entries) == 0 {
			return
		}
		e := rapid.SampledFrom(d.entries).Draw(rt, "key")
		value := "4"
		edited, err := Edit(format, content, []*actionv1.ConfigChange{{Key: e.key, Before: &e.value, After: &value}})
		if err != nil {
			rt.Fatal(err)
		}
		head, tail := d.enc.encode(d.text[:e.span.from]), d.enc.encode(d.text[e.span.to:])
		if e.empty {
			head = d.enc.encode(d.text[:e.span.from-len("/>")])
		}
		tail = tail[len(d.enc.bom):]
		if !bytes.HasPrefix(edited, head) || !bytes.HasSuffix(edited, tail) {
			rt.Fatalf("more than the value of %q has changed:\n%q\nwas\n%q", e.key, edited, content)
		}
		back, err := Edit(format, edited, []*actionv1.ConfigChange{{Key: e.key, Before: &value, After: &e.value}})
		if err != nil {
			rt.Fatal(err)
		}
		if format == tomlFormat && !bytes.Equal(back, content) {
			rt.Fatalf("the inverse edit gives %q, want %q", back, content)
		}
	})
}
