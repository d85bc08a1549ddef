package e2e

import (
	"testing"

	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// TestCatalogueFitsTheActionsOfThePlugins: each step of each remedy names an action that the product comes with, parameters that it has and
// values that it takes, on a machine that it is for.
func TestCatalogueFitsTheActionsOfThePlugins(t *testing.T) {
	t.Parallel()
	c, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range catalogue.Lint(c, actionsOfThePlugins(t)) {
		t.Errorf("%s", p)
	}
}

// actionsOfThePlugins are what the manifests of the product's plugins offer.
func actionsOfThePlugins(t testing.TB) (all catalogue.Actions) {
	t.Helper()
	pins, err := plugins.ReadLock(program("plugins"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		all = append(all, pin.Manifest.GetActions()...)
	}
	return all
}
