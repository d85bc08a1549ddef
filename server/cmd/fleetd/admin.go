package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server"
)

type adminOptions struct{ dataDir, server, out string }

func newAdminContext() *cobra.Command {
	o := &adminOptions{}
	cmd := &cobra.Command{
		Use:   "admin-context --data-dir DIR --out FILE",
		Short: "Make another administrator when all are locked out",
		Long: `Make another administrator and write the context file for fleetctl, when no administrator can come in any more: their
certificates have expired, or their context files are lost. Stop the server first. The operator is named admin-2 (or the
next name that is free) and is audited; revoke those whose keys are lost with fleetctl operator revoke.`,
		Example: `  fleetd admin-context --data-dir /var/lib/fleetd --server fleet.example.com:7443 --out /root/admin-2.yaml`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAdminContext(cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dataDir, "data-dir", "", "data directory of the stopped server (required)")
	f.StringVar(&o.out, "out", "", "context file to write; must not be there yet (required)")
	f.StringVar(&o.server, "server", defaultListen, "address that fleetctl dials, HOST:PORT")
	return cmd
}

func runAdminContext(cmd *cobra.Command, o *adminOptions) error {
	var problems []error
	if o.dataDir == "" {
		problems = append(problems, errors.New("data-dir: is required: name the stopped server's directory"))
	}
	if o.out == "" {
		problems = append(problems, errors.New("out: is required: name the context file to write"))
	}
	if !dialable(o.server) {
		problems = append(problems, fmt.Errorf("server: is %q, want the HOST:PORT that fleetctl dials", o.server))
	}
	if err := errors.Join(problems...); err != nil {
		return usage(err)
	}
	name, err := server.AddAdministrator(cmd.Context(), o.dataDir, o.server, o.out)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "operator %s administers all sites; its context is %s\n"+
		"next: start the server, then revoke whoever lost a key: `fleetctl --config %s operator revoke NAME`\n", name, o.out, o.out)
	return err
}
