package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve --data-dir DIR",
		Short: "Run the server",
		Long: `Run the server until it is told to stop (SIGTERM or Ctrl-C).

The first start makes the fleet's certificate authority and writes DIR/admin.yaml, with which fleetctl is the
administrator. Every flag can also be set in a YAML file (--config; underscores for dashes) or in the environment
(BANDFLEET_FLEETD_DATA_DIR, …). Flags win over the environment, the environment over the file.`,
		Example: `  fleetd serve --data-dir /var/lib/fleetd --listen 0.0.0.0:7443 --advertise fleet.example.com:7443
  FLEETCTL_CONFIG=/var/lib/fleetd/admin.yaml fleetctl get sites`,
		Args: noArgs,
		RunE: runServe,
	}
	addFlags(cmd.Flags())
	return cmd
}

func runServe(cmd *cobra.Command, _ []string) error {
	c, err := readConfig(cmd.Flags(), os.Environ())
	if err != nil {
		return usage(err)
	}
	diag := cmd.ErrOrStderr()
	s, err := server.New(cmd.Context(), server.Config{
		DataDir: c.DataDir, Listen: c.Listen, Advertise: c.Advertise, Version: version,
		AgentCertificateTTL: c.AgentCertificateTTL, JobRetention: c.JobRetention, Artifacts: c.artifactLimits(), Receivers: c.Receivers, Log: c.logger(diag),
	})
	if err != nil {
		return err
	}
	ready := fmt.Sprintf("fleetd %s listens on %s, data in %s", version, s.Addr(), c.DataDir)
	if path := s.AdminContext(); path != "" {
		ready += fmt.Sprintf("; first start: the administrator's context is %s (try `fleetctl --config %s get sites`)", path, path)
	}
	fmt.Fprintln(diag, ready)
	return s.Run(cmd.Context())
}
