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

// raisedBy says which signals an action may bring out of order, when it is not asked only to start what is stopped.
func raisedBy(action string) []string {
	return map[string][]string{
		"verbose-logging": {"verbose-logging"},
		"crl-http-allow":  {"https-binding"},
	}[action]
}

// loops names the action of an entry's remedy that may raise the fault that the entry is about; empty when none does.
func loops(entry *catalogue.Entry) string {
	for _, step := range entry.Remedy.Steps {
		if startsOnly(step) || step.Params["state"] == "off" {
			continue
		}
		for _, condition := range entry.Detect.State {
			for _, is := range condition.All {
				if slices.Contains(raisedBy(step.Action), is.Signal) {
					return step.Action
				}
			}
		}
	}
	return ""
}
