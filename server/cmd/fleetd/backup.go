package main

import (
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server/upkeep"
)

type backupOptions struct{ dataDir, out string }

func newBackup() *cobra.Command {
	o := &backupOptions{}
	cmd := &cobra.Command{
		Use:   "backup --data-dir DIR --out FILE",
		Short: "Copy the store of a server that is stopped",
		Long: `Copy the store of a server that is stopped to FILE, which must not be there yet. It is written with mode 0600, and is whole
and on disk when the command ends, or not there. A server that runs is backed up with "fleetctl backup".

The backup holds the store alone. A restore also needs ca.crt and ca.key of the data directory: copy them once, and keep the
copy as safe as the key.`,
		Example: "  fleetd backup --data-dir /var/lib/bandfleet --out /backup/bandfleet-monday.db",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBackup(cmd, o) },
	}
	dataDirFlag(cmd, &o.dataDir)
	cmd.Flags().StringVar(&o.out, "out", "", "file to write")
	return cmd
}

func runBackup(cmd *cobra.Command, o *backupOptions) error {
	if err := required(flagValues{{"data-dir", o.dataDir}, {"out", o.out}}); err != nil {
		return err
	}
	size, err := upkeep.Backup(cmd.Context(), o.dataDir, o.out)
	if err != nil {
		return err
	}
	say(cmd, "backup %s: %d bytes", o.out, size)
	return nil
}
