package calendar

import (
	"fmt"
	"strings"
)

// Problem is something wrong with one setting.
type Problem struct {
	// Field is the path within the settings ("windows[0].start").
	Field string
	// Text says what is wrong and what to give instead.
	Text string
}

// Problems is all that is wrong with a site's settings, in the order of the fields.
type Problems []Problem

// Error implements error.
func (p Problems) Error() string {
	all := make([]string, len(p))
	for n, one := range p {
		all[n] = one.Field + ": " + one.Text
	}
	return strings.Join(all, "; ")
}

func (p *Problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

func at(path string, places ...any) string { return fmt.Sprintf(path, places...) }

// clipped shortens what is quoted from a request.
func clipped(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
