package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/health"
)

type getTerminalsOptions struct {
	selectionOptions
	name            string
	online, offline bool
	all             bool
}

func newGetTerminals(a *app) *cobra.Command {
	o := &getTerminalsOptions{}
	c := &cobra.Command{
		Use:     "terminals [TERMINAL]",
		Aliases: []string{"terminal"},
		Short:   "List terminals",
		Long:    "Lists terminals with what their agents last told: whether they are online, and what is wrong: which Nymi services do not run, and whether the Bluetooth adapter is absent. Agents look every 10 s. Without a selection it lists all of your sites.",
		Example: `  fleetctl get terminals --site lyon --offline
  fleetctl get terminals -l line=3 -o wide
  fleetctl get terminals --select 'agent_version<2.1 or last_seen>7d'
  fleetctl get terminals --role nes-host -o name`,
		Args:              takes(0, "TERMINAL"),
		ValidArgsFunction: byPlace(a.completeTerminals),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = first(args)
			return runGetTerminals(cmd.Context(), a, o)
		},
	}
	o.addTo(c, a)
	c.Flags().BoolVar(&o.online, "online", false, "only those that are online")
	c.Flags().BoolVar(&o.offline, "offline", false, "only those that are not online")
	c.Flags().BoolVar(&o.all, "all", false, "also those that are decommissioned")
	return c
}

func runGetTerminals(ctx context.Context, a *app, o *getTerminalsOptions) error {
	selection, err := o.check()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	l := listing[*fleetv1.Terminal]{noun: "terminals", columns: terminalColumns(a), name: (*fleetv1.Terminal).GetName}
	if o.name != "" {
		resp, err := c.Inventory.GetTerminal(ctx, &fleetv1.GetTerminalRequest{Terminal: o.name})
		if err != nil {
			return err
		}
		l.document, l.rows = resp.GetTerminal(), []*fleetv1.Terminal{resp.GetTerminal()}
		return printList(a, l)
	}
	resp, err := c.Terminals(ctx, &fleetv1.ListTerminalsRequest{Selection: selection, IncludeDecommissioned: o.all})
	if err != nil {
		return err
	}
	if o.online != o.offline {
		resp.Terminals = slices.DeleteFunc(resp.Terminals, func(t *fleetv1.Terminal) bool { return t.GetOnline() != o.online })
	}
	l.document, l.rows = resp, resp.GetTerminals()
	return printList(a, l)
}

func (o *getTerminalsOptions) check() (*fleetv1.Selection, error) {
	selection, problems := o.selection()
	if o.name != "" && !o.isEmpty() {
		problems = append(problems, "a name and a selection exclude each other")
	}
	if len(problems) > 0 {
		return nil, exit.Errorf(exit.BadInput, "this selection cannot be read").With(problems...)
	}
	return selection, nil
}

func terminalColumns(a *app) []output.Column[*fleetv1.Terminal] {
	return []output.Column[*fleetv1.Terminal]{
		{Title: "NAME", Text: (*fleetv1.Terminal).GetName},
		{Title: "SITE", Text: (*fleetv1.Terminal).GetSite},
		{Title: "ROLE", Text: func(t *fleetv1.Terminal) string { return word(t.GetRole()) }},
		{Title: "STATE", Text: onlineWord, Style: onlineStyle},
		{Title: "SEEN", Text: func(t *fleetv1.Terminal) string { return seen(a, t) }},
		{Title: "HEALTH", Text: healthWord, Style: healthStyle},
		{Title: "ID", Wide: true, Text: (*fleetv1.Terminal).GetId},
		{Title: "LABELS", Wide: true, Text: func(t *fleetv1.Terminal) string { return pairs(t.GetLabels()) }},
		{Title: "HOSTNAME", Wide: true, Text: func(t *fleetv1.Terminal) string { return t.GetFacts().GetHostname() }},
		{Title: "OS", Wide: true, Text: osWord},
		{Title: "ADAPTER", Wide: true, Text: func(t *fleetv1.Terminal) string { return health.Adapter(t.GetFacts().GetAdapter()) }},
		{Title: "AGENT", Wide: true, Text: func(t *fleetv1.Terminal) string { return t.GetFacts().GetAgentVersion() }},
		{Title: "LAST-SEEN", Wide: true, Text: func(t *fleetv1.Terminal) string { return output.UTC(t.GetLastSeen()) }},
	}
}

func seen(a *app, t *fleetv1.Terminal) string {
	if t.GetOnline() {
		return "now"
	}
	return output.Ago(t.GetLastSeen(), a.now())
}

func osWord(t *fleetv1.Terminal) string {
	return strings.TrimSpace(t.GetFacts().GetOs() + " " + t.GetFacts().GetOsVersion())
}

// healthWord is "ok", or what is wrong with a terminal: Nymi services that do not run, a Bluetooth adapter that is not there. Of a
// terminal that is away it says what was so when it last told.
func healthWord(t *fleetv1.Terminal) string {
	if t.GetFacts() == nil {
		return ""
	}
	text := cmp.Or(strings.Join(ills(t), ", "), "ok")
	if !t.GetOnline() {
		return "was " + text
	}
	return text
}

// ills lists what is wrong with a terminal.
func ills(t *fleetv1.Terminal) []string { return health.Faults(t.GetRole(), t.GetFacts()) }

func healthStyle(t *fleetv1.Terminal) output.Style {
	switch {
	case !t.GetOnline():
		return output.Faint
	case len(ills(t)) > 0:
		return output.Bad
	default:
		return output.Plain
	}
}

// serviceWord writes a service's state: "running, process 412", "stopped", "not installed".
func serviceWord(s *actionv1.ServiceState) string {
	text := health.Service(s)
	if s.GetPid() != 0 {
		text += ", process " + number(s.GetPid())
	}
	if s.GetExitCode() != 0 {
		text += fmt.Sprintf(", last exit code %d", s.GetExitCode())
	}
	if s.GetDisabled() {
		text += ", disabled"
	}
	return text
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
