package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/bandfleet/bandfleet/cli/output"
)

// maxSpanDays keeps a number of days within what a time.Duration holds.
const maxSpanDays = 36500

// span is a flag's duration: as Go writes it ("90s", "1h30m"), with days in front if wanted ("14d", "1d12h").
type span time.Duration

// spanVar adds a flag that takes a span. usage tells the bounds.
func spanVar(f *pflag.FlagSet, p *time.Duration, name string, value time.Duration, usage string) {
	*p = value
	f.Var((*span)(p), name, usage)
}

// Set implements pflag.Value.
func (s *span) Set(text string) error {
	d, err := parseSpan(text)
	*s = span(d)
	return err
}

// Type implements pflag.Value.
func (*span) Type() string { return "duration" }

// String implements pflag.Value; the empty text keeps the help from showing a default of 0.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return output.Duration(time.Duration(*s))
}

// parseSpan is the one reading of durations on the command line.
func parseSpan(text string) (time.Duration, error) {
	days, rest, found := strings.Cut(text, "d")
	if !found {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > maxSpanDays || strings.HasPrefix(rest, "-") {
		return 0, badSpan(text)
	}
	if found && rest == "" {
		rest = "0s"
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, badSpan(text)
	}
	return time.Duration(n)*24*time.Hour + d, nil
}

func badSpan(text string) error {
	return fmt.Errorf("%q is no duration; write it like 90s, 5m, 2h or 14d", text)
}
