package catalogue

import (
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// offered are actions as machines offer them.
func offered() Actions {
	text := func(name string, required bool) *actionv1.Param {
		return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_STRING, Required: required, Help: "what it is"}
	}
	terminals := []string{"user-terminal"}
	return Actions{
		{Name: "ble-restart", Roles: terminals, Params: []*actionv1.Param{{Name: "mode", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"restart", "ensure-running"}}}},
		{Name: "nes-url-set", Roles: terminals, Params: []*actionv1.Param{text("url", true)}},
		{Name: "nbe-config-set", Roles: terminals, Params: []*actionv1.Param{{Name: "rssi_tap_threshold", Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Min: "-100", Max: "0"}}},
		{Name: "iis-restart", Roles: []string{"nes-host"}},
	}
}

// base is a catalogue without problems, with two entries whose rules may collide with those of others.
func base(t *testing.T) *Catalogue {
	t.Helper()
	c := parseSmall(t)
	if problems := Lint(c, offered()); len(problems) > 0 {
		t.Fatalf("the tests' catalogue has problems, want none: %v", problems)
	}
	return c
}

// good is an entry of a pack. Lines of it are replaced by the cases.
const good = `name: lyon
version: 1.0.0
entries:
  - id: lyon-scanner
    title: The scanner is silent
    symptom: Nothing happens.
    chapter: Lyon
    target: terminal
    codes: ["77"]
    detect:
      state:
        - all: [{signal: adapter, is: [problem]}]
      logs:
        - name: nem
          file: nem
          all: [scanner is silent]
          confidence: public
          samples: [the scanner is silent]
    remedy:
      kind: auto
      steps: [{action: ble-restart, params: {mode: restart}}]
    person: {assignee: site-desk, steps: [{do: Look.}]}
    verify: It beeps.
`

func TestLint(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		// want is a part of the only problem; empty means that there is none.
		want string
	}{
		"good":                             {"", "", ""},
		"a bad id":                         {"id: lyon-scanner", "id: Lyon", `entry "Lyon": id: want lower case`},
		"no title":                         {"title: The scanner is silent", "title: ''", "title: is missing"},
		"a title of two lines":             {"title: The scanner is silent", `title: "a\nb"`, "title: want one line"},
		"a terminal's escape":              {"symptom: Nothing happens.", `symptom: "a\e[2Jb"`, "symptom: has control characters"},
		"a turned text":                    {"symptom: Nothing happens.", `symptom: "a\u202eb"`, "symptom: has control characters"},
		"a target":                         {"target: terminal", "target: printer", `target: is "printer", want terminal, nes-host`},
		"a code":                           {`codes: ["77"]`, `codes: [E77]`, `codes[0]: is "E77", want a number`},
		"no signal":                        {"signal: adapter", "signal: scanner", `detect.state[0].all[0].signal: is "scanner", which is none`},
		"no such value":                    {"is: [problem]", "is: [broken]", `detect.state[0].all[0].is: is "broken", want ok, missing`},
		"what is unknown":                  {"is: [problem]", "is: [unknown]", `is "unknown", want ok`},
		"always so":                        {"is: [problem]", "is: [ok, problem]", "detect.state[0]: holds when all is well"},
		"signals of two kinds":             {"[{signal: adapter, is: [problem]}]", "[{signal: adapter, is: [problem]}, {signal: crl, is: [failed]}]", "no machine has together"},
		"a long wait":                      {"is: [problem]}]", "is: [problem]}]\n          for: 700h", "detect.state[0].for: is 700h0m0s, want 0s to 168h"},
		"no class of files":                {"file: nem", "file: word", `detect.logs[0].file: is "word", want nem`},
		"confidence":                       {"confidence: public", "confidence: sure", `detect.logs[0].confidence: is "sure", want guide`},
		"a count with no time":             {"confidence: public", "confidence: public\n          count: 3", "detect.logs[0].window: is 0s"},
		"no samples":                       {"samples: [the scanner is silent]", "samples: []", "detect.logs[0].samples: are 0, want 1"},
		"another's sample":                 {"samples: [the scanner is silent]", "samples: [the scanner is fine]", "detect.logs[0].samples[0]: does not obey its own rule"},
		"a code of a rule":                 {"confidence: public", "confidence: public\n          code: seven", `detect.logs[0]: has the code "seven", want a number`},
		"a rule of nothing":                {"all: [scanner is silent]", "all: []", "has no text in all or any"},
		"like nobody":                      {"confidence: public", "confidence: public\n          like: [lyon-printer]", `detect.logs[0].like[0]: names the entry "lyon-printer", which is not there`},
		"as nobody":                        {"detect:\n", "detect:\n      as: lyon-printer\n", `detect.as: names the entry "lyon-printer"`},
		"as itself":                        {"detect:\n", "detect:\n      as: lyon-scanner\n", "detect.as: names the entry itself"},
		"an unknown action":                {"action: ble-restart", "action: coffee-make", `remedy.steps[0].action: is "coffee-make", which no machine offers`},
		"no such parameter":                {"{mode: restart}", "{speed: high}", `parameter "speed" of ble-restart: is not known`},
		"a value of it":                    {"{mode: restart}", "{mode: maybe}", `parameter "mode" of ble-restart: is "maybe", want one of`},
		"a missing one":                    {"{action: ble-restart, params: {mode: restart}}", "{action: nes-url-set}", `parameter "url" of nes-url-set: is required`},
		"a placeholder":                    {"{action: ble-restart, params: {mode: restart}}", "{action: nes-url-set, params: {url: '{site.nes_url}'}}", ""},
		"no placeholder":                   {"{action: ble-restart, params: {mode: restart}}", "{action: nes-url-set, params: {url: '{nes}'}}", "has {nes}, which stands for nothing"},
		"another machine's":                {"{action: ble-restart, params: {mode: restart}}", "{action: iis-restart}", "on a machine of role user-terminal, and it is for nes-host"},
		"there":                            {"{action: ble-restart, params: {mode: restart}}", "{action: iis-restart, 'on': nes-host}", ""},
		"where":                            {"{action: ble-restart, params: {mode: restart}}", "{action: iis-restart, 'on': moon}", `remedy.steps[0].on: is "moon"`},
		"a condition that nobody tells of": {"{action: ble-restart, params: {mode: restart}}", "{action: ble-restart, if: {signal: sql-server, is: [failed]}}", "which no state asks for"},
		"a condition of a step":            {"{action: ble-restart, params: {mode: restart}}", "{action: ble-restart, if: {signal: moon, is: [full]}}", `remedy.steps[0].if.signal: is "moon"`},
		"no kind":                          {"kind: auto", "kind: magic", `remedy.kind: is "magic"`},
		"nothing to do":                    {"      steps: [{action: ble-restart, params: {mode: restart}}]\n", "", "remedy.steps: are none"},
		"nobody to do it":                  {"    person: {assignee: site-desk, steps: [{do: Look.}]}\n", "", ""},
		"a person's steps":                 {"steps: [{do: Look.}]", "steps: []", "person.steps: are 0"},
		"a person's role":                  {"assignee: site-desk", "assignee: boss", `person.assignee: is "boss", want site-desk`},
		"cause":                            {"    verify: It beeps.", "    verify: It beeps.\n    common: {kind: nes-host, cause: [x]}", `common.cause[0]: names the entry "x"`},
		"common":                           {"    verify: It beeps.", "    verify: It beeps.\n    common: {kind: moon}", `common.kind: is "moon"`},
		"its own fault": {
			"[{action: ble-restart, params: {mode: restart}}]", "[{action: nbe-config-set, params: {rssi_tap_threshold: '0'}}]\n    causes: [none]", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("the tests' pack has no %q: the case tests nothing", c.old)
			}
			expectProblem(t, strings.Replace(good, c.old, c.new, 1), c.want)
		})
	}
}

