package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newSecret(a *app) *cobra.Command {
	return newGroup("secret", "Put, list and delete secrets that one terminal alone can open",
		`A secret is a password, or a certificate with its key, that an action needs on one terminal. It is sealed on this machine to the key of
that terminal: the server keeps it and cannot open it. A parameter of an action names it as secret:NAME.`,
		"  fleetctl secret put nes.pfx --for nes-lyon-1 --file nes.pfx --pfx --password-secret nes.password\n  fleetctl secret list --for nes-lyon-1",
		newSecretPut(a), newSecretList(a), newSecretDelete(a))
}

func newSecretList(a *app) *cobra.Command {
	terminal := ""
	c := &cobra.Command{
		Use:   "list",
		Short: "List secrets, never what is in them",
		Long: `Lists what is public of the secrets of your sites' terminals. One that is not usable was sealed to a key that its terminal has no
more, because it was enrolled anew: put it again.`,
		Example: "  fleetctl secret list\n  fleetctl secret list --for nes-lyon-1 -o wide",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSecretList(cmd.Context(), a, terminal) },
	}
	c.Flags().StringVar(&terminal, "for", "", "secrets of this `terminal` only")
	mustComplete(c, "for", a.completeTerminals)
	return c
}

func runSecretList(ctx context.Context, a *app, terminal string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.ListSecrets(ctx, terminal)
	if err != nil {
		return err
	}
	return printList(a, listing[*fleetv1.Secret]{
		noun: "secrets", document: resp, rows: resp.GetSecrets(), columns: secretColumns(a), name: (*fleetv1.Secret).GetName,
	})
}

func secretColumns(a *app) []output.Column[*fleetv1.Secret] {
	return []output.Column[*fleetv1.Secret]{
		{Title: "NAME", Text: (*fleetv1.Secret).GetName},
		{Title: "TERMINAL", Text: (*fleetv1.Secret).GetTerminalName},
		{Title: "SITE", Text: (*fleetv1.Secret).GetSite},
		{Title: "KIND", Text: func(s *fleetv1.Secret) string { return word(s.GetKind()) }},
		{Title: "VERSION", Text: func(s *fleetv1.Secret) string { return strconv.FormatUint(s.GetVersion(), 10) }},
		{Title: "USABLE", Text: usableWord, Style: usableStyle},
		{Title: "PUT", Text: func(s *fleetv1.Secret) string { return output.Ago(s.GetCreated(), a.now()) }},
		{Title: "CERTIFICATE-ENDS", Text: func(s *fleetv1.Secret) string { return output.Ago(leafOf(s).GetNotAfter(), a.now()) }},
		{Title: "BY", Wide: true, Text: (*fleetv1.Secret).GetCreatedBy},
		{Title: "SUBJECT", Wide: true, Text: func(s *fleetv1.Secret) string { return leafOf(s).GetSubject() }},
		{Title: "SHA256", Wide: true, Text: func(s *fleetv1.Secret) string { return leafOf(s).GetSha256() }},
	}
}

func usableWord(s *fleetv1.Secret) string {
	if s.GetUsable() {
		return "yes"
	}
	return "no, put it again"
}

func usableStyle(s *fleetv1.Secret) output.Style {
	if s.GetUsable() {
		return output.Plain
	}
	return output.Bad
}

type secretDeleteOptions struct {
	name, terminal, reason string
	yes                    bool
}

func newSecretDelete(a *app) *cobra.Command {
	o := &secretDeleteOptions{}
	c := &cobra.Command{
		Use:   "delete NAME --for TERMINAL",
		Short: "Delete a secret for good",
		Long: `Deletes a secret. Jobs that name it fail where they have not read it yet, and approvals of such jobs count no more. What was
installed with it on the machine stays.`,
		Example:           "  fleetctl secret delete nes.pfx --for nes-lyon-1 --reason INC-4711",
		Args:              takes(1, "NAME"),
		ValidArgsFunction: byPlace(a.completeSecrets),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runSecretDelete(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVar(&o.terminal, "for", "", "the `terminal` that has it")
	mustComplete(c, "for", a.completeTerminals)
	addReason(c, &o.reason)
	addYes(c, &o.yes)
	return c
}

func runSecretDelete(ctx context.Context, a *app, o *secretDeleteOptions) error {
	if o.terminal == "" {
		return errNoTerminal("delete")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	a.people().Line("secret %s of %s will be gone for good", o.name, o.terminal)
	if err := a.confirm(ctx, o.yes); err != nil {
		return err
	}
	req := &fleetv1.DeleteSecretRequest{Terminal: o.terminal, Name: o.name, Reason: o.reason}
	resp, err := c.Secrets.DeleteSecret(ctx, req)
	if err != nil {
		return err
	}
	return printObject(a, resp, o.name, func() { a.out.Line("secret %s of %s deleted", o.name, o.terminal) })
}

func errNoTerminal(verb string) error {
	return exit.Errorf(exit.BadInput, "secret %s: --for is missing", verb).Then("say which terminal the secret is for, with --for")
}

func (a *app) completeSecrets(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	terminal, _ := cmd.Flags().GetString("for")
	return a.ask(cmd.Context(), typed, func(ctx context.Context, c *client.Client) ([]string, error) {
		resp, err := c.ListSecrets(ctx, terminal)
		return namesOf(resp.GetSecrets(), (*fleetv1.Secret).GetName), err
	})
}
