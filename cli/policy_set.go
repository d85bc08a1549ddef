package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// policyOptions are the flags of policy set.
type policyOptions struct {
	policy           fleetv1.Policy
	mode, role       string
	attempts         uint32
	period, cooldown time.Duration
	quiet            bool
	reason           string
	flags            *pflag.FlagSet
}

func newPolicySet(a *app) *cobra.Command {
	o := &policyOptions{}
	c := &cobra.Command{
		Use:   "set POLICY",
		Short: "Make a policy or change it",
		Long: `Makes a policy, or changes what the flags name of one that exists and leaves the rest. A list that is given replaces the one there was;
an empty one ("--site ''") means all. The server refuses what does not make sense and says all that is wrong.`,
		Example: "  fleetctl policy set lyon-observes --mode observe --site lyon --order 10 --reason \"validation in November\"\n" +
			"  fleetctl policy set start-stopped-services --max-attempts 5 --period 2h\n  fleetctl policy set ask-for-the-rest --disabled",
		Args:              takes(1, "POLICY"),
		ValidArgsFunction: byPlace(a.completePolicies),
		RunE:              func(cmd *cobra.Command, args []string) error { return runPolicySet(cmd.Context(), a, o, args[0]) },
	}
	o.addTo(c, a)
	return c
}

func (o *policyOptions) addTo(c *cobra.Command, a *app) {
	f, p := c.Flags(), &o.policy
	f.StringVar(&o.mode, "mode", "", "observe, ask or auto")
	f.Uint32Var(&p.Order, "order", 0, "smaller ones are asked first")
	f.StringSliceVar(&p.Entries, "entry", nil, "only these entries of the catalogue (repeatable)")
	f.StringSliceVar(&p.Sites, "site", nil, "only at these sites (repeatable)")
	f.StringSliceVar(&p.Actions, "action", nil, "only where the remedy takes no other actions than these (repeatable)")
	f.StringSliceVar(&p.Kinds, "kind", nil, "only remedies of this kind: auto, auto-with-approval or guided (repeatable)")
	f.StringVar(&o.role, "role", "", "only on user-terminal or nes-host")
	f.BoolVar(&p.AskWhenDisruptive, "ask-when-disruptive", false, "ask all the same where the remedy interrupts what works")
	f.BoolVar(&p.AnyTime, "any-time", false, "also outside of the site's maintenance windows")
	f.BoolVar(&p.Reflex, "reflex", false, "the agent may start what is stopped while the server is away")
	f.Uint32Var(&o.attempts, "max-attempts", 0, "so many attempts within the period")
	spanVar(f, &o.period, "period", 0, "in which attempts count")
	spanVar(f, &o.cooldown, "cooldown", 0, "between the end of one attempt and the next")
	f.BoolVar(&o.quiet, "only-when-quiet", false, "not while a person is at work")
	f.Uint32Var(&p.SiteBreakerPercent, "site-breaker", 0, "do nothing when more than this `percent` of a site's terminals are faulty")
	f.StringVar(&p.EscalateTo, "escalate-to", "", "operator or role that gets what could not be remedied")
	f.Uint32Var(&p.Approvals, "approvals", 0, "how many must approve what asks: 1 or 2")
	f.BoolVar(&p.Disabled, "disabled", false, "do not use it")
	f.StringVar(&p.Description, "description", "", "for people")
	addReason(c, &o.reason)
	o.flags = f
	mustComplete(c, "mode", fixedCompletion(words(fleetv1.PolicyMode(0))...))
	mustComplete(c, "role", fixedCompletion(words(fleetv1.TerminalRole(0))...))
	mustComplete(c, "kind", fixedCompletion("auto", "auto-with-approval", "guided"))
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "action", a.completeActions)
}

func runPolicySet(ctx context.Context, a *app, o *policyOptions, name string) error {
	var problems []string
	o.read(&problems)
	if len(problems) > 0 {
		return exit.Errorf(exit.BadInput, "policy %q: nothing was changed", name).With(problems...).Then("see `fleetctl policy set --help`")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	wanted, err := o.wanted(ctx, c, name)
	if err != nil {
		return err
	}
	resp, err := c.Policies.SetPolicy(ctx, &fleetv1.SetPolicyRequest{Policy: wanted, Reason: o.reason, Etag: wanted.GetEtag()})
	if err != nil {
		return err
	}
	p := resp.GetPolicy()
	return printObject(a, p, p.GetName(), func() { a.out.Line("policy %s: %s, for %s", p.GetName(), modeWord(p), faultsOfPolicy(p)) })
}

// read reads the flags that are words.
func (o *policyOptions) read(problems *[]string) {
	if o.mode != "" {
		o.policy.Mode = parseChoice[fleetv1.PolicyMode]("--mode", o.mode, problems)
	}
	if o.role != "" {
		o.policy.Role = parseChoice[fleetv1.TerminalRole]("--role", o.role, problems)
	}
}

// wanted is the policy as it is, or a new one, with what the flags name.
func (o *policyOptions) wanted(ctx context.Context, c *client.Client, name string) (*fleetv1.Policy, error) {
	resp, err := c.Policies.GetPolicy(ctx, &fleetv1.GetPolicyRequest{Name: name})
	p := resp.GetPolicy()
	switch {
	case exit.Is(err, exit.NotFound):
		p = &fleetv1.Policy{Name: name}
	case err != nil:
		return nil, err
	}
	o.flags.Visit(func(f *pflag.Flag) { o.set(p, f.Name) })
	return p, nil
}

// set takes the value of a flag over.
func (o *policyOptions) set(p *fleetv1.Policy, flag string) {
	given := &o.policy
	if p.Guardrails == nil {
		p.Guardrails = &agentv1.Guardrails{}
	}
	fields := map[string]func(){
		"mode": func() { p.Mode = given.Mode }, "order": func() { p.Order = given.Order }, "entry": func() { p.Entries = given.Entries },
		"site": func() { p.Sites = given.Sites }, "action": func() { p.Actions = given.Actions }, "kind": func() { p.Kinds = given.Kinds },
		"role": func() { p.Role = given.Role }, "ask-when-disruptive": func() { p.AskWhenDisruptive = given.AskWhenDisruptive },
		"any-time": func() { p.AnyTime = given.AnyTime }, "reflex": func() { p.Reflex = given.Reflex },
		"max-attempts": func() { p.Guardrails.MaxAttempts = o.attempts },
		"period":       func() { p.Guardrails.Period = durationpb.New(o.period) }, "cooldown": func() { p.Guardrails.Cooldown = durationpb.New(o.cooldown) },
		"only-when-quiet": func() { p.Guardrails.OnlyWhenQuiet = o.quiet }, "site-breaker": func() { p.SiteBreakerPercent = given.SiteBreakerPercent },
		"escalate-to": func() { p.EscalateTo = given.EscalateTo }, "approvals": func() { p.Approvals = given.Approvals },
		"disabled": func() { p.Disabled = given.Disabled }, "description": func() { p.Description = given.Description },
	}
	if set := fields[flag]; set != nil {
		set()
	}
}
