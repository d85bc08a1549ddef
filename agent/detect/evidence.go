package detect

import (
	"regexp"
	"strings"
	"unicode"

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

// mask takes the names of people out of a text.
func mask(text string) string {
	if !strings.ContainsAny(text, `\/`) {
		return text
	}
	return profile.ReplaceAllStringFunc(text, func(found string) string {
		at := strings.LastIndexAny(found, `\/`) + 1
		switch strings.ToLower(found[at:]) {
		case "public", "default", "all users":
			return found
		}
		return found[:at] + "(user)"
	})
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
