package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newOperator(a *app) *cobra.Command {
	return newGroup("operator", "Let people in and shut them out",
		"Operators are people, or programs, with a certificate of their own and roles on sites:\n  viewer    reads\n  operator  reads, asks for jobs, keeps labels and bands\n  approver  reads, approves jobs of others\n  admin     all of these but approving own jobs; lets machines and people in",
		"  fleetctl operator create ada --role operator --site lyon --out ada.yaml\n  fleetctl operator revoke ada --reason \"left the company\"",
		newOperatorCreate(a), newOperatorRenew(a), newOperatorList(a), newOperatorRevoke(a))
}

func newOperatorList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List operators",
		Long:    "Lists all operators with their roles. Only an administrator of all sites may do it.",
		Example: "  fleetctl operator list -o wide",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runGetOperators(cmd.Context(), a, "") },
	}
}

type operatorRevokeOptions struct {
	name, reason string
}

func newOperatorRevoke(a *app) *cobra.Command {
	o := &operatorRevokeOptions{}
	c := &cobra.Command{
		Use:               "revoke NAME",
		Short:             "Shut an operator out at once",
		Long:              "Shuts an operator out at once and for good; the name is never given to another. It does not ask, because it may be urgent. The last administrator cannot be revoked.",
		Example:           "  fleetctl operator revoke ada --reason \"laptop stolen\"",
		Args:              takes(1, "NAME"),
		ValidArgsFunction: byPlace(a.completeOperators),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runOperatorRevoke(cmd.Context(), a, o)
		},
	}
	addReason(c, &o.reason)
	return c
}

func runOperatorRevoke(ctx context.Context, a *app, o *operatorRevokeOptions) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.RevokeOperator(ctx, &fleetv1.RevokeOperatorRequest{Name: o.name, Reason: o.reason})
	if err != nil {
		return err
	}
	op := resp.GetOperator()
	return printObject(a, op, op.GetName(), func() { a.out.Line("operator %s is shut out", op.GetName()) })
}

// bindingsText writes roles with their sites: "operator@lyon,basel viewer@*".
func bindingsText(o *fleetv1.Operator) string {
	texts := make([]string, 0, len(o.GetBindings()))
	for _, b := range o.GetBindings() {
		texts = append(texts, word(b.GetRole())+"@"+strings.Join(b.GetSites(), ","))
	}
	return strings.Join(texts, " ")
}

func operatorState(o *fleetv1.Operator) string {
	if o.GetRevoked() {
		return "revoked"
	}
	return "active"
}

func operatorColumns(a *app) []output.Column[*fleetv1.Operator] {
	return []output.Column[*fleetv1.Operator]{
		{Title: "NAME", Text: (*fleetv1.Operator).GetName},
		{Title: "ROLES", Text: bindingsText},
		{Title: "STATE", Text: operatorState},
		{Title: "CERTIFICATE", Text: func(o *fleetv1.Operator) string {
			return expiryWord(output.Ago(o.GetCertificateExpires(), a.now()))
		}},
		{Title: "EXPIRES", Wide: true, Text: func(o *fleetv1.Operator) string { return output.UTC(o.GetCertificateExpires()) }},
		{Title: "CREATED", Wide: true, Text: func(o *fleetv1.Operator) string { return output.UTC(o.GetCreated()) }},
		{Title: "BY", Wide: true, Text: (*fleetv1.Operator).GetCreatedBy},
	}
}

// expiryWord says "ends in 80d" or "ended 3d ago".
func expiryWord(ago string) string {
	switch {
	case ago == "":
		return ""
	case strings.HasPrefix(ago, "in "):
		return "ends " + ago
	default:
		return "ended " + ago
	}
}

func operatorFields(o *fleetv1.Operator) []output.Field {
	fields := []output.Field{
		output.Text("Name", o.GetName()),
		output.Text("State", operatorState(o)),
		output.Text("Created", output.UTC(o.GetCreated())),
		output.Text("Created by", o.GetCreatedBy()),
		output.Text("Certificate until", output.UTC(o.GetCertificateExpires())),
	}
	for _, b := range o.GetBindings() {
		fields = append(fields, output.Text("Role "+word(b.GetRole()), "on "+strings.Join(b.GetSites(), ", ")))
	}
	return fields
}
