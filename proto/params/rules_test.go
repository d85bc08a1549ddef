package params

import (
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// thresholds is an action with every kind of rule.
func thresholds() *actionv1.Action {
	rssi := func(name string) *actionv1.Param {
		return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Min: "-127", Max: "0"}
	}
	return &actionv1.Action{
		Name:      "nbe-config-set",
		Approvals: 0,
		Params: []*actionv1.Param{
			rssi("far"), rssi("close"),
			{Name: "force", Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: "false"},
			{Name: "bypass", Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: "false"},
			{Name: "url", Type: actionv1.ParamType_PARAM_TYPE_STRING, Max: "60", Pattern: `https://[a-z.]+/|none`, PatternWords: "an https URL that ends in /"},
			{Name: "hosts", Type: actionv1.ParamType_PARAM_TYPE_STRING, List: true, Max: "10", Pattern: `[a-z]+:\d+`, PatternWords: "host:port"},
			{Name: "waits", Type: actionv1.ParamType_PARAM_TYPE_DURATION, List: true, Max: "1m0s"},
			{Name: "pfx", Type: actionv1.ParamType_PARAM_TYPE_SECRET},
			{Name: "mode", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"one", "all"}, DefaultValue: "one"},
			{Name: "short", Type: actionv1.ParamType_PARAM_TYPE_DURATION},
			{Name: "long", Type: actionv1.ParamType_PARAM_TYPE_DURATION},
		},
		OrderRules: []*actionv1.OrderRule{
			{Lesser: "far", Greater: "close", Unless: "force", Reason: "far must be weaker"},
			{Lesser: "short", Greater: "long", Reason: "it ends first"},
		},
		WhenRules: []*actionv1.WhenRule{
			{Param: "close", Value: "0", Requires: "bypass", Approvals: 1, Reason: "proximity no longer counts"},
			{Param: "mode", Value: "all", Needs: "hosts", Approvals: 2, Reason: "it goes everywhere"},
		},
	}
}

func TestRulesOverOneAndTwoParameters(t *testing.T) {
	for _, c := range []struct {
		name  string
		given map[string]string
		// want is in the error; empty means that all is well.
		want string
	}{
		{"far below close", map[string]string{"far": "-75", "close": "-70"}, ""},
		{"far above close", map[string]string{"far": "-60", "close": "-70"}, `"far" of nbe-config-set: is -60, want less than close, which is -70: far must be weaker; lower it, or set force=true`},
		{"far equals close", map[string]string{"far": "-70", "close": "-70"}, "want less than close"},
		{"far above close, forced", map[string]string{"far": "-60", "close": "-70", "force": "true"}, ""},
		{"one alone", map[string]string{"far": "-1"}, ""},
		{"durations in order", map[string]string{"short": "59s", "long": "1m"}, ""},
		{"durations compare by time, not by text", map[string]string{"short": "61s", "long": "1m"}, "is 1m1s, want less than long, which is 1m"},
		{"a value that asks for a yes", map[string]string{"close": "0"}, "is 0, which needs bypass=true: proximity no longer counts"},
		{"a value with its yes", map[string]string{"close": "0", "bypass": "true"}, ""},
		{"a value that asks for another", map[string]string{"mode": "all"}, "is all, which needs hosts to be given"},
		{"a value with the other", map[string]string{"mode": "all", "hosts": "a:1,b:2"}, ""},
		{"pattern", map[string]string{"url": "https://nes.example/"}, ""},
		{"pattern, other branch", map[string]string{"url": "none"}, ""},
		{"pattern, http", map[string]string{"url": "http://nes.example/"}, `is "http://nes.example/", want an https URL that ends in /`},
		{"pattern, something behind", map[string]string{"url": "https://nes.example/x"}, "want an https URL"},
		{"pattern, something before", map[string]string{"url": " https://nes.example/"}, "want an https URL"},
		{"pattern, branch with more", map[string]string{"url": "nonesuch"}, "want an https URL"},
		{"pattern, empty", map[string]string{"url": ""}, "want an https URL"},
		{"list, bad element", map[string]string{"hosts": "a:1,b"}, `has element 2, which is "b", want host:port`},
		{"list, empty element", map[string]string{"hosts": "a:1,"}, "has element 2"},
		{"list, bound of an element", map[string]string{"hosts": "a:1,bbbbbbbbbb:2"}, "has element 2, which is 12 bytes long"},
		{"list of durations", map[string]string{"waits": "1s,2m"}, "has element 2, which is 2m, want at most 1m"},
		{"secret", map[string]string{"pfx": "secret:nes-lyon_1.pfx"}, ""},
		{"secret, no prefix", map[string]string{"pfx": "hunter2"}, "is no reference to a secret, want secret:NAME"},
		{"secret, no name", map[string]string{"pfx": "secret:"}, "want 1 to 100"},
		{"secret, long name", map[string]string{"pfx": "secret:" + strings.Repeat("a", 101)}, "want 1 to 100"},
		{"secret, slash", map[string]string{"pfx": "secret:../x"}, "other characters"},
		{"secret, capital", map[string]string{"pfx": "secret:A"}, "other characters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Resolve(thresholds(), c.given)
			if c.want == "" {
				if err != nil {
					t.Fatalf("want it taken, got %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q in it", err, c.want)
			}
		})
	}
}

