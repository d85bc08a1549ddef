package detect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
)

const (
	// neededFree is what the system's volume must have left, in bytes.
	neededFree = 1 << 30
	// mostSkew is how far the clock may be off before certificates look expired and tickets of the domain are refused.
	mostSkew = 5 * time.Minute
	// leastDotNet is the release number of .NET Framework 4.8.
	leastDotNet = 528040
	// firstController is the first of Windows' roles in a domain that are a domain controller's.
	firstController = 4
)

// errUntold is why a fact of the machine is unknown.
var errUntold = errors.New("this machine does not tell it")

// readMachine reads what every machine has.
func readMachine(ctx context.Context, v view) ([]Reading, error) {
	m, err := v.cfg.Host.System.Detail(ctx)
	if err != nil {
		return nil, err
	}
	return []Reading{pendingReboot(m), clock(v, m), disk(m)}, nil
}

func untold(m *actionv1.MachineState, field string) bool {
	return slices.Contains(m.GetUnknown(), field)
}

func pendingReboot(m *actionv1.MachineState) Reading {
	if untold(m, "reboot_pending") {
		return unknownOf("pending-reboot", "", errUntold)
	}
	return read("pending-reboot", either(m.GetRebootPending(), "yes", "no"), said("cause", strings.Join(m.GetRebootReasons(), ", ")))
}

// clock compares with the server's. A simulated machine says by how much its own is off.
func clock(v view, m *actionv1.MachineState) Reading {
	offset, told := m.GetClockOffset().AsDuration(), m.GetClockOffset() != nil
	if v.cfg.Offset != nil {
		if real, ok := v.cfg.Offset(); ok {
			offset, told = offset+real, true
		}
	}
	if !told {
		return unknownOf("clock", "", errors.New("the server has not told its time yet"))
	}
	return read("clock", either(offset.Abs() > mostSkew, "skewed", "ok"), varying("offset", offset.Round(time.Second).String()))
}

func disk(m *actionv1.MachineState) Reading {
	const volume = "system"
	if untold(m, "free_bytes") {
		return unknownOf("disk", volume, errUntold)
	}
	free := fmt.Sprintf("%.1f GiB", float64(m.GetFreeBytes())/(1<<30))
	return readOf("disk", volume, either(m.GetFreeBytes() < neededFree, "low", "ok"), varying("free", free))
}

// readDomain reads what depends on the machine's domain and system.
func readDomain(ctx context.Context, v view) ([]Reading, error) {
	m, err := v.cfg.Host.System.Detail(ctx)
	if err != nil {
		return nil, err
	}
	h, err := v.cfg.Host.System.Describe(ctx)
	if err != nil {
		return nil, err
	}
	seven := h.GetOs() == "windows" && (h.GetOsVersion() == "6.1" || strings.HasPrefix(h.GetOsVersion(), "6.1."))
	return []Reading{domain(v, m), read("windows-7", either(seven, "yes", "no"), said("version", h.GetOsVersion()))}, nil
}

// domain compares the machine's domain with those that the NES hosts have by their names. A machine that is in none, or a NES host that has no
// full name, cannot be compared.
func domain(v view, m *actionv1.MachineState) Reading {
	const signal = "domain"
	others := nesDomains(v)
	switch {
	case untold(m, "domain"):
		return unknownOf(signal, "", errUntold)
	case m.GetDomain() == "":
		return unknownOf(signal, "", errors.New("this machine is in no domain"))
	case len(others) == 0:
		return unknownOf(signal, "", errors.New("the names of the NES hosts have no domain"))
	}
	same := slices.ContainsFunc(others, func(o string) bool { return o == folded(m.GetDomain()) })
	return read(signal, either(same, "same", "other"), said("domain", m.GetDomain()), said("expected", strings.Join(others, " or ")))
}

func nesDomains(v view) []string {
	var domains []string
	for _, text := range usedURLs(v) {
		u, err := url.Parse(text)
		if err != nil || net.ParseIP(u.Hostname()) != nil {
			continue
		}
		if _, domain, ok := strings.Cut(folded(u.Hostname()), "."); ok && domain != "" {
			domains = append(domains, domain)
		}
	}
	return domains
}

