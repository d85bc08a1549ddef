package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	defaultTail = 20
	// maxShownLog is how much of one log is shown, in bytes.
	maxShownLog = 4 << 20
)

type logsTailOptions struct {
	logOptions
	terminal string
	host     string
	lines    int
	reason   string
}

func newLogsTail(a *app) *cobra.Command {
	o := &logsTailOptions{}
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show the last lines of a machine's logs",
		Long: `Has one machine send the last lines of its logs and shows them, each file under its name. Everything else goes to standard error, so that
the lines can be piped on. It is a job of the action logs-collect like any other, and audited as one.`,
		Example: `  fleetctl logs tail --terminal lyon-01
  fleetctl logs tail --host nes-lyon-1 --service enrollment --lines 200 | grep -i error`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return runLogsTail(cmd.Context(), a, o) },
	}
	o.addTo(c)
	f := c.Flags()
	f.StringVar(&o.terminal, "terminal", "", "this `terminal`, by name or id")
	f.StringVar(&o.host, "host", "", "this NES `host`, by name or id")
	f.IntVarP(&o.lines, "lines", "n", defaultTail, "how many lines of each file")
	addReason(c, &o.reason)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "host", a.completeHosts)
	return c
}

func runLogsTail(ctx context.Context, a *app, o *logsTailOptions) error {
	selection, err := oneMachine(o.terminal, o.host, "logs tail")
	if err != nil {
		return err
	}
	if o.lines < 1 {
		return exit.Errorf(exit.BadInput, "logs tail: --lines %d: want 1 or more", o.lines)
	}
	params := o.params(o.host != "")
	params["tail"] = strconv.Itoa(o.lines)
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	spec := &fleetv1.JobSpec{Action: "logs-collect", Params: params, Selection: selection, Reason: o.reason}
	job, tasks, verdict := errand{spec: spec}.run(ctx, a.aside(), c)
	if job == nil {
		return verdict
	}
	files, err := arrived(ctx, a, c, job.GetId(), kindLogs, tasks)
	if err != nil {
		return err
	}
	for _, f := range files {
		file, err := fetchTemporary(ctx, c, f)
		if err != nil {
			return err
		}
		err = printLogs(a, file)
		dropTemporary(file)
		if err != nil {
			return err
		}
	}
	return verdict
}

// printLogs prints the files of an archive, each under its name.
func printLogs(a *app, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return exit.Errorf(exit.Internal, "the archive of logs cannot be read: %v", err)
	}
	for _, entry := range archive.File {
		if entry.Name == "manifest.json" {
			continue
		}
		a.out.Line("==> %s <==", path.Clean(entry.Name))
		text, err := readEntry(entry)
		if err != nil {
			return exit.Errorf(exit.Internal, "%s in the archive of logs cannot be read: %v", entry.Name, err)
		}
		for line := range strings.Lines(text) {
			a.out.Line("%s", strings.TrimRight(line, "\r\n"))
		}
	}
	return nil
}

// readEntry reads a log as text, also one of two-byte characters that was cut from the middle of a file.
func readEntry(entry *zip.File) (string, error) {
	r, err := entry.Open()
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(r, maxShownLog))
	if err != nil || bytes.IndexByte(text, 0) < 0 {
		return string(text), err
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(text[2*i:])
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"), nil
}
