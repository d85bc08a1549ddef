package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newPolicy(a *app) *cobra.Command {
	return newGroup("policy", "Say which faults are remedied by themselves",
		`A policy says what happens with certain faults: observe (they are shown), ask (the remedy's job is made and waits for a person's approval)
or auto (it runs). The first one in order that fits a fault decides. Some come with the product; they have the orders from 1000 on and can
be changed, disabled and removed. "fleetctl freeze" stops all of them at once.`,
		"  fleetctl policy list\n  fleetctl policy show start-stopped-services\n  fleetctl policy set lyon-observes --mode observe --site lyon --order 10",
		newPolicyList(a), newPolicyShow(a), newPolicySet(a), newPolicyDelete(a))
}

func newPolicyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List policies in the order in which they are asked",
		Long:    "Lists the policies in the order in which they are asked: the first one that fits a fault decides.",
		Example: "  fleetctl policy list\n  fleetctl policy list -o wide",
		Args:    takes(0),
		RunE: listed(a, func(ctx context.Context, c *client.Client) (*fleetv1.ListPoliciesResponse, error) {
			return c.Policies.ListPolicies(ctx, &fleetv1.ListPoliciesRequest{})
		}, func(resp *fleetv1.ListPoliciesResponse) listing[*fleetv1.Policy] {
			return listing[*fleetv1.Policy]{
				noun: "policies", rows: resp.GetPolicies(), columns: policyColumns(), name: (*fleetv1.Policy).GetName,
			}
		}),
	}
}

func policyColumns() []output.Column[*fleetv1.Policy] {
	return []output.Column[*fleetv1.Policy]{
		{Title: "POLICY", Text: (*fleetv1.Policy).GetName},
		{Title: "ORDER", Text: func(p *fleetv1.Policy) string { return strconv.FormatUint(uint64(p.GetOrder()), 10) }},
		{Title: "MODE", Text: modeWord, Style: policyStyle},
		{Title: "FAULTS", Text: faultsOfPolicy},
		{Title: "SITES", Text: func(p *fleetv1.Policy) string { return orWord(list(p.GetSites()), "all") }},
		{Title: "REFLEX", Text: func(p *fleetv1.Policy) string { return yesNo(p.GetReflex()) }},
		{Title: "ANY-TIME", Wide: true, Text: func(p *fleetv1.Policy) string { return yesNo(p.GetAnyTime()) }},
		{Title: "LIMITS", Wide: true, Text: attemptsWord},
		{Title: "CHANGED", Wide: true, Text: func(p *fleetv1.Policy) string {
			return output.UTC(p.GetChanged()) + " by " + orWord(p.GetChangedBy(), "the product")
		}},
	}
}

// modeWord is a policy's mode; what people must know is in capitals.
func modeWord(p *fleetv1.Policy) string {
	if p.GetDisabled() {
		return "DISABLED"
	}
	return word(p.GetMode())
}

func policyStyle(p *fleetv1.Policy) output.Style {
	if p.GetDisabled() {
		return output.Doubt
	}
	return output.Good
}

// faultsOfPolicy says which faults a policy is for.
func faultsOfPolicy(p *fleetv1.Policy) string {
	var parts []string
	for _, part := range []struct {
		prefix string
		names  []string
	}{{"", p.GetEntries()}, {"remedies of ", p.GetActions()}, {"kind ", p.GetKinds()}} {
		if len(part.names) > 0 {
			parts = append(parts, part.prefix+list(part.names))
		}
	}
	if p.GetRole() != fleetv1.TerminalRole_TERMINAL_ROLE_UNSPECIFIED {
		parts = append(parts, "on "+word(p.GetRole()))
	}
	return orWord(strings.Join(parts, "; "), "all")
}

// attemptsWord says how often a policy tries.
func attemptsWord(p *fleetv1.Policy) string {
	g := p.GetGuardrails()
	if g.GetMaxAttempts() == 0 {
		return "3 in 1h"
	}
	return strconv.FormatUint(uint64(g.GetMaxAttempts()), 10) + " in " + output.Duration(g.GetPeriod().AsDuration()) + ", " +
		output.Duration(g.GetCooldown().AsDuration()) + " apart"
}

func newPolicyShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "show POLICY",
		Short:             "Show a policy and what it does",
		Long:              "Shows a policy in full: for which faults it is, what it does with them, and what bounds it.",
		Example:           "  fleetctl policy show start-stopped-services\n  fleetctl policy show start-stopped-services -o yaml",
		Args:              takes(1, "POLICY"),
		ValidArgsFunction: byPlace(a.completePolicies),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Policies.GetPolicy(cmd.Context(), &fleetv1.GetPolicyRequest{Name: args[0]})
			if err != nil {
				return err
			}
			p := resp.GetPolicy()
			return printObject(a, p, p.GetName(), func() { describePolicy(a, p) })
		},
	}
}

func describePolicy(a *app, p *fleetv1.Policy) {
	percent := p.GetSiteBreakerPercent()
	if percent == 0 {
		percent = 30
	}
	a.out.Fields(0,
		output.Text("Name", p.GetName()),
		output.Text("Description", p.GetDescription()),
		output.Text("Order", strconv.FormatUint(uint64(p.GetOrder()), 10)),
		output.Text("Mode", modeWord(p)),
		output.Text("Faults", faultsOfPolicy(p)),
		output.Text("Sites", orWord(list(p.GetSites()), "all")),
		output.Text("Interrupting", map[bool]string{true: "asks a person all the same", false: "as the mode says"}[p.GetAskWhenDisruptive()]),
		output.Text("Windows", map[bool]string{true: "acts at any time", false: "waits for the site's windows, but to start what is stopped"}[p.GetAnyTime()]),
		output.Text("Reflex", map[bool]string{true: "the agent starts what is stopped while the server is away", false: "no"}[p.GetReflex()]),
		output.Text("Limits", attemptsWord(p)),
		output.Text("Quiet", map[bool]string{true: "not while a person is at work", false: "as the action says"}[p.GetGuardrails().GetOnlyWhenQuiet()]),
		output.Text("Site breaker", strconv.FormatUint(uint64(percent), 10)+"% of a site's terminals (5 at least): then nothing is remedied there by itself"),
		output.Text("Escalates to", orWord(p.GetEscalateTo(), "site-desk")),
		output.Text("Changed", output.UTC(p.GetChanged())+" by "+orWord(p.GetChangedBy(), "the product")),
	)
}

func newPolicyDelete(a *app) *cobra.Command {
	reason := ""
	c := &cobra.Command{
		Use:               "delete POLICY",
		Short:             "Remove a policy; its jobs stay",
		Long:              "Removes a policy. Its jobs stay, and the faults that it was for go to the next policy that fits them.",
		Example:           "  fleetctl policy delete lyon-observes --reason \"trial is over\"",
		Args:              takes(1, "POLICY"),
		ValidArgsFunction: byPlace(a.completePolicies),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Policies.DeletePolicy(cmd.Context(), &fleetv1.DeletePolicyRequest{Name: args[0], Reason: reason}); err != nil {
				return err
			}
			a.out.Line("policy %s is removed", args[0])
			return nil
		},
	}
	addReason(c, &reason)
	return c
}

// completePolicies offers the names of policies.
func (a *app) completePolicies(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.Policies.ListPolicies(ctx, &fleetv1.ListPoliciesRequest{})
		return namesOf(resp.GetPolicies(), (*fleetv1.Policy).GetName), err
	})
}
