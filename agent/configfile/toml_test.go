package configfile

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	tomlFormat     = actionv1.ConfigFormat_CONFIG_FORMAT_TOML
	switchesFormat = actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES
	settingsFormat = actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS
)

// nbe is a file as a person leaves it: odd spacing, comments that look like keys, mixed line ends, no line end at the end.
const nbe = "# Bluetooth Endpoint\r\n# rssi_cutoff_close = -60 was too far\n" +
	"agent_url = \"ws://127.0.0.1:9120/socket/websocket\"\r\n" +
	"  rssi_window_tap=10   # counts\n\n" +
	"rssi_tap_threshold   =   0# off\r\n" +
	"rssi_cutoff_close = -70\nrssi_cutoff_far = -75 # rssi_cutoff_far = -80"

// change makes a change; "" stands for a key that is not there.
func change(key, before, after string) *actionv1.ConfigChange {
	c := &actionv1.ConfigChange{Key: key}
	if before != "" {
		c.Before = &before
	}
	if after != "" {
		c.After = &after
	}
	return c
}

// values is what a file says, "key=value@line".
func values(t *testing.T, format actionv1.ConfigFormat, content string) map[string]string {
	t.Helper()
	f, err := Parse(format, []byte(content))
	if err != nil {
		t.Fatalf("parse %q: %v", content, err)
	}
	got := map[string]string{}
	for _, v := range f.Values {
		got[v.GetKey()] = v.GetValue()
	}
	return got
}

func TestParseTOML(t *testing.T) {
	f, err := Parse(tomlFormat, []byte(nbe+"\n[log]\nlevel = 'debug'\n\"a b\".c = [1,\n 2]\n[[peer]]\nhost=\"x\"\n[[peer]]\nhost=\"y\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Key, Value string
		Line       uint32
	}
	var got []row
	for _, v := range f.Values {
		got = append(got, row{v.GetKey(), v.GetValue(), v.GetLine()})
	}
	want := []row{
		{"agent_url", `"ws://127.0.0.1:9120/socket/websocket"`, 3}, {"rssi_window_tap", "10", 4}, {"rssi_tap_threshold", "0", 6},
		{"rssi_cutoff_close", "-70", 7}, {"rssi_cutoff_far", "-75", 8}, {"log.level", "'debug'", 10}, {`log."a b".c`, "[1,\n 2]", 11},
		{"peer[0].host", `"x"`, 14}, {"peer[1].host", `"y"`, 16},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values in the order of the file, with the line each (-want +got):\n%s", diff)
	}
}

func TestEditTOML(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		changes []*actionv1.ConfigChange
		want    string
	}{
		"a value among odd spacing": {nbe, []*actionv1.ConfigChange{change("rssi_tap_threshold", "0", "-42")},
			strings.Replace(nbe, "   0# off", "   -42# off", 1)},
		"the last one, without a line end": {nbe, []*actionv1.ConfigChange{change("rssi_cutoff_far", "-75", "-8")},
			strings.Replace(nbe, "-75", "-8", 1)},
		"two at once": {nbe, []*actionv1.ConfigChange{change("rssi_cutoff_far", "-75", "-90"), change("rssi_window_tap", "10", "5")},
			strings.Replace(strings.Replace(nbe, "-75", "-90", 1), "=10 ", "=5 ", 1)},
		"a new key keeps a file without a last line end so": {"a = 1\r\nb = 2", []*actionv1.ConfigChange{change("c", "", "3")},
			"a = 1\r\nb = 2\r\nc = 3"},
		"a new key before the first table": {"# top\na = 1\n\n# of t\n[t]\nx = 1\n", []*actionv1.ConfigChange{change("b", "", "2")},
			"# top\na = 1\nb = 2\n\n# of t\n[t]\nx = 1\n"},
		"a new key where only a table is":      {"# top\r\n[t]\r\nx = 1\r\n", []*actionv1.ConfigChange{change("b", "", "2")}, "# top\r\nb = 2\r\n[t]\r\nx = 1\r\n"},
		"a new key in a table":                 {"[t]\nx = 1\n[u]\n", []*actionv1.ConfigChange{change("t.y", "", "2"), change("u.z", "", "3")}, "[t]\nx = 1\ny = 2\n[u]\nz = 3\n"},
		"a new key in an empty file":           {"", []*actionv1.ConfigChange{change("a", "", "1"), change("b", "", "2")}, "a = 1\nb = 2\n"},
		"a key that goes takes its line along": {"a = 1\r\nb = 2 # b\r\nc = 3\r\n", []*actionv1.ConfigChange{change("b", "2", "")}, "a = 1\r\nc = 3\r\n"},
		"the last key goes":                    {"a = 1\r\nb = 2", []*actionv1.ConfigChange{change("b", "2", "")}, "a = 1"},
		"what looks like it in strings":        {"a = \"b = 1\"\nc = '''\nb = 1\n'''\nb = 1\n", []*actionv1.ConfigChange{change("b", "1", "2")}, "a = \"b = 1\"\nc = '''\nb = 1\n'''\nb = 2\n"},
		"with a byte order mark":               {bomUTF8 + "a = 1\n", []*actionv1.ConfigChange{change("a", "1", "2")}, bomUTF8 + "a = 2\n"},
		"UTF-16LE":                             {"\xff\xfea\x00=\x001\x00\r\x00\n\x00", []*actionv1.ConfigChange{change("a", "1", "23")}, "\xff\xfea\x00=\x002\x003\x00\r\x00\n\x00"},
		"UTF-16BE":                             {"\xfe\xff\x00a\x00=\x001", []*actionv1.ConfigChange{change("a", "1", "2")}, "\xfe\xff\x00a\x00=\x002"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Edit(tomlFormat, []byte(c.content), c.changes)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		change  *actionv1.ConfigChange
		want    string
	}{
		"another value than expected": {"a = 1\n", change("a", "2", "3"), `key "a": is 1, the change expects that it is 2`},
		"a key that is there":         {"a = 1\n", change("a", "", "3"), `key "a": is 1, the change expects that it is not there`},
		"a key that is not there":     {"a = 1\n", change("b", "1", "3"), `key "b": is not there, the change expects that it is 1`},
		"text without quotes":         {"a = 1\n", change("a", "1", "ws://x"), "is not a value of TOML"},
		"a value and a comment":       {"a = 1\n", change("a", "1", "2 # two"), "is not a value of TOML"},
		"two lines":                   {"a = 1\n", change("a", "1", "2\nb = 3"), "is not a value of TOML"},
		"an array":                    {"a = 1\n", change("a", "1", "[2]"), "several values"},
		"an array in the file":        {"a = [1]\n", change("a", "[1]", "2"), "several values"},
		"a bad key":                   {"a = 1\n", change("b c", "", "2"), "is not a key of TOML"},
		"a key that hides a table":    {"[t]\nx = 1\n", change("t", "", "2"), "would not be well formed"},
		"a file that is malformed":    {"a = 1\na = 2\n", change("a", "1", "3"), `line 2: has key "a" for the second time`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Edit(tomlFormat, []byte(c.content), []*actionv1.ConfigChange{c.change})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want it to say %q", err, c.want)
			}
		})
	}
}

