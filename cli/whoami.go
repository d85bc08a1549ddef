package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newWhoAmI(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "whoami",
		Short:   "Show who the server says you are, and what you may do",
		Long:    "Asks the server how it sees your certificate: name, roles, sites, and the end of its validity.",
		Example: "  fleetctl whoami",
		Args:    takes(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runWhoAmI(cmd.Context(), a) },
	}
}

func runWhoAmI(ctx context.Context, a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Access.WhoAmI(ctx, &fleetv1.WhoAmIRequest{})
	if err != nil {
		return err
	}
	return printObject(a, resp, resp.GetOperator().GetName(), func() {
		a.out.Fields(0, append(operatorFields(resp.GetOperator()),
			output.Text("Server", a.serverAddress()),
			output.Text("Server version", resp.GetServerVersion()),
			output.Text("Server time", output.UTC(resp.GetServerTime())),
		)...)
	})
}
