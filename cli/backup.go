package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	"github.com/bandfleet/bandfleet/proto/backupfile"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type backupOptions struct {
	out    string
	reason string
}

func newBackup(a *app) *cobra.Command {
	o := &backupOptions{}
	c := &cobra.Command{
		Use:   "backup --out FILE",
		Short: "Copy the store of the running server into a file",
		Long: `Copies the server's store as it is at one moment, while it goes on working, into a file that must not be there yet. The
file has mode 0600; it appears when all of it has arrived and agrees with the server's checksum, and is on disk. It names every
machine and person of the fleet, but holds no private key. Only an administrator of all sites may take it, and the audit record
says so.

A restore also needs ca.crt and ca.key of the server's data directory, which are never sent: copy them once, on the server.
"fleetd restore" brings a backup back, "fleetd check" tells whether one is sound.`,
		Example: `  fleetctl backup --out bandfleet-monday.db
  fleetctl backup --out before-upgrade.db --reason CHG-118`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackup(cmd.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVar(&o.out, "out", "", "`file` to write")
	f.StringVar(&o.reason, "reason", "", "why, for the audit record")
	return c
}

func runBackup(ctx context.Context, a *app, o *backupOptions) error {
	if o.out == "" {
		return exit.Errorf(exit.BadInput, "backup: --out is missing").Then("name a file that is not there yet")
	}
	file, err := backupfile.Create(o.out)
	if err != nil {
		return exit.Errorf(exit.BadInput, "%v", err).Then("name another file with --out")
	}
	defer file.Discard()
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	stream, err := c.Maintenance.Backup(ctx, &fleetv1.BackupRequest{Reason: o.reason})
	if err != nil {
		return err
	}
	summary, err := receiveBackup(stream, file)
	if err != nil {
		return err
	}
	if err := file.Keep(); err != nil {
		return notKept(err)
	}
	return printObject(a, summary, o.out, func() {
		a.out.Line("backup %s: %d bytes, the store as it was at %s, SHA-256 %x", o.out, summary.GetSize(), output.UTC(summary.GetTime()), summary.GetSha256())
	})
}

// receiveBackup writes what the server sends, and compares it with what the server says that it was.
func receiveBackup(stream grpc.ServerStreamingClient[fleetv1.BackupResponse], file *backupfile.File) (*fleetv1.BackupSummary, error) {
	var summary *fleetv1.BackupSummary
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if _, err := file.Write(m.GetPortion()); err != nil {
			return nil, notKept(err)
		}
		if m.GetSummary() != nil {
			summary = m.GetSummary()
		}
	}
	if summary == nil || summary.GetSize() != file.Size() || !bytes.Equal(summary.GetSha256(), file.SHA256()) {
		return nil, exit.Errorf(exit.Internal, "backup: what arrived is not what the server sent (%d bytes), and was thrown away", file.Size()).
			Then("take it again")
	}
	return summary, nil
}

// notKept says that the file could not be written on this machine.
func notKept(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return exit.Errorf(exit.BadInput, "%v", err).Then("name another file with --out")
	}
	return exit.Errorf(exit.Internal, "backup: %v", err).Then("make room, or name a file elsewhere with --out")
}
