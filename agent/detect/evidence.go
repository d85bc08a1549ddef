package detect

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/bandfleet/bandfleet/agent/collect"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Bounds of what is told (agent.v1.Evidence), in bytes.
const (
	maxValue    = 1 << 10
	maxSubject  = 256
	maxEvidence = 16
)

// profile is the folder of a person ("C:\Users\jane", "/home/jane"). The shared ones of Windows belong to nobody.
var profile = regexp.MustCompile(`(?i)([\\/](?:users|home|documents and settings)[\\/]+)([^\\/"':*?<>|\r\n]+)`)

// account is a name in its domain ("CORP\jane"), and mailbox one before it ("jane@corp.example") or before an address ("https://jane@nes"). What stands behind a drive or within a path
// is neither.
var (
	account = regexp.MustCompile(`((?:^|[^\\/:\p{L}\p{N}._$-])([\p{L}\p{N}.-]{1,64})\\{1,2})([\p{L}\p{N}._$-]+)`)
	mailbox = regexp.MustCompile(`(?:://[^/\s@"'<>]+@)|[\p{L}\p{N}._%+'-]+@[\p{L}\p{N}.-]+`)
)

// masked stands in place of a name that is no folder's.
const masked = collect.Masked

// mask takes the names of people, and secrets, out of a text.
func mask(text string) string {
	text = collect.MaskLine(text)
	text = mailbox.ReplaceAllStringFunc(text, func(found string) string {
		if strings.HasPrefix(found, "://") {
			return "://" + masked + "@"
		}
		return masked
	})
	if !strings.ContainsAny(text, `\/`) {
		return text
	}
	text = account.ReplaceAllStringFunc(text, func(found string) string {
		groups := account.FindStringSubmatch(found)
		if nobodys(groups[2]) {
			return found
		}
		return groups[1] + masked
	})
	return profile.ReplaceAllStringFunc(text, func(found string) string {
		at := strings.LastIndexAny(found, `\/`) + 1
		switch strings.ToLower(found[at:]) {
		case "public", "default", "all users":
			return found
		}
		return found[:at] + "(user)"
	})
}

// nobodys says whether what stands before a backslash has no people in it: the system's own domains ("NT AUTHORITY") and hives of the registry.
func nobodys(domain string) bool {
	switch strings.ToLower(domain) {
	case "authority", "service", "builtin", "apppool", "hklm", "hkcu", "software", "system":
		return true
	}
	return false
}

// clean takes control characters out, and what is too long off its end, between characters.
func clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) <= most {
		return text
	}
	const more = "…"
	return strings.ToValidUTF8(text[:most-len(more)], "") + more
}

// evidenceOf joins what several readings say. The value of each signal comes first, under the signal's name: the server decides by them.
func evidenceOf(readings []Reading) []*agentv1.Evidence {
	var values, details []*agentv1.Evidence
	for _, r := range readings {
		values, details = append(values, r.Evidence[0]), append(details, r.Evidence[1:]...)
	}
	all := append(values, details...)
	return all[:min(len(all), maxEvidence)]
}

// stableOf joins what of it tells a change that matters.
func stableOf(readings []Reading) string {
	var all []string
	for _, r := range readings {
		all = append(all, r.stable)
	}
	return strings.Join(all, "\x01")
}
