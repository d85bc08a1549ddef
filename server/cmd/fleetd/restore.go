package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server/upkeep"
)

type restoreOptions struct {
	dataDir, from string
	replace       bool
}

func newRestore() *cobra.Command {
	o := &restoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore --data-dir DIR --from FILE",
		Short: "Make a backup the store of a server that is stopped",
		Long: `Make a backup the store of a server that is stopped. The backup is checked from end to end before anything is touched. A
store that is there is refused, or with --replace moved aside in the same directory. DIR must hold ca.crt and ca.key of the
fleet: under another authority no agent comes back.

Jobs that were active in the backup are cancelled, for they may have been done or cancelled since; agents are asked what became
of them as they come back. Nothing that was revoked, decommissioned or used up since the backup is so any more: do it again
before the server is reached by others.`,
		Example: `  fleetd restore --data-dir /var/lib/bandfleet --from /backup/bandfleet-monday.db
  fleetd restore --data-dir /var/lib/bandfleet --from /backup/bandfleet-monday.db --replace`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRestore(cmd, o) },
	}
	dataDirFlag(cmd, &o.dataDir)
	cmd.Flags().StringVar(&o.from, "from", "", "the backup")
	cmd.Flags().BoolVar(&o.replace, "replace", false, "move a store that is there aside")
	return cmd
}

func runRestore(cmd *cobra.Command, o *restoreOptions) error {
	if err := required(flagValues{{"data-dir", o.dataDir}, {"from", o.from}}); err != nil {
		return err
	}
	done, err := upkeep.Restore(cmd.Context(), upkeep.Restoration{
		DataDir: o.dataDir, From: o.from, Replace: o.replace, Now: time.Now(),
	}, func(line string) { say(cmd, "%s", line) })
	if err != nil {
		return err
	}
	if done.MovedTo != "" {
		say(cmd, "the store that was there: %s", done.MovedTo)
	}
	say(cmd, "restored: epoch %d; %d jobs were active and are cancelled", done.Epoch, done.Withdrawn)
	say(cmd, "next: start fleetd, then revoke and decommission again what was so since the backup")
	return nil
}
