package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// maxSoak is the longest soak that the API takes.
const maxSoak = 24 * time.Hour

// rolloutOptions are the flags that say how a job spreads. They are kept as text, so that all problems are told together; what
// is not given is left to the server's defaults.
type rolloutOptions struct {
	canary, waves                       string
	maxConcurrent, maxConcurrentPerSite string
	floor                               string
	maxErrors, maxConsecutive           string
	soak                                string
	onLimit                             string
}

func (o *rolloutOptions) addTo(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.canary, "canary", "", "try `N` or N% terminals first, then all: the same as --waves N,100% (default: a canary of 1)")
	f.StringVar(&o.waves, "waves", "", "how many terminals each wave reaches with those before it, as in `1,5%,25%,100%`")
	f.StringVar(&o.maxConcurrent, "max-concurrent", "", "most terminals that are worked on at once, as `N or N%` (default 10%; all when there are 5 or fewer)")
	f.StringVar(&o.maxConcurrentPerSite, "max-concurrent-per-site", "", "the same on each site, as `N or N%` of the job's terminals there (default: no limit of its own)")
	f.StringVar(&o.floor, "floor", "", "keep so many user terminals with the same value of a label working, as in `zone=3` (default: none)")
	f.StringVar(&o.maxErrors, "max-errors", "", "so many failures are the limit, as `N or N%` of what the waves up to now reach (default 20%)")
	f.StringVar(&o.maxConsecutive, "max-consecutive", "", "so many failures in a row, `N`, are the limit (default 3)")
	f.StringVar(&o.soak, "soak", "", "watch the health of what was served for this `duration` between waves, at most 24h (default: not)")
	f.StringVar(&o.onLimit, "on-limit", "", "what happens at a limit: `pause`, stop or continue (default pause)")
	mustComplete(c, "on-limit", fixedCompletion(words(fleetv1.LimitAction(0))...))
	mustComplete(c, "floor", cobra.NoFileCompletions)
}

// rollout returns what the flags say, nil when they say nothing.
func (o *rolloutOptions) rollout(problems *[]string) *fleetv1.Rollout {
	if *o == (rolloutOptions{}) {
		return nil
	}
	return &fleetv1.Rollout{
		Waves:                o.spread(problems),
		MaxConcurrent:        parseAmount("--max-concurrent", o.maxConcurrent, problems),
		MaxConcurrentPerSite: parseAmount("--max-concurrent-per-site", o.maxConcurrentPerSite, problems),
		Floor:                parseFloor(o.floor, problems),
		MaxErrors:            parseAmount("--max-errors", o.maxErrors, problems),
		MaxConsecutive:       parseCount("--max-consecutive", o.maxConsecutive, problems),
		Soak:                 parseSoak(o.soak, problems),
		OnLimit:              parseLimitAction(o.onLimit, problems),
	}
}

// spread reads --canary or --waves.
func (o *rolloutOptions) spread(problems *[]string) []*fleetv1.Amount {
	switch {
	case o.canary != "" && o.waves != "":
		*problems = append(*problems, "--canary and --waves exclude each other: write the canary as the first of the waves")
		return nil
	case o.waves != "":
		return parseWaves(o.waves, problems)
	case o.canary == "":
		return nil
	}
	first := parseAmount("--canary", o.canary, problems)
	if first.GetPercent() == 100 {
		return []*fleetv1.Amount{first}
	}
	return []*fleetv1.Amount{first, percent(100)}
}

// parseFloor reads "zone=3".
func parseFloor(text string, problems *[]string) *fleetv1.Floor {
	if text == "" {
		return nil
	}
	label, digits, ok := strings.Cut(text, "=")
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || !isLabelKey(label) || err != nil || n == 0 {
		*problems = append(*problems, "--floor "+strconv.Quote(text)+": want a label and how many must keep working, as in zone=3")
		return nil
	}
	return &fleetv1.Floor{Label: label, Working: uint32(n)}
}

// isLabelKey tells whether a text can be the key of a label.
func isLabelKey(text string) bool {
	return text != "" && len(text) <= 63 && strings.Trim(text[:1], "._-") != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// parseCount reads a number from 1; none is 0.
func parseCount(flag, text string, problems *[]string) uint32 {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		*problems = append(*problems, flag+" "+strconv.Quote(text)+": want a number from 1")
		return 0
	}
	return uint32(n)
}

func parseSoak(text string, problems *[]string) *durationpb.Duration {
	if text == "" {
		return nil
	}
	d, err := parseSpan(text)
	switch {
	case err != nil:
		*problems = append(*problems, "--soak: "+err.Error())
	case d > maxSoak:
		*problems = append(*problems, "--soak "+text+": want at most 24h")
	}
	return durationpb.New(d)
}

func parseLimitAction(text string, problems *[]string) fleetv1.LimitAction {
	if text == "" {
		return 0
	}
	return parseChoice[fleetv1.LimitAction]("--on-limit", text, problems)
}

// parseChoice is parseWord that adds its problem to the others.
func parseChoice[E enum](flag, text string, problems *[]string) E {
	e, err := parseWord[E](flag, text)
	if err != nil {
		*problems = append(*problems, oneLine(err))
	}
	return e
}
