package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// Free space below which logs cannot be collected, and below which nothing works for long, in bytes.
	wantedFree = 5 << 30
	neededFree = 1 << 30
	// A clock that is this much off makes certificates look expired.
	clockWarns = time.Minute
	clockBad   = 5 * time.Minute
	// leastDotNet is the release number of .NET Framework 4.8.
	leastDotNet = 528040
)

// facts reads the machine's facts; when they, or the field, cannot be told, that is recorded under the rule and false returned.
func (e *exam) facts(ctx context.Context, field, rule, subject, expected string) (*actionv1.MachineState, bool) {
	m, err := e.machineFacts(ctx)
	if err != nil {
		e.unknown(rule, subject, expected, err.Error())
		return nil, false
	}
	if slices.Contains(m.GetUnknown(), field) {
		e.unknown(rule, subject, expected, "this machine does not tell it")
		return nil, false
	}
	return m, true
}

func lookAtDomain(ctx context.Context, e *exam) {
	const rule, subject, expected = "domain", "domain membership", "a member of the domain"
	m, ok := e.facts(ctx, "domain", rule, subject, expected)
	if !ok {
		return
	}
	value := m.GetDomain()
	if value == "" {
		value = "in no domain"
	}
	e.judge(m.GetDomain() != "", warning, rule, subject, value, expected, "join this machine to the domain, as the Deployment Guide says")
}

// lookAtDomainRole: NES on a domain controller cannot find its database (SQL error 26).
func lookAtDomainRole(ctx context.Context, e *exam) {
	const rule, subject, expected = "domain-role", "role in the domain", "a member server"
	m, ok := e.facts(ctx, "domain_role", rule, subject, expected)
	if !ok {
		return
	}
	if m.DomainRole == nil {
		e.unknown(rule, subject, expected, "this machine does not tell it")
		return
	}
	e.judge(m.GetDomainRole() == 3, roleLevel(m.GetDomainRole()), rule, subject, roleWord(m.GetDomainRole()), expected, roleAdvice(m.GetDomainRole()))
}

// roleWord names a role in a domain as Windows numbers it (Win32_ComputerSystem.DomainRole).
func roleWord(role uint32) string {
	words := []string{"standalone workstation", "member workstation", "standalone server", "member server", "backup domain controller", "primary domain controller"}
	if int(role) >= len(words) {
		return fmt.Sprintf("role %d", role)
	}
	return words[role]
}

const firstController = 4

func roleLevel(role uint32) actionv1.FindingLevel {
	if role >= firstController {
		return problem
	}
	return warning
}

func roleAdvice(role uint32) string {
	if role >= firstController {
		return "NES cannot work on a domain controller (SQL error 26): install it on a member server"
	}
	return "NES wants a server that is a member of the domain: join it, as the Deployment Guide says"
}

func lookAtSystem(ctx context.Context, e *exam) {
	const rule, expected = "os", "a supported release of Windows"
	h, err := e.hostFacts(ctx)
	if err != nil {
		e.unknown(rule, "operating system", expected, err.Error())
		return
	}
	e.good(rule, h.GetHostname(), strings.TrimSpace(h.GetOs()+" "+h.GetOsVersion()), expected)
}

func lookAtPendingReboot(ctx context.Context, e *exam) {
	const rule, subject, expected = "reboot", "pending restart", "none"
	m, ok := e.facts(ctx, "reboot_pending", rule, subject, expected)
	if !ok {
		return
	}
	value := "none"
	if m.GetRebootPending() {
		value = "pending: " + strings.Join(m.GetRebootReasons(), ", ")
	}
	e.judge(!m.GetRebootPending(), warning, rule, subject, value, expected, "restart this machine at a quiet moment (action host-reboot)")
}

