package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// gate is an action that has something of everything.
func gate() *actionv1.Action {
	return &actionv1.Action{
		Name: "gate-open", Version: "1.0.0", Summary: "Open a gate", Description: "Opens it | and says so.", Undo: "It is shut again.", Verifies: "It is open.",
		Source: "Gates > Opening", Roles: []string{"nes-host"}, Disruptive: true, Interrupts: "Whoever leans on it.", Resources: []string{"gate"},
		MaxDuration: durationpb.New(time.Hour), Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Params: []*actionv1.Param{
			sdk.Required(sdk.Enum("how", "", "how it is opened", "wide", "ajar")),
			sdk.Duration("least", time.Minute, time.Second, 10*time.Minute, "at least how long"),
			{Name: "most", Type: actionv1.ParamType_PARAM_TYPE_DURATION, Min: "1s", Max: "24h0m0s", Help: "at most how long"},
			sdk.List(sdk.Text("names", "", "who may pass", 40, "[a-z]+", "lower case letters")),
			sdk.Secret("key", "key of the gate"),
			sdk.Bool("risk", false, "allow it"),
		},
		BudgetRules: []*actionv1.BudgetRule{{Params: []string{"least", "most"}, Max: durationpb.New(time.Hour), Unless: "risk", Reason: "it rains in"}},
		OrderRules:  []*actionv1.OrderRule{{Lesser: "least", Greater: "most", Reason: "nothing is longer than the longest"}},
		WhenRules: []*actionv1.WhenRule{
			{Param: "how", Value: "wide", Needs: "most", Reason: "it is cold"}, {Param: "how", Value: "wide", Approvals: 2, Reason: "everybody gets in"},
		},
		Capabilities: []*actionv1.Capability{sdk.ControlService("Gate"), sdk.WriteIIS("run"), sdk.WriteIIS("ssl-flags"), sdk.ReadHost()},
	}
}

func TestPage(t *testing.T) {
	pages := pagesOf([]*actionv1.Manifest{{Name: "gates", Actions: []*actionv1.Action{gate()}}})
	text := pages["gate-open.md"]
	for _, want := range []string{
		"# gate-open\n\nOpen a gate.\n",
		"fleetctl fix gate-open --host nes-lyon-1 --param how=wide --param most=2h --reason INC-4711\n",
		"| Interrupts | Whoever leans on it. |", "| Approvals | none, 2 with how=wide |", "| Longest run | 1h |", "| From the guide | Gates > Opening |",
		"| `how` | `wide` `ajar` | required | how it is opened |",
		"| `least` | duration, 1s to 10m | `1m` | at least how long |",
		"| `names` | lower case letters, at most 40 bytes; several, joined by commas | not set | who may pass |",
		"| `key` | `secret:NAME` | not set | key of the gate |",
		"- `least` + `most` together: at most 1h, unless `risk=true` (it rains in).",
		"- `least` must be less than `most` (nothing is longer than the longest).",
		"- `how=wide` needs `most` to be given (it is cold).",
		"- `how=wide` waits for the approval of 2 who did not ask for it (everybody gets in).",
		"## How it is undone\n\nIt is shut again.", "## How it is verified\n\nIt is open.",
		"| stop and start the service | `Gate` | the harm is made good |", "| start sites and pools, recycle pools | `run` | not |", "| set in IIS | `ssl-flags` | exactly |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q; it is:\n%s", want, text)
		}
	}
	if want := "| [gate-open](gate-open.md) | Open a gate | nes-host | none, 2 with how=wide | yes | gates |"; !strings.Contains(pages[indexName], want) {
		t.Errorf("the list lacks %q; it is:\n%s", want, pages[indexName])
	}
}

// TestEveryKindOfCapabilityHasWords: a page says in words what an action may do.
func TestEveryKindOfCapabilityHasWords(t *testing.T) {
	known := rightsOf()
	for number, name := range actionv1.CapabilityKind_name {
		if _, ok := known[actionv1.CapabilityKind(number)]; !ok && number != 0 {
			t.Errorf("%s has no words, want what it allows and how far that can be undone", name)
		}
	}
}

func TestPagesOfActionsThatAreNoMoreGo(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("old.md", made+"# old\n")
	put("notes.md", "# by hand\n")
	if err := writePages(dir, map[string]string{"new.md": made + "# new\n"}); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if got := strings.Join(names, " "); err != nil || strings.Contains(got, "old.md") || !strings.Contains(got, "new.md") || !strings.Contains(got, "notes.md") {
		t.Errorf("the folder has %q (%v), want the new page, the one by hand, and not the old one", got, err)
	}
	if err := writePages(dir, map[string]string{"notes.md": made}); err == nil {
		t.Error("a page that somebody wrote by hand was written over, want an error")
	}
}
