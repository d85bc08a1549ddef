package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// settingText writes one setting for the audit record; two that differ have different texts. A test holds that every setting
// of the contract is here.
func settingText(s *fleetv1.SiteSettings, name string) string {
	switch name {
	case "time_zone":
		return s.GetTimeZone()
	case "windows":
		return joined(s.GetWindows(), windowText)
	case "blackouts":
		return joined(s.GetBlackouts(), func(b *fleetv1.Blackout) string {
			return fmt.Sprintf("%s to %s %q", b.GetStart(), b.GetEnd(), b.GetReason())
		})
	case "nes_hosts":
		return joined(s.GetNesHosts(), func(h *fleetv1.NESHost) string {
			return fmt.Sprintf("%s %s used by %q", h.GetHost(), h.GetUrl(), h.GetUsedBy())
		})
	case "approved_roots":
		return joined(s.GetApprovedRoots(), rootText)
	case "known_hosts":
		return joined(s.GetKnownHosts(), func(h *fleetv1.KnownHost) string { return h.GetLabel() + " " + h.GetAddress() })
	case "nbe_profile":
		return joined(slices.Sorted(maps.Keys(s.GetNbeProfile())), func(key string) string { return key + " = " + s.GetNbeProfile()[key] })
	case "nymi_agent":
		return s.GetNymiAgent().String()
	case "nymi_agent_url":
		return s.GetNymiAgentUrl()
	case "approvals":
		return strconv.FormatUint(uint64(s.GetApprovals()), 10)
	case "minimum_band_firmware":
		return s.GetMinimumBandFirmware()
	default:
		return ""
	}
}

// rootText tells whether the certificate is kept, which has the hash and so need not be told.
func rootText(r *fleetv1.ApprovedRoot) string {
	text := fmt.Sprintf("%q %s", r.GetName(), r.GetSha256())
	if len(r.GetCertificate()) > 0 {
		text += " with its certificate"
	}
	return text
}

func windowText(w *fleetv1.Window) string {
	days := "every day"
	if len(w.GetDays()) > 0 {
		days = "days " + strings.Trim(fmt.Sprint(w.GetDays()), "[]")
	}
	return fmt.Sprintf("%s %s to %s", days, w.GetStart(), w.GetEnd())
}

func joined[T any](all []T, text func(T) string) string {
	out := make([]string, len(all))
	for n, one := range all {
		out[n] = text(one)
	}
	return strings.Join(out, "; ")
}
