package cli

import (
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
		Long:    "Lists terminals with what their agents last told: whether they are online, and which Nymi services do not run. Without a selection it lists all of your sites.",
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
		{Title: "ID", Text: (*fleetv1.Terminal).GetId},
		{Title: "SITE", Text: (*fleetv1.Terminal).GetSite},
		{Title: "ROLE", Text: func(t *fleetv1.Terminal) string { return word(t.GetRole()) }},
		{Title: "STATE", Text: onlineWord, Style: onlineStyle},
		{Title: "SEEN", Text: func(t *fleetv1.Terminal) string { return seen(a, t) }},
		{Title: "SERVICES", Text: servicesWord, Style: servicesStyle},
		{Title: "LABELS", Wide: true, Text: func(t *fleetv1.Terminal) string { return pairs(t.GetLabels()) }},
		{Title: "HOSTNAME", Wide: true, Text: func(t *fleetv1.Terminal) string { return t.GetFacts().GetHostname() }},
		{Title: "OS", Wide: true, Text: osWord},
		{Title: "ADAPTER", Wide: true, Text: func(t *fleetv1.Terminal) string { return adapterWord(t.GetFacts().GetAdapter()) }},
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

// servicesWord names the services that do not run. Of a terminal that is away it says what was so when it last told.
func servicesWord(t *fleetv1.Terminal) string {
	var ill []string
	for _, s := range t.GetFacts().GetServices() {
		if s.GetInstalled() && s.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
			ill = append(ill, s.GetService()+" "+serviceWord(s))
		}
	}
	text := "running"
	if len(ill) > 0 {
		text = strings.Join(ill, ", ")
	}
	switch {
	case len(t.GetFacts().GetServices()) == 0:
		return ""
	case !t.GetOnline():
		return "was " + text
	default:
		return text
	}
}

func servicesStyle(t *fleetv1.Terminal) output.Style {
	switch w := servicesWord(t); {
	case w == "" || w == "running":
		return output.Plain
	case !t.GetOnline():
		return output.Faint
	default:
		return output.Bad
	}
}

// serviceWord writes a service's state: "running, process 412", "stopped", "not installed".
func serviceWord(s *actionv1.ServiceState) string {
	if !s.GetInstalled() {
		return "not installed"
	}
	text := word(s.GetStatus())
	if text == "" {
		text = "state unknown"
	}
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

func adapterWord(d *actionv1.DeviceState) string {
	switch devices := d.GetDevices(); {
	case d == nil:
		return ""
	case len(devices) == 0:
		return "absent"
	case len(devices) > 1:
		return output.Count(len(devices), "adapter")
	case devices[0].GetProblemCode() != 0:
		return "problem code " + number(devices[0].GetProblemCode())
	default:
		return "present"
	}
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
