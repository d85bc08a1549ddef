package match_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue/match"
)

// rule is a rule for files of class "nem" whose id is its name.
func rule(id, code string, all ...string) *agentv1.LogRule {
	return &agentv1.LogRule{Entry: id, Id: id, FileClass: "nem", Code: code, All: all}
}

// set is rules of which some overlap, as the vendor's texts do.
func set(t testing.TB) *match.Set {
	t.Helper()
	any1 := rule("any", "")
	any1.Any = []string{"the ldap server is unavailable.", "The server could not be contacted."}
	none := rule("none", "", "certificate failed")
	none.None = []string{"retrying"}
	s, err := match.Compile([]*agentv1.LogRule{
		rule("3000", "3000", "Operation timed out"), rule("3010", "3010", "Operation timed out"), rule("timeout", "", "operation timed out"),
		rule("info", "", "Getting band info"), rule("info-failed", "", "Getting band info failed"),
		rule("quotes", "", `This site can’t be reached`), rule("two", "", "could not establish trust", "secure channel"),
		rule("twin-a", "", "something went wrong"), rule("twin-b", "", "something went wrong"), any1, none,
		rule("19", "500.19", "HTTP Error"), rule("404", "404", "returned an error"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ids(hits []match.Hit) string {
	var out []string
	for _, h := range hits {
		id := h.Rule.GetId()
		if h.Joined {
			id += "+"
		}
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

func TestLines(t *testing.T) {
	s := set(t)
	for name, c := range map[string]struct{ line, want string }{
		"the code decides":                   {"2026-01-01 10:00:00,123 Band error: (3000) Operation timed out", "3000"},
		"the other code":                     {"Band error: (3010) Operation timed out", "3010"},
		"no code":                            {"Installer: Operation Timed Out", "timeout"},
		"another code":                       {"Band error: (3020) Operation timed out", "timeout"},
		"a code in a longer number":          {"13000 Operation timed out", "timeout"},
		"a code in a fraction":               {"10:00:00,3000 Operation timed out", "timeout"},
		"a code in a date":                   {"3000-01-01 Operation timed out", "timeout"},
		"a code in a word":                   {"0x3000 x3010 3010ms Operation timed out", "timeout"},
		"a code before a full stop":          {"Operation timed out: 3000.", "3000"},
		"a code in JSON":                     {`{"status":3010,"error":"operation timed out"}`, "3010"},
		"both codes":                         {"3000, then 3010: Operation timed out", "3000 3010"},
		"a code of two numbers":              {"HTTP Error 500.19 - Internal Server Error", "19"},
		"a longer code is another":           {"HTTP Error 500.191; HTTP Error 1500.19", ""},
		"part of another code":               {"The remote server returned an error: 404.3", ""},
		"the longer text":                    {"Getting band info failed", "info-failed"},
		"the shorter text":                   {"Getting band info", "info"},
		"typographic quote in the rule":      {"This site can't be reached", "quotes"},
		"typographic quote in both":          {"This site can’t be reached", "quotes"},
		"quote of Windows' code page":        {"This site can\x92t be reached", "quotes"},
		"runs of blanks":                     {"Getting\t  band\u00a0 info    FAILED.", "info-failed"},
		"control characters":                 {"\x1b[31mGetting b\x00and info\x07 failed\x1b[0m", "info-failed"},
		"invisible characters":               {"Getting ba\u200bnd info \u202efailed", "info-failed"},
		"all texts":                          {"Could not establish trust for the SSL/TLS secure channel", "two"},
		"one of all texts":                   {"Could not establish trust", ""},
		"two entries of one text":            {"Something went wrong", "twin-a twin-b"},
		"any, without its full stop":         {"System.DirectoryServices: the server could not be contacted", "any"},
		"what must not be there is not":      {"certificate failed", "none"},
		"what must not be there":             {"certificate failed, retrying", ""},
		"nothing":                            {"all is well", ""},
		"an empty line":                      {"", ""},
		"what is behind the end is not read": {strings.Repeat("x", match.MaxLine) + "Something went wrong", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ids(s.Line("nem", []byte(c.line))); got != c.want {
				t.Errorf("%q obeys %q, want %q", c.line, got, c.want)
			}
			if got := ids(s.Line("nymi-api", []byte(c.line))); got != "" {
				t.Errorf("in a file of another class %q obeys %q, want nothing", c.line, got)
			}
		})
	}
}

func TestTwoLines(t *testing.T) {
	s := set(t)
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"a text over two lines":          {[]string{"could not establish trust for the SSL/TLS secure", "channel"}, " / two+"},
		"texts on two lines":             {[]string{"secure channel", "could not establish trust"}, " / two+"},
		"the second makes it longer":     {[]string{"Getting band info", "failed"}, "info / info-failed+"},
		"what was told is not repeated":  {[]string{"Getting band info", "Getting band info"}, "info / info"},
		"code before its text":           {[]string{"error (3000)", "Operation timed out"}, " / 3000+"},
		"three lines are not one":        {[]string{"secure channel", "x", "could not establish trust"}, " /  / "},
		"an exclusion on the next line":  {[]string{"certificate failed", "retrying"}, "none / "},
		"an exclusion on the line above": {[]string{"retrying", "certificate failed"}, " / none"},
		"words do not grow together":     {[]string{"Getting ba", "nd info"}, " / "},
	} {
		t.Run(name, func(t *testing.T) {
			stream := s.Stream("nem")
			var got []string
			for _, line := range c.lines {
				got = append(got, ids(stream.Line([]byte(line))))
			}
			if joined := strings.Join(got, " / "); joined != c.want {
				t.Errorf("%q obey %q, want %q", c.lines, joined, c.want)
			}
		})
	}
	if got := ids(s.Joined("nem", []byte("Getting band info"), []byte("failed"))); got != "info-failed+" {
		t.Errorf("Joined says %q, want info-failed", got)
	}
	stream := s.Stream("nem")
	stream.Line([]byte("secure channel"))
	stream.Reset()
	if got := stream.Line([]byte("could not establish trust")); len(got) > 0 {
		t.Errorf("after Reset the line before counts still: %s", ids(got))
	}
}

// longRules have more text together than is allowed, and none of them by itself.
func longRules() (rules []*agentv1.LogRule) {
	for i := range 100 {
		rules = append(rules, rule(fmt.Sprint(i), "", fmt.Sprint(i)+strings.Repeat("ab", 500)))
	}
	return rules
}

func TestBadRulesAreRefused(t *testing.T) {
	none := rule("x", "")
	none.None = []string{"some text"}
	for name, c := range map[string]struct {
		rules []*agentv1.LogRule
		want  string
	}{
		"nothing to look for":       {[]*agentv1.LogRule{rule("x", "")}, "has no text in all or any"},
		"only what must not be":     {[]*agentv1.LogRule{none}, "has no text in all or any"},
		"a code alone":              {[]*agentv1.LogRule{rule("x", "404")}, "a number alone"},
		"a short text":              {[]*agentv1.LogRule{rule("x", "", "err")}, "at least 4 characters"},
		"blanks":                    {[]*agentv1.LogRule{rule("x", "", " \t ")}, "is empty"},
		"a code that is a word":     {[]*agentv1.LogRule{rule("x", "E404", "some text")}, "want a number"},
		"a code that ends in a dot": {[]*agentv1.LogRule{rule("x", "404.", "some text")}, "want a number"},
		"two of one id":             {[]*agentv1.LogRule{rule("x", "", "some text"), rule("x", "", "some text")}, "is there twice"},
		"too many texts":            {[]*agentv1.LogRule{rule("x", "", slices.Repeat([]string{"some text"}, 65)...)}, "at most 64"},
		"a long text":               {[]*agentv1.LogRule{rule("x", "", strings.Repeat("ab", 513))}, "use shorter texts"},
		"too much text":             {longRules(), "use shorter texts"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := match.Compile(c.rules); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Compile says %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestLinesThatObeyNothingCostNoMemory(t *testing.T) {
	s, line := set(t), []byte("2026-01-01 10:00:00 INFO - Getting bands’ information 3000 server could not")
	stream := s.Stream("nem")
	stream.Line(line)
	if n := testing.AllocsPerRun(100, func() { stream.Line(line) }); n != 0 {
		t.Errorf("Stream.Line allocates %v times for a line that obeys nothing, want 0", n)
	}
}

// FuzzLine compares with the definition, text by text, and holds what folding promises.
func FuzzLine(f *testing.F) {
	s := set(f)
	for _, seed := range []string{"Band error: (3000) Operation timed out", "Getting band info", "\xe2\x80", "This site can\x92t be reached", "3000\x00", "…."} {
		f.Add([]byte(seed), []byte("failed"))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		folded := match.Fold(nil, first)
		if len(folded) <= match.MaxLine && string(match.Fold(nil, folded)) != string(folded) {
			t.Fatalf("%q folds to %q, and that to %q: want it to stay", first, folded, match.Fold(nil, folded))
		}
		hits := s.Line("nem", first)
		for _, want := range []string{"something went wrong", "getting band info", "operation timed out"} {
			if strings.Contains(string(folded), want) && len(hits) == 0 {
				t.Fatalf("%q has %q and obeys nothing", first, want)
			}
		}
		for _, h := range hits {
			for _, text := range h.Rule.GetAll() {
				if !strings.Contains(string(folded), match.FoldText(text)) {
					t.Fatalf("%q obeys %s and has no %q", first, h.Rule.GetId(), text)
				}
			}
		}
		for _, h := range s.Joined("nem", first, second) {
			both := string(folded) + " " + string(match.Fold(nil, second))
			for _, text := range h.Rule.GetAll() {
				if !strings.Contains(both, match.FoldText(text)) {
					t.Fatalf("%q and %q obey %s and have no %q", first, second, h.Rule.GetId(), text)
				}
			}
		}
	})
}

func ExampleSet_Line() {
	s, _ := match.Compile([]*agentv1.LogRule{{Entry: "enroll-otp-used", Id: "enroll-otp-used/nem", FileClass: "nem", All: []string{"could not get NEA certificate"}, Code: "2200"}})
	for _, hit := range s.Line("nem", []byte("Band message read error, status: 2200: Could not get NEA certificate from server.")) {
		fmt.Println(hit.Rule.GetEntry())
	}
	// Output: enroll-otp-used
}
