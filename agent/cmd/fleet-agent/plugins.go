package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/agent/plugins"
)

func newPlugins() *cobra.Command {
	return group(&cobra.Command{
		Use:   "plugins",
		Short: "Write or verify a folder's plugins.lock",
		Example: `  fleet-agent plugins lock bin/plugins
  fleet-agent plugins verify /opt/bandfleet/plugins`,
	}, newPluginsLock(), newPluginsVerify())
}

func newPluginsLock() *cobra.Command {
	var describeFrom string
	cmd := &cobra.Command{
		Use:   "lock DIR",
		Short: "Ask each plugin in DIR what it offers and write DIR/plugins.lock",
		Long: `Start each plugin in DIR, ask what it offers and may ever ask for, and write that with the hash of the file to
DIR/plugins.lock. An enrolling agent pins what stands there.`,
		Args: takes(1, 1),
	}
	cmd.Flags().StringVar(&describeFrom, "describe-from", "", "folder with the same plugins built for this machine, when DIR's were built for another system")
	cmd.RunE = action(func(_ *cobra.Command, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		if describeFrom == "" {
			return asInput(plugins.WriteLock(dir, ""))
		}
		from, err := filepath.Abs(describeFrom)
		if err != nil {
			return err
		}
		return asInput(plugins.WriteLock(dir, from))
	})
	return cmd
}

func newPluginsVerify() *cobra.Command {
	return &cobra.Command{
		Use:   "verify DIR",
		Short: "Check the plugins in DIR against DIR/plugins.lock and list them",
		Args:  takes(1, 1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			pins, err := plugins.ReadLock(dir)
			if err != nil {
				return asInput(err)
			}
			for _, p := range pins {
				m := p.Manifest
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s (%d actions)\n", m.GetName(), m.GetVersion(), len(m.GetActions())); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}