// readServerFacts reads what NES wants of its server.
func readServerFacts(ctx context.Context, v view) ([]Reading, error) {
	m, err := v.cfg.Host.System.Detail(ctx)
	if err != nil {
		return nil, err
	}
	return []Reading{dotnet(m), controller(m)}, nil
}

func dotnet(m *actionv1.MachineState) Reading {
	if untold(m, "dotnet_release") {
		return unknownOf("dotnet", "", errUntold)
	}
	release := strconv.FormatUint(uint64(m.GetDotnetRelease()), 10)
	return read("dotnet", either(m.GetDotnetRelease() < leastDotNet, "old", "ok"), said("release", release))
}

func controller(m *actionv1.MachineState) Reading {
	if untold(m, "domain_role") || m.DomainRole == nil {
		return unknownOf("domain-controller", "", errUntold)
	}
	role := strconv.FormatUint(uint64(m.GetDomainRole()), 10)
	return read("domain-controller", either(m.GetDomainRole() >= firstController, "yes", "no"), said("role", role))
}

// usbSuspend is the setting "USB selective suspend" of the active power plan.
func usbSuspend() *actionv1.PowerSetting {
	return &actionv1.PowerSetting{Subgroup: "2a737441-1930-4402-8d77-b2bebba308a3", Setting: "48e6b7a6-50f5-4782-a5d4-53bb8f07e226"}
}

func readUSBSuspend(ctx context.Context, v view) ([]Reading, error) {
	p, err := v.cfg.Host.Power.Get(ctx, usbSuspend())
	if err != nil {
		return nil, err
	}
	word := func(index uint32) string { return either(index == 0, "off", "on") }
	return []Reading{read("usb-suspend", either(p.GetAc() == 0 && p.GetDc() == 0, "off", "on"),
		said("on mains", word(p.GetAc())), said("on battery", word(p.GetDc())), said("set by", either(p.GetByPolicy(), "a group policy", "")))}, nil
}

// readFeatures reads the features of Windows that NES needs.
func readFeatures(ctx context.Context, v view) ([]Reading, error) {
	states, err := v.cfg.Host.Features.State(ctx, neededFeatures())
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, f := range states.GetFeatures() {
		if !f.GetInstalled() {
			missing = append(missing, f.GetName()+either(f.GetKnown(), "", " (not known to this Windows)"))
		}
	}
	return []Reading{read("windows-features", either(len(missing) > 0, "missing", "ok"), said("missing", strings.Join(missing, ", ")))}, nil
}

// neededFeatures are the features of Windows that NES needs, as dism names them (guide: IIS features; ASP.NET, ISAPI extensions and filters).
func neededFeatures() []string {
	return []string{"NetFx4Extended-ASPNET45", "IIS-ASPNET45", "IIS-ISAPIExtensions", "IIS-ISAPIFilter"}
}

// Values of the CA's configuration in the registry (certutil -getreg CA\CSP).
const (
	caKey         = `SYSTEM\CurrentControlSet\Services\CertSvc\Configuration`
	wantedCSP     = "Microsoft Software Key Storage Provider"
	wantedCSPAlgo = "ECDSA_P256"
)

// readProvider reads the cryptographic provider of the active CA. A machine without one has none.
func readProvider(ctx context.Context, v view) ([]Reading, error) {
	const signal = "ca-provider"
	get := v.cfg.Host.Registry.Get
	active, err := get(ctx, caKey, "Active")
	if err != nil {
		return []Reading{read(signal, catalogue.Unknown, said("cause", err.Error()))}, nil
	}
	key := caKey + `\` + active + `\CSP`
	provider, err := get(ctx, key, "Provider")
	if err != nil {
		return nil, err
	}
	algorithm, err := get(ctx, key, "CNGPublicKeyAlgorithm")
	if err != nil {
		algorithm = ""
	}
	// A provider of before CNG has no such value, and is another one.
	good := strings.EqualFold(provider, wantedCSP) && strings.EqualFold(algorithm, wantedCSPAlgo)
	return []Reading{read(signal, either(good, "ok", "other"), said("provider", provider), said("algorithm", algorithm))}, nil
}
