package sdktest

import (
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// ruledManifest is a good manifest with a pattern, a list, a secret and every rule.
func ruledManifest() *actionv1.Action {
	a := goodManifest()
	a.Params = append(a.Params,
		sdk.Duration("pause", 10*time.Second, 5*time.Second, time.Minute, "how long"),
		sdk.List(sdk.Text("hosts", "", "which", 100, `[a-z]+`, "a host name")),
		sdk.Secret("pfx", "its certificate"),
	)
	a.OrderRules = []*actionv1.OrderRule{{Lesser: "wait", Greater: "pause", Unless: "long", Reason: "it comes first"}}
	a.WhenRules = []*actionv1.WhenRule{{Param: "long", Value: "true", Needs: "hosts", Approvals: 1, Reason: "it is long"}}
	return a
}

func TestProblemsOfRules(t *testing.T) {
	if problems := ManifestProblems(ruledManifest()); len(problems) != 0 {
		t.Fatalf("a good manifest has problems: %v", problems)
	}
	for name, c := range map[string]struct {
		spoil func(*actionv1.Action)
		want  string
	}{
		"approvals":              {func(a *actionv1.Action) { a.Approvals = 3 }, "approvals 3: want at most 2"},
		"pattern without words":  {func(a *actionv1.Action) { a.Params[3].PatternWords = "" }, "a pattern and its words"},
		"words without pattern":  {func(a *actionv1.Action) { a.Params[3].Pattern = "" }, "a pattern and its words"},
		"pattern of an integer":  {func(a *actionv1.Action) { a.Params[0].Pattern, a.Params[0].PatternWords = "a", "b" }, "is no string"},
		"pattern that is none":   {func(a *actionv1.Action) { a.Params[3].Pattern = "(" }, "pattern: error parsing"},
		"list of secrets":        {func(a *actionv1.Action) { a.Params[4].List = true }, "list of secrets"},
		"secret with a default":  {func(a *actionv1.Action) { a.Params[4].DefaultValue = "secret:a" }, "is a secret and has a default"},
		"default beside pattern": {func(a *actionv1.Action) { a.Params[3].DefaultValue = "a,B" }, "default has element 2"},
		"order of a bool":        {func(a *actionv1.Action) { a.OrderRules[0].Lesser = "long" }, "no integer or duration parameter"},
		"order of nothing":       {func(a *actionv1.Action) { a.OrderRules[0].Greater = "length" }, "no integer or duration parameter"},
		"order with itself":      {func(a *actionv1.Action) { a.OrderRules[0].Greater = "wait" }, "with itself"},
		"order's lift":           {func(a *actionv1.Action) { a.OrderRules[0].Unless = "wait" }, "no boolean parameter"},
		"order's reason":         {func(a *actionv1.Action) { a.OrderRules[0].Reason = "" }, "has no reason"},
		"when of nothing":        {func(a *actionv1.Action) { a.WhenRules[0].Param = "length" }, "is no parameter"},
		"when's value":           {func(a *actionv1.Action) { a.WhenRules[0].Value = "yes" }, "is not canonical"},
		"when asks for nothing":  {func(a *actionv1.Action) { a.WhenRules[0].Needs, a.WhenRules[0].Approvals = "", 0 }, "asks for nothing"},
		"when requires a text":   {func(a *actionv1.Action) { a.WhenRules[0].Requires = "hosts" }, "no boolean parameter"},
		"when needs nothing":     {func(a *actionv1.Action) { a.WhenRules[0].Needs = "length" }, "is no parameter"},
		"when's approvals":       {func(a *actionv1.Action) { a.WhenRules[0].Approvals = 3 }, "asks for 3 approvals"},
		"when's reason":          {func(a *actionv1.Action) { a.WhenRules[0].Reason = "" }, "has no reason"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ruledManifest()
			c.spoil(a)
			if got := strings.Join(ManifestProblems(a), "\n"); !strings.Contains(got, c.want) {
				t.Errorf("problems = %q, want %q among them", got, c.want)
			}
		})
	}
}
