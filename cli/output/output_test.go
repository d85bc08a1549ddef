package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestSafe(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"lyon-01", "lyon-01"},
		{"Zürich 東京 é", "Zürich 東京 é"},
		{`C:\Nymi`, `C:\Nymi`},
		{"a\x1b[2Jb", `a\x1b[2Jb`},
		{"a\nb\tc\rd", `a\nb\tc\rd`},
		{"\u009b31m", `\u009b31m`},
		{"abc\u202edef", `abc\u202edef`},
		{"a\u200bb", `a\u200bb`},
		{"a\u2028b", `a\u2028b`},
		{"\xff\xfe", `\xff\xfe`},
		{"\U000e0041", `\U000e0041`},
	} {
		if got := Safe(c.in); got != c.want {
			t.Errorf("Safe(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestNothingUnsafeIsPrintedWhateverComes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hostile := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		var b bytes.Buffer
		p := NewPrinter(&b, false)
		p.Line("%s %s %v", hostile, errors.New(hostile), p.Paint(Bad, hostile))
		p.Fields(2, Text("name", hostile))
		Rows(p, true, []Column[string]{{Title: "NAME", Text: func(s string) string { return s }}}, []string{hostile})
		if i := strings.IndexFunc(b.String(), func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }); i >= 0 {
			t.Fatalf("%q holds an unsafe rune at %d: a terminal would obey it", b.String(), i)
		}
		if n := strings.Count(b.String(), "\n"); n != 4 {
			t.Fatalf("%d lines, want 4: a name must not be able to forge a line", n)
		}
	})
}

func TestMessageIsTheSameInEveryForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &fleetv1.Terminal{
			Id: "T-1", Name: rapid.String().Draw(t, "name"),
			Labels: map[string]string{rapid.String().Draw(t, "key"): rapid.String().Draw(t, "value")},
			Online: true, LastSeen: timestamppb.New(time.Unix(1790000000, 0)),
		}
		for _, f := range []Format{JSON, YAML} {
			var b bytes.Buffer
			if err := NewPrinter(&b, true).Message(f, want); err != nil {
				t.Fatalf("%s of %q: %v", f, want, err)
			}
			if i := strings.IndexFunc(b.String(), unsafeInText); i >= 0 {
				t.Fatalf("%s %q holds an unsafe rune at %d", f, b.String(), i)
			}
			got := &fleetv1.Terminal{}
			if err := protojson.Unmarshal(asJSON(t, f, b.Bytes()), got); err != nil {
				t.Fatalf("%s %q cannot be read back: %v", f, b.String(), err)
			}
			if !proto.Equal(got, want) {
				t.Fatalf("%s read back is %v, want %v", f, got, want)
			}
		}
	})
}

func asJSON(t *rapid.T, f Format, text []byte) []byte {
	if f == JSON {
		return text
	}
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatalf("%q is no YAML: %v", text, err)
	}
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestDurationsAndAges(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"}, {420 * time.Millisecond, "420ms"}, {4200 * time.Millisecond, "4.2s"}, {30 * time.Second, "30s"},
		{90 * time.Second, "1m30s"}, {3 * time.Minute, "3m"}, {5*time.Hour + 10*time.Minute, "5h10m"}, {72 * time.Hour, "3d"},
		{-2 * time.Second, "-2s"},
	} {
		if got := Duration(c.d); got != c.want {
			t.Errorf("Duration(%v) = %q, want %q", c.d, got, c.want)
		}
	}
	now := time.Unix(1790000000, 0)
	for _, c := range []struct {
		t    *timestamppb.Timestamp
		want string
	}{
		{nil, ""}, {timestamppb.New(now), "now"}, {timestamppb.New(now.Add(-5 * time.Minute)), "5m ago"}, {timestamppb.New(now.Add(time.Hour)), "in 1h"},
	} {
		if got := Ago(c.t, now); got != c.want {
			t.Errorf("Ago(%v) = %q, want %q", c.t, got, c.want)
		}
	}
}

func TestLiveCutsLinesAndRedrawsOnlyItsOwn(t *testing.T) {
	var b bytes.Buffer
	l := NewLive(&b, func() (int, int) { return 20, 4 })
	p := NewPrinter(&b, true)
	lines := []Painted{p.Paint(Good, strings.Repeat("x", 50)), "two", "three", "four", "five"}
	if err := l.Draw(lines); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "\n"); n != 3 {
		t.Errorf("%d lines drawn in a terminal of 4, want 3: more would scroll and could not be erased", n)
	}
	if n := strings.Count(b.String(), "x"); n != 19 {
		t.Errorf("%d characters of a long line in a terminal of 20, want 19: a wrapped line could not be erased", n)
	}
	b.Reset()
	if err := l.Draw(lines[:1]); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "\x1b[3F\x1b[J") {
		t.Errorf("second drawing begins with %q, want the move over the 3 lines before", b.String()[:min(10, b.Len())])
	}
	b.Reset()
	if err := l.Clear(); err != nil || b.String() != "\x1b[1F\x1b[J" {
		t.Errorf("clearing wrote %q (%v), want the one line erased", b.String(), err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestPrinterKeepsTheErrorOfWriting(t *testing.T) {
	p := NewPrinter(fullDisk{}, false)
	p.Line("token")
	if p.Err() == nil {
		t.Error("no error after a failed write: a script would take an empty file for success")
	}
}