// TestASecretThatIsTypedIsNotRepeated holds that a value in place of a reference does not reach an error, which is logged and stored.
func TestASecretThatIsTypedIsNotRepeated(t *testing.T) {
	for _, typed := range []string{"hunter2", "secret:Hunter2!", "secret:" + strings.Repeat("hunter2", 20)} {
		_, err := Resolve(thresholds(), map[string]string{"pfx": typed})
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "hunter2") {
			t.Errorf("%q: error = %v, want one that does not hold the value", typed, err)
		}
	}
}

func TestListsAreCanonicalElementByElement(t *testing.T) {
	got, err := Resolve(thresholds(), map[string]string{"waits": "0m10s,60s"})
	if err != nil || got["waits"] != "10s,1m0s" {
		t.Errorf("waits = %q, %v; want 10s,1m0s: an approval covers the canonical text", got["waits"], err)
	}
}

func TestABadPatternIsTheManifestsFault(t *testing.T) {
	p := &actionv1.Param{Name: "x", Type: actionv1.ParamType_PARAM_TYPE_STRING, Pattern: "("}
	if _, err := Canonical(p, "a"); err == nil || !strings.Contains(err.Error(), "bad pattern in the manifest") {
		t.Errorf("error = %v, want it to blame the manifest", err)
	}
}

func TestApprovals(t *testing.T) {
	for _, c := range []struct {
		own    uint32
		given  map[string]string
		want   uint32
		reason string
	}{
		{0, nil, 0, ""},
		{2, nil, 2, ""},
		{0, map[string]string{"close": "0", "bypass": "true"}, 1, "close is 0: proximity no longer counts"},
		{1, map[string]string{"close": "0", "bypass": "true"}, 1, ""},
		{0, map[string]string{"close": "0", "bypass": "true", "mode": "all", "hosts": "a:1"}, 2, "mode is all: it goes everywhere"},
	} {
		a := thresholds()
		a.Approvals = c.own
		resolved, err := Resolve(a, c.given)
		if err != nil {
			t.Fatal(err)
		}
		if n, reason := Approvals(a, resolved); n != c.want || reason != c.reason {
			t.Errorf("action with %d approvals, %v: %d (%q), want %d (%q)", c.own, c.given, n, reason, c.want, c.reason)
		}
	}
}

// TestStrengthsThatUsersType holds that what people type for a signal strength by mistake is refused with what would be right.
func TestStrengthsThatUsersType(t *testing.T) {
	for typed, want := range map[string]string{
		"+42": "want a whole number such as 10 or -42", "-42abc": "want a whole number", "-42.0": "want a whole number", "−42": "want a whole number",
		"-42 dBm": "want a whole number", "300": "is 300, want -127 to 0", "-128": "is -128, want -127 to 0", "42": "want -127 to 0", "": "want a whole number",
	} {
		if _, err := Resolve(thresholds(), map[string]string{"far": typed}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("far=%q: error = %v, want %q in it", typed, err, want)
		}
	}
}

func FuzzEveryTypeIsStable(f *testing.F) {
	for _, s := range []string{"https://a.b/", "a:1,b:2", "secret:x", "1s,1m", ",", "none", "-127"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range thresholds().GetParams() {
			once, err := Canonical(p, text)
			if err != nil {
				continue
			}
			if twice, err := Canonical(p, once); err != nil || twice != once {
				t.Errorf("%s: canonical text %q became %q, %v: an approval would cover another text", p.GetName(), once, twice, err)
			}
		}
	})
}