// expectProblem lints a pack. All its problems together must hold want once, and there must be none when want is empty.
func expectProblem(t *testing.T, text, want string) {
	t.Helper()
	pack, err := ParsePack([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := LintPack(base(t), pack, offered())
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case want == "" && len(problems) > 0:
		t.Errorf("there is something wrong: %v; want nothing", problems)
	case want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), want)):
		t.Errorf("what is wrong: %v; want one problem with %q", problems, want)
	}
}

func TestARemedyMustNotRaiseItsOwnFault(t *testing.T) {
	text := strings.Replace(good, "signal: adapter, is: [problem]", "signal: nbe-tap, is: ['off']", 1)
	text = strings.Replace(text, "{action: ble-restart, params: {mode: restart}}", "{action: nbe-config-set, params: {rssi_tap_threshold: '0'}}", 1)
	expectProblem(t, text, "raises the fault that it is for: a threshold of 0 switches taps off")
}

func TestGuidedEntriesNeedAPerson(t *testing.T) {
	text := strings.Replace(good, "    person: {assignee: site-desk, steps: [{do: Look.}]}\n", "", 1)
	text = strings.Replace(text, "kind: auto\n      steps: [{action: ble-restart, params: {mode: restart}}]", "kind: guided", 1)
	expectProblem(t, text, "person: is missing, and the remedy is guided")
}

func TestAnEntryMustBeFoundOrReported(t *testing.T) {
	head, rest, _ := strings.Cut(good, "    detect:\n")
	_, tail, _ := strings.Cut(rest, "    remedy:\n")
	expectProblem(t, head+"    detect: {}\n    remedy:\n"+tail, "can neither be found nor reported")
	expectProblem(t, head+"    detect: {reported: true}\n    remedy:\n"+tail, "")
}

func TestRulesOfTwoEntriesMustNotCollide(t *testing.T) {
	text := strings.Replace(good, "all: [scanner is silent]", "all: [band message]", 1)
	text = strings.Replace(text, "samples: [the scanner is silent]", "samples: ['Band message']", 1)
	expectProblem(t, text, "")
	wider := strings.Replace(text, "samples: ['Band message']", "samples: ['Band message read error, status: 2200']", 1)
	pack, err := ParsePack([]byte(wider))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := LintPack(base(t), pack, offered())
	if err != nil || len(problems) != 2 || problems[1].With != "enroll-otp-used" {
		t.Errorf("what is wrong: %v, %v; want that the sample is another entry's line", problems, err)
	}
}

func TestStandingForEachOtherIsACircle(t *testing.T) {
	entry := func(id, as string) *Entry {
		e := *parseSmall(t).Entry("nbe-missing")
		e.ID, e.Detect = id, Detect{As: as}
		return &e
	}
	c, err := New("x", []*Entry{entry("a", "b"), entry("b", "c"), entry("c", "b")})
	if err != nil {
		t.Fatal(err)
	}
	problems := Lint(c, nil)
	if len(problems) != 3 || !strings.Contains(problems[0].String(), "goes in a circle") {
		t.Errorf("what is wrong: %v; want a circle at each of three entries", problems)
	}
}