func lookAtDisk(ctx context.Context, e *exam) {
	const rule, subject, expected = "disk", "free space", "at least 5 GiB"
	m, ok := e.facts(ctx, "free_bytes", rule, subject, expected)
	if !ok {
		return
	}
	level := warning
	if m.GetFreeBytes() < neededFree {
		level = problem
	}
	e.judge(m.GetFreeBytes() >= wantedFree, level, rule, subject, fmt.Sprintf("%.1f GiB", float64(m.GetFreeBytes())/(1<<30)), expected,
		"make room on the system drive")
}

func lookAtClock(ctx context.Context, e *exam) {
	const rule, subject, expected = "clock", "clock, against the server's", "less than 1 minute off"
	m, ok := e.facts(ctx, "clock_offset", rule, subject, expected)
	if !ok {
		return
	}
	if m.GetClockOffset() == nil {
		e.unknown(rule, subject, expected, "it was not compared in the last session")
		return
	}
	offset := m.GetClockOffset().AsDuration()
	level := warning
	if offset.Abs() > clockBad {
		level = problem
	}
	e.judge(offset.Abs() <= clockWarns, level, rule, subject, offset.Round(time.Millisecond).String(), expected,
		"set the clock, and see the time source of the domain; a wrong clock makes certificates look expired or not yet valid")
}

func lookAtUSBSuspend(ctx context.Context, e *exam) {
	const rule, subject, expected = "usb-suspend", "USB selective suspend", "off, on mains and on battery"
	p, err := e.r.Power(ctx, &actionv1.PowerSetting{Subgroup: usbSubgroup, Setting: usbSuspend})
	if err != nil {
		e.unknown(rule, subject, expected, err.Error())
		return
	}
	word := func(index uint32) string { return map[bool]string{true: "off", false: "on"}[index == 0] }
	value := fmt.Sprintf("%s on mains, %s on battery", word(p.GetAc()), word(p.GetDc()))
	message := "run usb-suspend-disable on this terminal"
	if p.GetByPolicy() {
		value, message = value+", by group policy", "change the group policy that sets it"
	}
	e.judge(p.GetAc() == 0 && p.GetDc() == 0, warning, rule, subject, value, expected, message)
}

func lookAtNFCReaders(ctx context.Context, e *exam) {
	const rule, subject, expected = "nfc-readers", "NFC readers", "at most one"
	m, ok := e.facts(ctx, "nfc_readers", rule, subject, expected)
	if !ok {
		return
	}
	if m.NfcReaders == nil {
		e.unknown(rule, subject, expected, "this machine does not tell it")
		return
	}
	e.judge(m.GetNfcReaders() <= 1, warning, rule, subject, fmt.Sprint(m.GetNfcReaders()), expected, "unplug all NFC readers but one")
}

// lookAtDotNet: without .NET Framework 4.8 the applications answer HTTP 500.19 and the database is not set up.
func lookAtDotNet(ctx context.Context, e *exam) {
	const rule, subject, expected = "dotnet48", ".NET Framework", "release 528040 (4.8) or later"
	m, ok := e.facts(ctx, "dotnet_release", rule, subject, expected)
	if !ok {
		return
	}
	value := fmt.Sprintf("release %d", m.GetDotnetRelease())
	if m.GetDotnetRelease() == 0 {
		value = "not installed"
	}
	e.judge(m.GetDotnetRelease() >= leastDotNet, problem, rule, subject, value, expected, "install .NET Framework 4.8, as the Deployment Guide says")
}

func lookAtFeatures(ctx context.Context, e *exam) {
	const rule, expected = "features", "installed"
	states, err := e.r.Features(ctx, neshost.AllFeatureIDs()...)
	if err != nil {
		e.unknown(rule, "features of Windows", expected, err.Error())
		return
	}
	for _, f := range states.GetFeatures() {
		value := map[bool]string{true: "installed", false: "not installed"}[f.GetInstalled()]
		if !f.GetKnown() {
			value = "not known to this Windows"
		}
		e.judge(f.GetInstalled(), problem, rule, f.GetName(), value, expected, "run windows-feature-ensure on this host")
	}
}
