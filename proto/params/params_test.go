package params

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func restart() *actionv1.Action {
	return &actionv1.Action{
		Name: "ble-restart",
		Params: []*actionv1.Param{
			{Name: "mode", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"restart", "ensure-running"}, DefaultValue: "restart"},
			{Name: "stop_timeout", Type: actionv1.ParamType_PARAM_TYPE_DURATION, DefaultValue: "10s", Min: "5s", Max: "60s"},
			{Name: "start_timeout", Type: actionv1.ParamType_PARAM_TYPE_DURATION, DefaultValue: "10s", Min: "5s", Max: "60s"},
			{Name: "allow_in_session", Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: "false"},
			{Name: "rssi", Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Min: "-127", Max: "0"},
			{Name: "note", Type: actionv1.ParamType_PARAM_TYPE_STRING, Max: "8"},
			{Name: "pause", Type: actionv1.ParamType_PARAM_TYPE_DURATION},
		},
		BudgetRules: []*actionv1.BudgetRule{{
			Params: []string{"stop_timeout", "start_timeout"}, Max: durationpb.New(25 * time.Second),
			Unless: "allow_in_session", Reason: "a longer gap may lock the session",
		}},
	}
}

func TestResolveFillsDefaultsInCanonicalText(t *testing.T) {
	got, err := Resolve(restart(), map[string]string{"stop_timeout": "0m12s", "rssi": "-42"})
	if err != nil {
		t.Fatalf("good parameters were refused: %v", err)
	}
	want := map[string]string{
		"mode": "restart", "stop_timeout": "12s", "start_timeout": "10s", "allow_in_session": "false", "rssi": "-42",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resolved parameters (-want +got):\n%s", diff)
	}
}

func TestResolveRefusesWithTheReason(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"stop_timeout", "61s", "want 5s to 60s"},
		{"stop_timeout", "-1s", "want 5s to 60s"},
		{"stop_timeout", "abc", "want a duration"},
		{"stop_timeout", "", "want a duration"},
		{"stop_timeout", "+10s", "want a duration"},
		{"pause", "-1s", "want at least 0s"},
		{"rssi", "+42", "want a whole number"},
		{"rssi", "-42abc", "want a whole number"},
		{"rssi", "007", "want a whole number"},
		{"rssi", "-128", "want -127 to 0"},
		{"rssi", "300", "want -127 to 0"},
		{"rssi", "99999999999999999999", "want a whole number"},
		{"mode", "Restart", "want one of restart, ensure-running"},
		{"allow_in_session", "yes", "want true or false"},
		{"note", "123456789", "want at most 8"},
		{"note", "a\x1b[2J", "control character"},
		{"note", "\xff", "not valid UTF-8"},
		{"note", strings.Repeat("x", maxText+1), "at most 4096"},
		{"nonsense", "1", "is not known; ble-restart takes allow_in_session, mode"},
	} {
		t.Run(c.name+"="+c.value[:min(len(c.value), 12)], func(t *testing.T) {
			_, err := Resolve(restart(), map[string]string{c.name: c.value})
			var problems *Error
			if !errors.As(err, &problems) {
				t.Fatalf("want *Error, got %v", err)
			}
			if len(problems.Problems) != 1 || problems.Problems[0].Param != c.name {
				t.Fatalf("want one problem with %q, got %+v", c.name, problems.Problems)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error must say %q, got %q", c.want, err)
			}
		})
	}
}

func TestResolveReportsEveryProblemAtOnce(t *testing.T) {
	_, err := Resolve(restart(), map[string]string{"mode": "x", "rssi": "y", "zzz": "1"})
	var problems *Error
	if !errors.As(err, &problems) || len(problems.Problems) != 3 {
		t.Fatalf("want three problems in one error, got %v", err)
	}
}

func TestRequiredParameter(t *testing.T) {
	a := &actionv1.Action{Name: "x", Params: []*actionv1.Param{{Name: "serial", Required: true, Help: "the band's serial", Type: actionv1.ParamType_PARAM_TYPE_STRING}}}
	if _, err := Resolve(a, nil); err == nil || !strings.Contains(err.Error(), "is required: the band's serial") {
		t.Errorf("a missing required parameter must be named with its help, got %v", err)
	}
}

func TestBudgetRule(t *testing.T) {
	given := map[string]string{"stop_timeout": "20s", "start_timeout": "6s"}
	if _, err := Resolve(restart(), given); err == nil || !strings.Contains(err.Error(), "set allow_in_session=true") {
		t.Errorf("26 s in all must be refused and say what lifts the rule, got %v", err)
	}
	given["allow_in_session"] = "true"
	if _, err := Resolve(restart(), given); err != nil {
		t.Errorf("allow_in_session=true lifts the rule, got %v", err)
	}
	if _, err := Resolve(restart(), map[string]string{"stop_timeout": "20s", "start_timeout": "5s"}); err != nil {
		t.Errorf("25 s in all is allowed, got %v", err)
	}
}

func FuzzCanonicalIsStable(f *testing.F) {
	for _, s := range []string{"10s", "-42", "true", "1h0m0.5s", "９", "1e3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range restart().GetParams() {
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

func TestBoundsAreWrittenBriefly(t *testing.T) {
	for value, want := range map[string]string{
		"1m0s": "1m", "2h0m0s": "2h", "1h5m0s": "1h5m", "1m30s": "1m30s", "10s": "10s", "20m0s": "20m", "60s": "60s", "-42": "-42", "0s": "0s", "": "",
	} {
		if got := Brief(value); got != want {
			t.Errorf("Brief(%q) = %q, want %q: people write it so", value, got, want)
		}
	}
}
