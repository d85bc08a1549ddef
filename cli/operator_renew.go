package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newOperatorRenew(a *app) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "renew",
		Short: "Renew your own certificate",
		Long: "Makes a new key and exchanges your certificate for one that is valid 90 days from now, in a new context file. The file that " +
			"you use now works until the new one is used for the first time. An operator whose time to live was chosen with --ttl " +
			"cannot renew; an expired certificate cannot be renewed either: ask an administrator for a new operator.",
		Example: "  fleetctl operator renew --out ada-2.yaml",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runOperatorRenew(cmd.Context(), a, out) },
	}
	c.Flags().StringVar(&out, "out", "", "`file` for the new context; it must not be there yet")
	return c
}

func runOperatorRenew(ctx context.Context, a *app, out string) error {
	if out == "" {
		return exit.Errorf(exit.BadInput, "--out is missing").Then("name the file for the new context, as in --out ada-2.yaml")
	}
	if err := checkWritable(out); err != nil {
		return err
	}
	own, err := a.readContext()
	if err != nil {
		return err
	}
	key, csr, err := newOperatorKey()
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.RenewOperator(ctx, &fleetv1.RenewOperatorRequest{Csr: csr})
	if err != nil {
		return err
	}
	if err := writeOperatorContext(out, own.context.Server, key, resp); err != nil {
		return exit.Errorf(exit.Internal, "the new context file could not be written: %v", err).
			Then("the present one goes on working; try again with another --out")
	}
	op := resp.GetOperator()
	return printObject(a, op, op.GetName(), func() {
		a.out.Line("operator %s renewed: certificate until %s", op.GetName(), output.UTC(op.GetCertificateExpires()))
		a.out.Line("next: use %s with --config or `fleetctl config use`; the earlier file ends with its first use", out)
	})
}
