package runner

import (
	"fmt"
	"slices"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// probeAgentURL is the object of CAPABILITY_KIND_NETWORK_PROBE that stands for the address in nbe.toml. The other one,
// "inventory", is granted by no agent yet: none knows the inventory's hosts.
const probeAgentURL = "agent-url"

// hasCapability says whether the manifest declares a right.
func hasCapability(a *actionv1.Action, kind actionv1.CapabilityKind, object string) bool {
	return slices.ContainsFunc(a.GetCapabilities(), func(c *actionv1.Capability) bool {
		return c.GetKind() == kind && c.GetObject() == object
	})
}

// requireCapability returns an error that names the right that is missing.
func requireCapability(a *actionv1.Action, kind actionv1.CapabilityKind, object string) error {
	if hasCapability(a, kind, object) {
		return nil
	}
	name := strings.ToLower(strings.TrimPrefix(kind.String(), "CAPABILITY_KIND_"))
	return fmt.Errorf("action %q did not declare the capability %s of %q", a.GetName(), name, clip(object, maxName))
}

// hasHostRead says whether an action may read what machine this is; that capability has no object to compare.
func hasHostRead(a *actionv1.Action) bool {
	return slices.ContainsFunc(a.GetCapabilities(), func(c *actionv1.Capability) bool {
		return c.GetKind() == actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ
	})
}
