package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newToken(a *app) *cobra.Command {
	return newGroup("token", "Make, list and revoke enrolment tokens",
		"A token lets machines into one site with one role, for some uses and some time. It holds the fingerprint of the server's CA, so a machine that enrols with it refuses a wrong server.",
		"  fleetctl token create --site lyon --role user-terminal --uses 10 --ttl 1h",
		newTokenCreate(a), newTokenList(a), newTokenRevoke(a))
}

type tokenCreateOptions struct {
	site, role string
	uses       uint32
	ttl        time.Duration
}

func newTokenCreate(a *app) *cobra.Command {
	o := &tokenCreateOptions{}
	c := &cobra.Command{
		Use:   "create --site SITE",
		Short: "Make an enrolment token",
		Long: `Makes a token and shows its text, this once. -o name prints the text alone. Only an administrator of the site may do
it. Each call makes another token.`,
		Example: `  fleetctl token create --site lyon --role user-terminal --uses 10 --ttl 1h
  TOKEN=$(fleetctl token create --site lyon --role nes-host -o name)`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runTokenCreate(cmd.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.site, "site", "", "the `site` that the machines join")
	f.StringVar(&o.role, "role", "user-terminal", "their `role`: "+strings.Join(words(fleetv1.TerminalRole(0)), " or "))
	f.Uint32Var(&o.uses, "uses", 1, "how many machines may use it, 1 to 10000")
	spanVar(f, &o.ttl, "ttl", time.Hour, "how long it may be used, 1m to 720h")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "role", fixedCompletion(words(fleetv1.TerminalRole(0))...))
	return c
}

func runTokenCreate(ctx context.Context, a *app, o *tokenCreateOptions) error {
	if o.site == "" {
		return exit.Errorf(exit.BadInput, "token: --site is missing").Then("say which site the machines join, with --site")
	}
	role, err := parseWord[fleetv1.TerminalRole]("--role", o.role)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.CreateToken(ctx, &fleetv1.CreateTokenRequest{
		Site: strings.ToLower(o.site), Role: role, Uses: o.uses, Ttl: durationpb.New(o.ttl),
	})
	if err != nil {
		return err
	}
	return printObject(a, resp, resp.GetText(), func() {
		t := resp.GetToken()
		a.out.Line("token %s: %s at site %s, role %s, until %s", t.GetId(), output.Count(t.GetUses(), "use"), t.GetSite(), word(t.GetRole()), output.UTC(t.GetExpires()))
		printToken(a, resp.GetText())
	})
}

func newTokenList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List enrolment tokens, never their text",
		Long:    "Lists the enrolment tokens of your sites; their text is never shown again. Only administrators may do it.",
		Example: "  fleetctl token list -o wide",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGetTokens(cmd.Context(), a) },
	}
}

func runGetTokens(ctx context.Context, a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Tokens(ctx)
	if err != nil {
		return err
	}
	return printList(a, listing[*fleetv1.Token]{
		noun: "tokens", document: resp, rows: resp.GetTokens(), columns: tokenColumns(a), name: (*fleetv1.Token).GetId,
	})
}

func tokenColumns(a *app) []output.Column[*fleetv1.Token] {
	return []output.Column[*fleetv1.Token]{
		{Title: "ID", Text: (*fleetv1.Token).GetId},
		{Title: "SITE", Text: (*fleetv1.Token).GetSite},
		{Title: "ROLE", Text: func(t *fleetv1.Token) string { return word(t.GetRole()) }},
		{Title: "USED", Text: func(t *fleetv1.Token) string { return number(t.GetUsed()) + "/" + number(t.GetUses()) }},
		{Title: "STATE", Text: func(t *fleetv1.Token) string { return word(t.GetState()) }},
		{Title: "EXPIRES", Text: func(t *fleetv1.Token) string { return output.Ago(t.GetExpires(), a.now()) }},
		{Title: "TERMINAL", Wide: true, Text: (*fleetv1.Token).GetTerminalId},
		{Title: "CREATED", Wide: true, Text: func(t *fleetv1.Token) string { return output.UTC(t.GetCreated()) }},
		{Title: "BY", Wide: true, Text: (*fleetv1.Token).GetCreatedBy},
	}
}

func newTokenRevoke(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "revoke ID",
		Short:             "End an enrolment token",
		Long:              "Ends a token at once. Machines that enrolled with it stay; decommission those that should not.",
		Example:           "  fleetctl token revoke 01jd3v7w0000000000000000",
		Args:              takes(1, "ID"),
		ValidArgsFunction: byPlace(a.completeTokens),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTokenRevoke(cmd.Context(), a, args[0])
		},
	}
}

func runTokenRevoke(ctx context.Context, a *app, id string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.RevokeToken(ctx, &fleetv1.RevokeTokenRequest{Id: id})
	if err != nil {
		return err
	}
	t := resp.GetToken()
	return printObject(a, t, t.GetId(), func() {
		a.out.Line("token %s is %s; %s enrolled with it", t.GetId(), word(t.GetState()), output.Count(t.GetUsed(), "machine"))
	})
}
