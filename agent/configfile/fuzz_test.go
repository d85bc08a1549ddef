package configfile

import (
	"bytes"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// fuzz edits the first key of anything and undoes it: whatever the bytes are, nothing panics, and what is edited is undone to the byte.
func fuzz(f *testing.F, format actionv1.ConfigFormat, value string) {
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := open(format, content)
		if err != nil {
			return
		}
		if again := d.enc.encode(d.text); !bytes.Equal(again, content) {
			t.Fatalf("read and written it is %q, want %q", again, content)
		}
		if len(d.entries) == 0 {
			return
		}
		e := d.entries[0]
		changes := []*actionv1.ConfigChange{{Key: e.key, Before: &e.value, After: &value}}
		edited, err := Edit(format, content, changes)
		if err != nil {
			return
		}
		if back, err := Restore(format, content, edited, changes); err != nil || !bytes.Equal(back, content) {
			t.Fatalf("undone it is %q, %v, want %q", back, err, content)
		}
	})
}

func FuzzTOML(f *testing.F) {
	for _, seed := range []string{nbe, bomUTF8 + nbe, "", "a=1", "[t]\r\n\"x y\".z = 'q' # c", "[[p]]\na=1\n[[p]]\na=2\n[p.q]\nb=3", "a = \"\"\"\nb = 1\n\"\"\"", "a={b=1}", "\xff\xfea\x00=\x001\x00",
		"a = “x”", "a.b=1\n[a]\nc=2", "\"\\u0000\" = 1", "a=1 #\x00", "=", "[", "a = [", "a\r=1"} {
		f.Add([]byte(seed))
	}
	fuzz(f, tomlFormat, "-42")
}

func FuzzSwitches(f *testing.F) {
	for _, seed := range []string{webConfig, bomUTF8 + webConfig, "", "<a", "<a/>", "<a b=c/>", "<a b='&#0;'/>", "<?xml version='1.0' encoding='x'?><a/>", "<!DOCTYPE a><a/>",
		"<configuration><system.diagnostics><switches><add name='a' value='b'/></switches></system.diagnostics></configuration>", "<a:b xmlns:a='x'></a:b>", "<a>]]></a>", "<a b='>' c=\"'\"/>"} {
		f.Add([]byte(seed))
	}
	fuzz(f, switchesFormat, `<"Verbose'&>`)
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(webConfig))
	f.Add([]byte("<configuration><A><setting name='a'><value/></setting><setting name='b'><value>x<!-- y --></value></setting></A></configuration>"))
	fuzz(f, settingsFormat, "a & b")
}
