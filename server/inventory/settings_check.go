package inventory

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/certfacts"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/calendar"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// How many of each a site may have, and how large its settings may be in bytes: they are read with the site, and each change of
// them lies in the audit chain for good.
const (
	maxWindows       = 50
	maxBlackouts     = 200
	maxNESHosts      = 50
	maxRoots         = 50
	maxKnownHosts    = 50
	maxCertificate   = 8 << 10
	maxApprovals     = 2
	maxURL           = 256
	maxHost          = 253
	maxSettingsBytes = 160 << 10
)

var (
	hostLabel  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	hostOfName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$`)
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// violations gathers all that is wrong with a request, so that nobody has to find it out one by one.
type violations struct{ all []refusal.Violation }

func (v *violations) add(field, format string, args ...any) {
	v.all = append(v.all, refusal.Violation{Field: field, Text: fmt.Sprintf(format, args...)})
}

// text wants printable text of at most so many bytes.
func (v *violations) text(field, text string, most int) {
	if problem := textProblem(text, most); problem != "" {
		v.add(field, "%s", problem)
	}
}

// count wants at most so many, and tells whether that is so.
func (v *violations) count(field string, n, most int) bool {
	if n > most {
		v.add(field, "are %d, at most %d are allowed", n, most)
	}
	return n <= most
}

// refusal returns nil when nothing is wrong.
func (v *violations) refusal(what string) error {
	if len(v.all) == 0 {
		return nil
	}
	return refusal.New(refusal.Invalid, "BAD_SETTING", "%s: nothing was changed, because of what is wrong with it", what).
		With(v.all...).Then("correct what is named, and set it again")
}

// settings checks each setting by itself, and brings it into the form in which it is kept.
func (v *violations) settings(s *fleetv1.SiteSettings) {
	if size := proto.Size(s); size > maxSettingsBytes {
		v.add("settings", "are %d bytes, at most %d are allowed", size, maxSettingsBytes)
		return
	}
	if v.count("settings.windows", len(s.GetWindows()), maxWindows) && v.count("settings.blackouts", len(s.GetBlackouts()), maxBlackouts) {
		v.calendar(s)
	}
	if v.count("settings.nes_hosts", len(s.GetNesHosts()), maxNESHosts) {
		v.nesHosts(s.GetNesHosts())
	}
	if v.count("settings.approved_roots", len(s.GetApprovedRoots()), maxRoots) {
		v.roots(s.GetApprovedRoots())
	}
	if v.count("settings.known_hosts", len(s.GetKnownHosts()), maxKnownHosts) {
		v.knownHosts(s.GetKnownHosts())
	}
	v.nbeProfile(s.GetNbeProfile())
	if _, known := fleetv1.NymiAgentPlacement_name[int32(s.GetNymiAgent())]; !known {
		v.add("settings.nymi_agent", "placement %d does not exist", s.GetNymiAgent())
	}
	if s.GetNymiAgentUrl() != "" {
		v.url("settings.nymi_agent_url", s.GetNymiAgentUrl(), "ws", "wss")
	}
	if s.GetApprovals() > maxApprovals {
		v.add("settings.approvals", "is %d, want 0 to %d", s.GetApprovals(), maxApprovals)
	}
	if s.GetMinimumBandFirmware() != "" && !firmwareVersion.MatchString(s.GetMinimumBandFirmware()) {
		v.add("settings.minimum_band_firmware", "%q is no firmware version; write it as the band shows it, such as 4.1.0", clipped(s.GetMinimumBandFirmware()))
	}
}

func (v *violations) calendar(s *fleetv1.SiteSettings) {
	for n, b := range s.GetBlackouts() {
		v.text(fmt.Sprintf("settings.blackouts[%d].reason", n), b.GetReason(), maxDescription)
	}
	_, err := calendar.New(s)
	problems, _ := errors.AsType[calendar.Problems](err)
	for _, p := range problems {
		v.add("settings."+p.Field, "%s", p.Text)
	}
}

func (v *violations) nesHosts(hosts []*fleetv1.NESHost) {
	seen := map[string]bool{}
	for n, h := range hosts {
		field := func(name string) string { return fmt.Sprintf("settings.nes_hosts[%d].%s", n, name) }
		switch name := access.Fold(h.GetHost()); {
		case name == "":
			v.add(field("host"), "is missing; give the terminal's id or name, or the host's name")
		case seen[name]:
			v.add(field("host"), "%q is named twice", clipped(h.GetHost()))
		default:
			v.text(field("host"), h.GetHost(), maxHost)
			seen[name] = true
		}
		v.url(field("url"), h.GetUrl(), "https")
		if h.GetUsedBy() == "" {
			continue
		}
		e, err := selector.Parse(h.GetUsedBy())
		if err != nil {
			v.add(field("used_by"), "%v; see `fleetctl help expressions`", err)
			continue
		}
		h.UsedBy = e.String()
	}
}

// url wants an absolute address of one of the schemes. One with a password is refused, because settings are shown and audited.
func (v *violations) url(field, text string, schemes ...string) {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		v.add(field, "is %d bytes long, at most %d are allowed", len(text), maxURL)
	case text == "":
		v.add(field, "is missing; give an address that begins with %s://", schemes[len(schemes)-1])
	case err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme):
		v.add(field, "%q is no address that begins with %s://", clipped(text), schemes[len(schemes)-1])
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		v.add(field, "must be scheme, host and path alone: settings are shown, and are no place for a password")
	default:
		v.text(field, text, maxURL)
	}
}

func (v *violations) roots(roots []*fleetv1.ApprovedRoot) {
	names, hashes := map[string]bool{}, map[string]bool{}
	for n, r := range roots {
		field := func(name string) string { return fmt.Sprintf("settings.approved_roots[%d].%s", n, name) }
		switch {
		case r.GetName() == "":
			v.add(field("name"), "is missing")
		case names[r.GetName()]:
			v.add(field("name"), "%q is named twice", clipped(r.GetName()))
		default:
			v.text(field("name"), r.GetName(), maxDescription)
		}
		if len(r.GetCertificate()) > 0 {
			v.rootCertificate(field("certificate"), r)
		}
		switch {
		case !sha256Hex.MatchString(r.GetSha256()):
			v.add(field("sha256"), "%q is no SHA-256 in 64 lower case hexadecimal digits", clipped(r.GetSha256()))
		case hashes[r.GetSha256()]:
			v.add(field("sha256"), "%s is named twice", r.GetSha256())
		}
		names[r.GetName()], hashes[r.GetSha256()] = true, true
	}
}

// rootCertificate wants the certificate of an authority, or one that is signed by itself, with the hash that was given; when none was
// given it is worked out.
func (v *violations) rootCertificate(field string, r *fleetv1.ApprovedRoot) {
	if len(r.GetCertificate()) > maxCertificate {
		v.add(field, "is %d bytes long, at most %d are allowed", len(r.GetCertificate()), maxCertificate)
		return
	}
	c, err := x509.ParseCertificate(r.GetCertificate())
	switch {
	case err != nil:
		v.add(field, "is no certificate in DER: %v", err)
	case !certfacts.SelfSigned(c) && (!c.BasicConstraintsValid || !c.IsCA):
		v.add(field, "%q is neither an authority's nor signed by itself, so it can be no root; give the certificate of the authority that signed it", clipped(c.Subject.String()))
	case r.GetSha256() == "":
		r.Sha256 = certfacts.SHA256(c.Raw)
	case r.GetSha256() != certfacts.SHA256(c.Raw):
		v.add(field, "has the SHA-256 %s, and sha256 says another; leave sha256 out, or give the certificate that it is of", certfacts.SHA256(c.Raw))
	}
}

func (v *violations) knownHosts(hosts []*fleetv1.KnownHost) {
	seen := map[string]bool{}
	for n, h := range hosts {
		field := func(name string) string { return fmt.Sprintf("settings.known_hosts[%d].%s", n, name) }
		if !hostLabel.MatchString(h.GetLabel()) {
			v.add(field("label"), "%q is no label; use at most 32 lower case letters, digits and dashes, such as ad or sql", clipped(h.GetLabel()))
		}
		host, port, err := net.SplitHostPort(h.GetAddress())
		number, bad := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || bad != nil || number == 0 || net.ParseIP(host) == nil && !hostOfName.MatchString(host):
			v.add(field("address"), "%q is no host and port; give one such as dc1.lyon.example:636", clipped(h.GetAddress()))
		case seen[access.Fold(h.GetAddress())]:
			v.add(field("address"), "%q is named twice", clipped(h.GetAddress()))
		}
		seen[access.Fold(h.GetAddress())] = true
	}
}

func (v *violations) nbeProfile(profile map[string]string) {
	// What is at fault with the keys themselves is told in their order.
	for _, key := range slices.Sorted(maps.Keys(profile)) {
		if problem := nbeProblem(key, profile[key]); problem != "" {
			v.add(fmt.Sprintf("settings.nbe_profile[%s]", clipped(key)), "%s", problem)
		}
	}
}

// checkTogether checks what no setting can be judged for alone, on the settings as they will be.
func checkTogether(s *fleetv1.SiteSettings) error {
	v := &violations{}
	central := s.GetNymiAgent() == fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL
	if central && s.GetNymiAgentUrl() == "" {
		v.add("settings.nymi_agent_url", "is missing, and a central Nymi Agent needs its address")
	}
	if !central && s.GetNymiAgentUrl() != "" {
		v.add("settings.nymi_agent_url", "is given, and the Nymi Agent is not central")
	}
	if problem := cutoffProblem(s.GetNbeProfile()); problem != "" {
		v.add("settings.nbe_profile[rssi_cutoff_far]", "%s", problem)
	}
	return cmp.Or(v.refusal("settings that do not go together"), sizeProblem(s))
}

// sizeProblem looks at the whole: each change alone may have been small.
func sizeProblem(s *fleetv1.SiteSettings) error {
	size := proto.Size(s)
	if size <= maxSettingsBytes {
		return nil
	}
	return refusal.New(refusal.Exhausted, "TOO_LARGE", "settings: would be %d bytes, at most %d are allowed", size, maxSettingsBytes).
		At("settings").Then("remove windows, blackouts or hosts that are past")
}
