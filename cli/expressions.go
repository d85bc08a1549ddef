package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
)

// express reads --select into a selection. The text is sent as it was typed; the server reads it with the same parser.
func (o *selectionOptions) express(s *fleetv1.Selection) (problems []string) {
	if len(o.expressions) > 1 {
		return []string{"--select: is given twice; join the two with and"}
	}
	for _, text := range o.expressions {
		_, err := selector.Parse(text)
		s.Expression = text
		problems = append(problems, pointedOut(err)...)
	}
	return problems
}

// pointedOut writes a fault of an expression with a caret under its column.
func pointedOut(err error) []string {
	fault, ok := errors.AsType[*selector.Error](err)
	if !ok {
		return nil
	}
	line, caret := fault.Excerpt()
	return []string{"--select: " + fault.Error(), continued + line, continued + caret}
}

// completeExpression proposes keys for the last word.
func completeExpression(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	start := strings.LastIndexAny(typed, " (,!") + 1
	var out []string
	for _, k := range selector.Keys() {
		if name := strings.TrimSuffix(k.Name, "KEY"); strings.HasPrefix(name, typed[start:]) {
			out = append(out, typed[:start]+name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

const expressionsLong = `--select EXPRESSION (-s) chooses terminals by what they are and how they do:

  KEY=VALUE  KEY!=VALUE  KEY in (A, B)  KEY notin (A, B)
  KEY<VALUE  KEY<=VALUE  KEY>VALUE      KEY>=VALUE       versions and numbers (2.9 is before 2.10), durations (90s, 2h, 7d)
  KEY        !KEY                                        it is known, or true; it is not
  not X      X and Y     X or Y         (X)              a comma is and; and goes before or

Values are bare words, or stand in double quotes, within which \" and \\ are a quote and a backslash. Case does not count,
except in labels. A version's order goes by its numbers: 2.1-rc1 is neither before nor after 2.1.

A comparison with what is not known of a terminal does not hold; != and notin are the exact opposite of = and in, so they do.
Facts are those that the agent last told: of a terminal that is offline they may be old, so ask for online as well.

Keys:
`

const expressionsMore = `
Together with --site, --role and the like all must hold. Terminals outside of your sites are never chosen, whatever is asked.
When an expression means other terminals at "yes" than were shown, nothing is created.

Examples:
  fleetctl get terminals -s 'online and not endpoint=running'
  fleetctl get terminals -s 'agent_version<2.1 or last_seen>7d'
  fleetctl fix ble-restart -s 'site in (lyon, turin) and label.hall="Hall A" and endpoint=stopped' --dry-run
`

// newExpressions makes the help topic "expressions".
func newExpressions() *cobra.Command {
	var keys strings.Builder
	for _, k := range selector.Keys() {
		help := k.Help
		if len(k.Values) > 0 {
			help += ": " + strings.Join(k.Values, ", ")
		}
		fmt.Fprintf(&keys, "  %-14s %s\n", k.Name, help)
	}
	return &cobra.Command{
		Use:   "expressions",
		Short: "How --select chooses terminals (help topic)",
		Long:  expressionsLong + keys.String() + expressionsMore,
	}
}
