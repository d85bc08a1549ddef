package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newGetActions(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "actions [ACTION]",
		Aliases:           []string{"action"},
		Short:             "List the actions that terminals offer",
		Long:              "Lists the remedies and checks that terminals of your sites offer, a line for each version. Named, with -o json, it is a GetActionResponse.",
		Example:           "  fleetctl get actions",
		Args:              takes(0, "ACTION"),
		ValidArgsFunction: byPlace(a.completeActions),
		RunE:              func(cmd *cobra.Command, args []string) error { return runGetActions(cmd.Context(), a, first(args)) },
	}
}

func runGetActions(ctx context.Context, a *app, name string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	l := listing[*fleetv1.OfferedAction]{noun: "actions", columns: actionColumns(), name: offeredName}
	if name != "" {
		resp, err := action(ctx, c, name)
		if err != nil {
			return err
		}
		l.document, l.rows = resp, resp.GetActions()
		return printList(a, l)
	}
	resp, err := c.Inventory.ListActions(ctx, &fleetv1.ListActionsRequest{})
	if err != nil {
		return err
	}
	l.document, l.rows = resp, resp.GetActions()
	return printList(a, l)
}

func offeredName(o *fleetv1.OfferedAction) string { return o.GetAction().GetName() }

func actionColumns() []output.Column[*fleetv1.OfferedAction] {
	return []output.Column[*fleetv1.OfferedAction]{
		{Title: "ACTION", Text: offeredName},
		{Title: "VERSION", Text: func(o *fleetv1.OfferedAction) string { return o.GetAction().GetVersion() }},
		{Title: "TERMINALS", Text: func(o *fleetv1.OfferedAction) string { return number(o.GetTerminals()) }},
		{Title: "DISRUPTIVE", Text: func(o *fleetv1.OfferedAction) string { return yesNo(o.GetAction().GetDisruptive()) }},
		{Title: "SUMMARY", Text: func(o *fleetv1.OfferedAction) string { return o.GetAction().GetSummary() }},
		{Title: "PLUGIN", Wide: true, Text: func(o *fleetv1.OfferedAction) string { return o.GetPlugin() + " " + o.GetPluginVersion() }},
		{Title: "ROLES", Wide: true, Text: func(o *fleetv1.OfferedAction) string { return list(o.GetAction().GetRoles()) }},
	}
}

// action reads an action by name; when it is not there, the error names those that were perhaps meant.
func action(ctx context.Context, c *client.Client, name string) (*fleetv1.GetActionResponse, error) {
	resp, err := c.Inventory.GetAction(ctx, &fleetv1.GetActionRequest{Name: name})
	if !exit.Is(err, exit.NotFound) {
		return resp, err
	}
	e := exit.From(err)
	known, listErr := actionNames(ctx, c)
	switch near := nearest(name, known); {
	case listErr != nil:
		return nil, e
	case near != "":
		return nil, e.Then("did you mean %q? see `fleetctl get actions`", near)
	case len(known) == 0:
		return nil, e.Then("no terminal of your sites offers an action yet; enrol one whose plugins offer it")
	default:
		return nil, e.Then("known are %s", strings.Join(known, ", "))
	}
}

func actionNames(ctx context.Context, c *client.Client) ([]string, error) {
	resp, err := c.Inventory.ListActions(ctx, &fleetv1.ListActionsRequest{})
	if err != nil {
		return nil, err
	}
	names := namesOf(resp.GetActions(), offeredName)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// paramNames returns "name=" for each parameter of an action, for completion.
func paramNames(ctx context.Context, c *client.Client, name string) ([]string, error) {
	resp, err := c.Inventory.GetAction(ctx, &fleetv1.GetActionRequest{Name: name})
	if err != nil || len(resp.GetActions()) == 0 {
		return nil, err
	}
	return namesOf(resp.GetActions()[0].GetAction().GetParams(), func(p *actionv1.Param) string { return p.GetName() + "=" }), nil
}

// nearest returns the known name that begins with name, or that differs so little from it that it was perhaps meant.
func nearest(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, name) }); i >= 0 {
		return known[i]
	}
	best := slices.MinFunc(known, func(a, b string) int { return cmp.Compare(distance(name, a), distance(name, b)) })
	if distance(name, best) <= min(max(2, len(best)/3), len(best)/2) {
		return best
	}
	return ""
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func list(names []string) string { return strings.Join(names, ",") }
