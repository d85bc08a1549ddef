package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// selectionOptions are the flags that say which terminals are meant. They are read raw and split here: pflag's own slices
// drop an empty value, and --site "$UNSET" would then mean every site.
type selectionOptions struct {
	sites     []string
	terminals []string
	hosts     []string
	roles     []string
	labels    []string
	// expressions are those of --select; more than one is a problem.
	expressions []string
}

func (o *selectionOptions) addTo(c *cobra.Command, a *app) {
	f := c.Flags()
	f.StringArrayVar(&o.sites, "site", nil, "terminals of these `sites` (repeatable, or separated by commas)")
	f.StringArrayVar(&o.terminals, "terminal", nil, "these `terminals`, by name or id (repeatable, or separated by commas)")
	f.StringArrayVar(&o.hosts, "host", nil, "these NES `hosts`, by name or id (repeatable, or separated by commas)")
	f.StringArrayVar(&o.roles, "role", nil, "terminals of this `role`: "+strings.Join(words(fleetv1.TerminalRole(0)), " or "))
	f.StringArrayVarP(&o.labels, "label", "l", nil, "terminals with this `label=value` (repeatable: all must hold)")
	f.StringArrayVarP(&o.expressions, "select", "s", nil, "terminals for which this `expression` holds, as in 'site=lyon and endpoint=stopped'; see `fleetctl help expressions`")
	mustComplete(c, "select", completeExpression)
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "host", a.completeHosts)
	mustComplete(c, "label", a.completeLabels)
	mustComplete(c, "role", fixedCompletion(words(fleetv1.TerminalRole(0))...))
}

// selection returns what the flags say, and every problem with them.
func (o *selectionOptions) selection() (*fleetv1.Selection, []string) {
	var problems []string
	s := &fleetv1.Selection{
		Sites:     named("--site", o.sites, &problems),
		Terminals: named("--terminal", o.terminals, &problems),
		Hosts:     named("--host", o.hosts, &problems),
	}
	for i, site := range s.GetSites() {
		s.Sites[i] = strings.ToLower(site)
	}
	if len(o.roles) > 1 {
		problems = append(problems, "--role: is given twice")
	}
	for _, text := range o.roles {
		role, err := parseWord[fleetv1.TerminalRole]("--role", text)
		if err != nil {
			problems = append(problems, oneLine(err))
		}
		s.Role = role
	}
	labels, more := parsePairs("-l", o.labels)
	for name, value := range labels {
		if value == "" {
			more = append(more, "-l "+name+": the value is empty")
		}
	}
	s.Labels = labels
	problems = append(problems, more...)
	return s, append(problems, o.express(s)...)
}

// isEmpty tells whether nothing was said. Nothing never means everything.
func (o *selectionOptions) isEmpty() bool {
	return len(o.sites)+len(o.terminals)+len(o.hosts)+len(o.labels)+len(o.roles)+len(o.expressions) == 0
}

// named splits and trims names. An empty one is a problem.
func named(flag string, texts []string, problems *[]string) []string {
	var out []string
	for _, text := range texts {
		for n := range strings.SplitSeq(text, ",") {
			if n = strings.TrimSpace(n); n == "" {
				*problems = append(*problems, flag+": an empty name")
				continue
			}
			out = append(out, n)
		}
	}
	return out
}

// parsePairs reads "name=value" texts. A name given twice is a problem: it cannot be known which value was meant.
func parsePairs(flag string, texts []string) (map[string]string, []string) {
	out := make(map[string]string, len(texts))
	var problems []string
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		switch _, twice := out[name]; {
		case !ok || name == "":
			problems = append(problems, flag+" "+text+": want name=value")
		case twice:
			problems = append(problems, flag+" "+name+": is given twice")
		default:
			out[name] = value
		}
	}
	return out, problems
}

// oneLine writes an error and its next step in one line.
func oneLine(err error) string {
	e := exit.From(err)
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}
