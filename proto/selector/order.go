package selector

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// version is a number or a dotted version: "3", "v2.1.0", "2.1.0-rc.1".
type version struct {
	// parts are the numbers without leading zeros, and without zeros at the end: 2.1 is 2.1.0.
	parts []string
	// suffix is what follows from the first "-" or "+" on.
	suffix string
}

func parseVersion(text string) (v version, ok bool) {
	text = strings.TrimPrefix(strings.ToLower(text), "v")
	numbers := text
	if i := strings.IndexAny(text, "-+"); i >= 0 {
		numbers, v.suffix = text[:i], text[i:]
	}
	for part := range strings.SplitSeq(numbers, ".") {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return version{}, false
		}
		v.parts = append(v.parts, cmp.Or(strings.TrimLeft(part, "0"), "0"))
	}
	for len(v.parts) > 1 && v.parts[len(v.parts)-1] == "0" {
		v.parts = v.parts[:len(v.parts)-1]
	}
	return v, true
}

// compare orders versions by their numbers alone: whether a suffix means earlier (-rc.1) or later (-5-gabc) cannot be known.
func (v version) compare(w version) int {
	for i := range max(len(v.parts), len(w.parts)) {
		a, b := v.part(i), w.part(i)
		if c := cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)); c != 0 {
			return c
		}
	}
	return 0
}

func (v version) part(i int) string {
	if i < len(v.parts) {
		return v.parts[i]
	}
	return "0"
}

// foldVersion makes equal versions equal texts. What is no version is compared as text.
func foldVersion(text string) string {
	v, ok := parseVersion(text)
	if !ok {
		return strings.ToLower(text)
	}
	return strings.Join(v.parts, ".") + v.suffix
}

// maxDays keeps ages within what a duration holds.
const maxDays = 36_500

// parseAge reads a duration: whole days ("7d"), or as Go writes them ("90s", "1h30m").
func parseAge(text string) (time.Duration, bool) {
	if days, whole := strings.CutSuffix(text, "d"); whole {
		n, err := strconv.ParseUint(days, 10, 32)
		return time.Duration(n) * 24 * time.Hour, err == nil && n <= maxDays
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}
