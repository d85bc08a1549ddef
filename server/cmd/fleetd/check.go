package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/server/upkeep"
)

type checkOptions struct{ dataDir, file string }

func newCheck() *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use:   "check (--data-dir DIR | --file FILE)",
		Short: "Check a store, or a backup of one, from end to end",
		Long: `Check the store of a server that is stopped, or a backup, and change nothing: the pages of the file, the checksum of each
record, the schema's version, that records agree with their indexes and counters, and the audit chains. Of a data directory also
the files of artefacts; a backup has none. It says what it found sound, and the first fault with its place.

Exit codes: 0 all is sound, 1 it is not or cannot be read, 2 bad flags.`,
		Example: `  fleetd check --data-dir /var/lib/bandfleet
  fleetd check --file /backup/bandfleet-monday.db`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCheck(cmd, o) },
	}
	dataDirFlag(cmd, &o.dataDir)
	cmd.Flags().StringVar(&o.file, "file", "", "a backup")
	return cmd
}

func runCheck(cmd *cobra.Command, o *checkOptions) error {
	if (o.dataDir == "") == (o.file == "") {
		return usage(errors.New("check: want either --data-dir or --file"))
	}
	path := o.file
	if path == "" {
		path = upkeep.Path(o.dataDir)
	}
	if err := upkeep.Check(cmd.Context(), path, func(line string) { say(cmd, "%s", line) }); err != nil {
		return err
	}
	if o.file == "" {
		if err := upkeep.CheckFiles(cmd.Context(), o.dataDir, func(line string) { say(cmd, "%s", line) }); err != nil {
			return err
		}
	}
	say(cmd, "%s: sound", path)
	return nil
}
