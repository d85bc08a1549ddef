package main

import (
	"context"
	"slices"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// check is one thing to look at. It records one finding or more and returns nothing: what it cannot read is a finding too.
type check struct {
	name     string
	profiles []string
	// onRequest: only when it is asked for by name, because another check of the profile has it too.
	onRequest bool
	look      func(ctx context.Context, e *exam)
}

// allChecks is everything that can be looked at, in the order in which it is.
func allChecks() []check {
	var (
		terminal = []string{profileTerminal}
		nes      = []string{profileNES}
		install  = []string{profileInstall}
		ca       = []string{profileCA}
		onNES    = []string{profileNES, profileInstall, profileCA}
		servers  = []string{profileNES, profileInstall}
		all      = []string{profileTerminal, profileNES, profileInstall, profileCA}
	)
	return []check{
		{name: "service", profiles: terminal, look: lookAtNymiServices},
		{name: "service", profiles: servers, look: lookAtWebServices},
		{name: "service", profiles: ca, look: lookAtCertificateService},
		{name: "adapter", profiles: terminal, look: lookAtAdapter},
		{name: "config", profiles: terminal, look: lookAtNBEConfig},
		{name: "agent-url", profiles: terminal, look: lookAtAgentURL},
		{name: "nes-url", profiles: terminal, look: lookAtNESURL},
		{name: "root", profiles: []string{profileTerminal, profileNES}, look: lookAtRoots},
		{name: "usb", profiles: terminal, look: lookAtUSBSuspend},
		{name: "nfc", profiles: terminal, look: lookAtNFCReaders},
		{name: "pools", profiles: servers, look: lookAtPools},
		{name: "applications", profiles: nes, look: lookAtApplications},
		{name: "enrollment", profiles: nes, onRequest: true, look: lookAtEnrollment},
		{name: "bindings", profiles: nes, look: lookAtBindings},
		{name: "config", profiles: nes, look: lookAtWebConfigs},
		{name: "dotnet48", profiles: servers, look: lookAtDotNet},
		{name: "features", profiles: servers, look: lookAtFeatures},
		{name: "domain-role", profiles: servers, look: lookAtDomainRole},
		{name: "sql", profiles: servers, look: lookAtSQL},
		{name: "ad", profiles: onNES, look: lookAtDirectory},
		{name: "open-handles", profiles: install, look: lookAtHandles},
		{name: "crl", profiles: ca, look: lookAtRevocationLists},
		{name: "domain", profiles: all, look: lookAtDomain},
		{name: "os", profiles: all, look: lookAtSystem},
		{name: "reboot", profiles: all, look: lookAtPendingReboot},
		{name: "disk", profiles: all, look: lookAtDisk},
		{name: "clock", profiles: all, look: lookAtClock},
	}
}

// checkNames lists the names that can be asked for, sorted.
func checkNames() []string {
	var names []string
	for _, c := range allChecks() {
		names = append(names, c.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func checksOf(profile string) []string {
	var names []string
	for _, c := range allChecks() {
		if slices.Contains(c.profiles, profile) {
			names = append(names, c.name)
		}
	}
	return names
}

// usbSuspend is the GUID of the setting "USB selective suspend", in the subgroup of USB settings.
const (
	usbSubgroup = "2a737441-1930-4402-8d77-b2bebba308a3"
	usbSuspend  = "48e6b7a6-50f5-4782-a5d4-53bb8f07e226"
)

// Where the NES URL is kept.
const (
	nesKey   = `SOFTWARE\Nymi\NES`
	nesValue = "URL"
)

func diagnoseCapabilities() []*actionv1.Capability {
	caps := []*actionv1.Capability{
		sdk.ReadDevice(bleservice.AdapterVendor, bleservice.AdapterProduct), sdk.ProbeAgentURL(),
		sdk.ReadRegistry(nesKey, nesValue), sdk.ReadPower(usbSuspend), sdk.ReadHost(),
		{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ},
		sdk.ReadIIS(), sdk.ReadBindings(), sdk.ReadFeatures(), sdk.ReadSite(), sdk.ProbeInventory(), sdk.UseLeases(),
	}
	for _, file := range []string{bleservice.ConfigFile, bleservice.TemplateFile} {
		caps = append(caps, sdk.ReadFile(bleservice.Root, file), sdk.ReadConfig(bleservice.Root, file))
	}
	for _, name := range neshost.Names() {
		caps = append(caps, sdk.ReadConfig(name, neshost.WebConfig))
	}
	for _, store := range []string{"Root", "My", "WebHosting"} {
		caps = append(caps, sdk.ReadCertificates(store))
	}
	for _, service := range []string{
		bleservice.Endpoint, bleservice.NymiAgent, neshost.WebService, neshost.ActivationService, neshost.CertificateService,
	} {
		caps = append(caps, sdk.ReadService(service))
	}
	return caps
}
