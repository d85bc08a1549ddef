package policy

import (
	"slices"

	"github.com/bandfleet/bandfleet/proto/catalogue"
)

// startsOnly says whether a step does nothing but start what is stopped: it interrupts nothing, so no window binds it.
func startsOnly(step catalogue.Step) bool {
	return step.Action == "adcs-start" || step.Params["mode"] == "ensure-running"
}

// readers are the actions that change nothing.
func readers() []string { return []string{"cert-scan", "diagnose", "logs-collect", "net-probe"} }

func readsOnly(step catalogue.Step) bool { return slices.Contains(readers(), step.Action) }
