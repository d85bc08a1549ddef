package main

import (
	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server/upkeep"
)

func newCompact() *cobra.Command {
	dataDir := ""
	cmd := &cobra.Command{
		Use:   "compact --data-dir DIR",
		Short: "Give the disk back what deleted records of a stopped server took",
		Long: `Write the store of a server that is stopped anew without the space that deleted records left, and put it in the place of the
old one in one step. It needs as much free space as the new store takes. A store never grows smaller by itself; the server uses
such space again, so this is worth its while only when the disk is short.`,
		Example: "  fleetd compact --data-dir /var/lib/bandfleet",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runCompact(cmd, dataDir) },
	}
	dataDirFlag(cmd, &dataDir)
	return cmd
}

func runCompact(cmd *cobra.Command, dataDir string) error {
	if err := required(flagValues{{"data-dir", dataDir}}); err != nil {
		return err
	}
	before, after, err := upkeep.Compact(cmd.Context(), dataDir)
	if err != nil {
		return err
	}
	say(cmd, "compacted: %d bytes before, %d after", before, after)
	return nil
}
