package main

import (
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// right is what a kind of capability allows, in words, and how far what is done with it can be undone; empty for what only reads.
type right struct{ words, inverse string }

const (
	exact        = "exactly"
	compensating = "the harm is made good"
	notAtAll     = "not"
)

// rightsOf names the kinds that a plugin may ask for. The inverses are those of the effects that need them (proto/action/v1/result.proto).
func rightsOf() map[actionv1.CapabilityKind]right {
	return map[actionv1.CapabilityKind]right{
		actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_READ:     {"read and watch the service", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL:  {"stop and start the service", compensating},
		actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL:     {"end the process of the service", compensating},
		actionv1.CapabilityKind_CAPABILITY_KIND_FILE_READ:        {"read the file", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_FILE_LIST:        {"list the folder", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE:       {"make or remove the file", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_READ:      {"read keys of the file", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_EDIT:      {"change keys of the file", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_READ:      {"read the USB device", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_CONTROL:   {"disable and enable the USB device", compensating},
		actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE:    {"connect to", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ:        {"read the machine's name, addresses and system", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM:   {"ask a person to confirm something", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_READ:    {"read the registry value", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE:   {"set the registry value", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_READ: {"list the certificate store", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_ADD:  {"add to the certificate store", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_READ:     {"list https bindings", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_SET:      {"set https bindings", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_IIS_READ:         {"read sites, pools and applications of IIS", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE:        {"set in IIS", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_POWER_READ:       {"read the power setting", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_POWER_WRITE:      {"set the power setting", exact},
		actionv1.CapabilityKind_CAPABILITY_KIND_PROGRAM_RUN:      {"run the program of the agent's list", notAtAll},
		actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_READ:     {"read features of Windows", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_ADD:      {"add features of Windows", notAtAll},
		actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT:           {"start the machine again", notAtAll},
		actionv1.CapabilityKind_CAPABILITY_KIND_COLLECT:          {"collect the logs", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_PEER_PROBE:       {"have other terminals connect to this host", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_SECRET_USE:       {"have sealed secrets opened that its parameters name", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_SITE_READ:        {"ask the server about the site", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ:     {"read facts of the machine, and who holds files open", ""},
		actionv1.CapabilityKind_CAPABILITY_KIND_LEASE:            {"make changes that end by themselves, and see and end them", exact},
	}
}

// capabilities is the table of all that the action may ask of the agent.
func capabilities(b *strings.Builder, a *actionv1.Action) {
	b.WriteString("## What it may ask of the agent\n\nAnything else is refused, and so is what is not in its plan.\n\n")
	b.WriteString("| it may | what | is undone |\n|---|---|---|\n")
	known := rightsOf()
	for _, c := range a.GetCapabilities() {
		r, ok := known[c.GetKind()]
		if !ok {
			r.words = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(c.GetKind().String(), "CAPABILITY_KIND_"), "_", " "))
		}
		if c.GetKind() == actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE && c.GetObject() == "run" {
			r = right{"start sites and pools, recycle pools", notAtAll}
		}
		object := c.GetObject()
		if object != "" {
			object = "`" + object + "`"
		}
		row(b, r.words, object, r.inverse)
	}
	b.WriteString("\n")
}
