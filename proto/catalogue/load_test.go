package catalogue

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// small is a chapter of two entries.
const small = `
entries:
  - id: nbe-missing
    title: The endpoint does not run
    symptom: The application says so.
    chapter: Nymi Band Application
    target: terminal
    says: [Nymi Bluetooth Endpoint is missing]
    detect:
      state:
        - all: [{signal: endpoint-service, is: [stopped]}]
          for: 5s
    remedy:
      kind: auto
      steps: [{action: ble-restart, params: {mode: ensure-running}}]
    verify: It runs.
  - id: enroll-otp-used
    title: The one-time password was used up
    symptom: No certificates.
    chapter: Enrolment
    target: terminal
    detect:
      logs:
        - name: nem
          file: nem
          all: [band message read error]
          code: "2200"
          confidence: guide
          samples: ["Band message read error, status: 2200"]
    remedy: {kind: guided}
    person: {assignee: nes-administrator, steps: [{do: Make another.}]}
    verify: Certificates are there.
`

func parseSmall(t *testing.T) *Catalogue {
	t.Helper()
	c, err := Read(fstest.MapFS{"e/a.yaml": {Data: []byte(small)}}, "e")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEntriesBecomeRules(t *testing.T) {
	c := parseSmall(t)
	states, logs := Rules(c, Terminal)
	if len(states) != 1 || states[0].GetEntry() != "nbe-missing" || states[0].GetFor().AsDuration() != 5*time.Second {
		t.Errorf("a terminal watches %v, want nbe-missing for 5s", states)
	}
	if len(logs) != 1 || logs[0].GetId() != "enroll-otp-used/nem" || logs[0].GetCode() != "2200" {
		t.Errorf("a terminal reads logs for %v, want enroll-otp-used/nem with code 2200", logs)
	}
	if states, logs := Rules(c, NESHost); len(states)+len(logs) != 0 {
		t.Errorf("an NES host looks for %v and %v, want nothing: both are terminals' affairs", states, logs)
	}
	if c.Entry("nbe-missing") == nil || c.Entry("other") != nil || !strings.HasPrefix(c.Version(), DataVersion+"+") {
		t.Errorf("the catalogue finds the wrong entries, or its version %q does not begin with %s+", c.Version(), DataVersion)
	}
}

func TestBadFilesAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an unknown key":       {"entries:\n  - id: a\n    titel: b", "line 3: unknown key titel"},
		"a regular expression": {"entries:\n  - id: a\n    detect:\n      logs:\n        - regexp: a*", "line 5: regexp: regular expressions are not allowed"},
		"an alias":             {"entries:\n  - &x {id: a}\n  - *x", "line 2: has an anchor or an alias"},
		"a YAML bomb":          {"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]", "has an anchor or an alias"},
		"two documents":        {"entries: []\n---\nentries: []", "more than one document"},
		"nothing":              {"", "is empty"},
		"an empty entry":       {"entries:\n  -\n", "has an empty entry"},
		"much too much":        {strings.Repeat("#", 10<<20), "at most 1048576 are allowed"},
		"deep nesting":         {"entries: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested too deep"},
		"no YAML":              {"entries: [", "line 1"},
		"a bad duration":       {"entries:\n  - id: a\n    detect: {state: [{for: soon}]}", "line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Parse says %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestEmbeddedEntriesLoad(t *testing.T) {
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	states, logs := Rules(c, Terminal)
	t.Logf("catalogue %s: %d entries; a terminal has %d rules of states and %d of logs", c.Version(), len(c.Entries()), len(states), len(logs))
}

func TestPacksAddEntriesAndReplaceOnlyWhatTheyName(t *testing.T) {
	const head = "name: lyon\nversion: 1.0.0\nentries:\n"
	base := parseSmall(t)
	for name, c := range map[string]struct{ text, want string }{
		"adds":              {head + "  - id: lyon-scanner", ""},
		"replaces":          {head + "  - id: nbe-missing\n    replaces: nbe-missing", ""},
		"replaces silently": {head + "  - id: nbe-missing", `entry "nbe-missing": is there already; write`},
		"replaces another":  {head + "  - id: nbe-missing\n    replaces: enroll-otp-used", "is there already"},
		"replaces nothing":  {head + "  - id: lyon-x\n    replaces: nbe-missing", "which is not there"},
		"has one twice":     {head + "  - id: lyon-x\n  - id: lyon-x", "is there twice"},
		"has none":          {head, "has no entries"},
		"has no version":    {"name: lyon\nversion: one\nentries:\n  - id: a", "want three numbers"},
		"has a bad name":    {"name: ../lyon\nversion: 1.0.0\nentries:\n  - id: a", "want lower case letters"},
	} {
		t.Run(name, func(t *testing.T) {
			pack, err := ParsePack([]byte(c.text))
			var with *Catalogue
			if err == nil {
				with, err = base.With(pack)
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("it says %v, want an error with %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if with.Version() == base.Version() || with.PackOf(pack.Entries[0].ID) != "lyon" || base.PackOf(pack.Entries[0].ID) != "" {
				t.Errorf("version %s, pack of %s is %q; want another version than %s, and lyon", with.Version(), pack.Entries[0].ID, with.PackOf(pack.Entries[0].ID), base.Version())
			}
		})
	}
}

func TestVersionsOfPacksAreOrdered(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"1.0.0", "1.0.0", 0}, {"1.9.0", "1.10.0", -1}, {"2.0.0", "1.99.99", 1}, {"junk", "0.0.0", -1}} {
		if got := CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("CompareVersions(%s, %s) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