func TestMalformedTOML(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		line    int
		want    string
	}{
		"no value":            {"a = 1\nb =\n", 2, ""},
		"curly quotes":        {"a = 1\n\nagent_url = “ws://x”\n", 3, "curly quotes"},
		"not closed":          {"a = \"x\n", 1, ""},
		"twice":               {"a = 1\n[t]\na = 1\na = 2\n", 4, `"t.a"`},
		"a table that is one": {"[t]\na=1\n[t]\nb=2\n", 3, ""},
		"not UTF-8":           {"a = 1\nb = \"\xe9\"\n", 2, "not UTF-8"},
		"too large a number":  {"a = 99999999999999999999\n", 1, ""},
		"half of UTF-16":      {"\xff\xfea", 0, "half a character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tomlFormat, []byte(c.content))
			var m *MalformedError
			if !errors.As(err, &m) || m.Line != c.line || !strings.Contains(m.Problem, c.want) {
				t.Errorf("error is %v, want a malformed file at line %d that says %q", err, c.line, c.want)
			}
		})
	}
}

func TestCarry(t *testing.T) {
	const defaults = "# written at update\r\nagent_url = \"ws://127.0.0.1:9120/socket/websocket\"\r\nrssi_cutoff_close = -70\r\n"
	got, err := Carry([]byte("agent_url='ws://central:80/x'\nrssi_cutoff_close=-50\n"), []byte(defaults), []string{"agent_url", "not_there"})
	want := strings.Replace(defaults, `"ws://127.0.0.1:9120/socket/websocket"`, "'ws://central:80/x'", 1)
	if err != nil || string(got) != want {
		t.Errorf("got  %q, %v\nwant %q", got, err, want)
	}
	if got, err := Carry(nil, []byte(defaults), []string{"agent_url"}); err != nil || string(got) != defaults {
		t.Errorf("with nothing to replace: got %q, %v, want the defaults unchanged", got, err)
	}
	if _, err := Carry([]byte("agent_url = x"), []byte(defaults), []string{"agent_url"}); err == nil {
		t.Error("a file that cannot be read is replaced although a key of it was to be kept")
	}
}

func TestRestore(t *testing.T) {
	changes := []*actionv1.ConfigChange{change("rssi_tap_threshold", "0", ""), change("rssi_window_tap", "10", "7"), change("extra", "", "1")}
	edited, err := Edit(tomlFormat, []byte(nbe), changes)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Restore(tomlFormat, []byte(nbe), edited, changes); err != nil || string(back) != nbe {
		t.Errorf("got  %q, %v\nwant %q", back, err, nbe)
	}
	meanwhile := strings.Replace(string(edited), "-70", "-71", 1)
	want := strings.Replace(nbe, "-70", "-71", 1)
	want = strings.Replace(strings.Replace(want, "rssi_tap_threshold   =   0# off\r\n", "", 1), "# counts\n\n", "# counts\nrssi_tap_threshold   =   0# off\n\n", 1)
	if back, err := Restore(tomlFormat, []byte(nbe), []byte(meanwhile), changes); err != nil || string(back) != want {
		t.Errorf("after somebody's change of another key:\ngot  %q, %v\nwant %q", back, err, want)
	}
	var conflict *ConflictError
	other := strings.Replace(string(edited), "tap=7", "tap=8", 1)
	if _, err := Restore(tomlFormat, []byte(nbe), []byte(other), changes); !errors.As(err, &conflict) || conflict.Key != "rssi_window_tap" {
		t.Errorf("error is %v, want a conflict about the key that somebody else has changed", err)
	}
}

// TestWordsOfErrorsAreText: an error becomes a part of messages and records, which hold nothing else.
func TestWordsOfErrorsAreText(t *testing.T) {
	for at := range 4 {
		value := `"` + strings.Repeat("x", at) + strings.Repeat("ü€", 100) + `"`
		_, err := Edit(tomlFormat, []byte("k = "+value+"\n"), []*actionv1.ConfigChange{{Key: "k", Before: new("1"), After: new("2")}})
		if err == nil || !utf8.ValidString(err.Error()) {
			t.Errorf("error %q, want one in valid UTF-8 that the key has another value", err)
		}
	}
}
