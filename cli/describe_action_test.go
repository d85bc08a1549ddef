package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestParametersInWords(t *testing.T) {
	const words = "an https URL that ends in /"
	for want, p := range map[string]*actionv1.Param{
		"integer, -127 to 0":             {Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Min: "-127", Max: "0"},
		words + ", at most 60, required": {Type: actionv1.ParamType_PARAM_TYPE_STRING, Max: "60", Required: true, Pattern: ".", PatternWords: words},
		"list of string":                 {Type: actionv1.ParamType_PARAM_TYPE_STRING, List: true},
		"list of a|b, default a":         {Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"a", "b"}, List: true, DefaultValue: "a"},
		"secret":                         {Type: actionv1.ParamType_PARAM_TYPE_SECRET},
	} {
		if got := paramWord(p); got != want {
			t.Errorf("parameter %v is written %q, want %q", p, got, want)
		}
	}
}

func TestRulesInWords(t *testing.T) {
	got := ruleWords(&actionv1.Action{
		OrderRules: []*actionv1.OrderRule{{Lesser: "far", Greater: "close", Unless: "force", Reason: "far is weaker"}},
		WhenRules: []*actionv1.WhenRule{
			{Param: "close", Value: "0", Requires: "bypass", Approvals: 1, Reason: "proximity no longer counts"},
			{Param: "mode", Value: "all", Needs: "hosts", Approvals: 2, Reason: "it goes everywhere"},
		},
	})
	want := []string{
		"far: less than close, unless force=true (far is weaker)",
		"close=0: needs bypass=true, needs 1 approval (proximity no longer counts)",
		"mode=all: needs hosts, needs 2 approvals (it goes everywhere)",
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}
