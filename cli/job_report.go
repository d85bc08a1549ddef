package cli

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/proto/backupfile"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

type jobReportOptions struct {
	id, form, file string
}

func newJobReport(a *app) *cobra.Command {
	o := &jobReportOptions{}
	c := &cobra.Command{
		Use:   "report JOB",
		Short: "Write the record of a job, to be filed",
		Long: `Writes all that is known of a job as a document: who asked for what, why and when, who approved it, how it was to spread, what was
lifted; then every target with its status, reason, times in UTC, the plugin that ran, effects with the states before and after, checks,
interruptions, evidence, answers of people and hashes of artefacts; then totals that account for every target.

  csv    a row for each target, the job's own columns repeated in it; RFC 4180; a cell that a spreadsheet would take for a formula gets
         a leading apostrophe
  json   {report, job, tasks, totals}, the job and the tasks as the API has them
  html   one file without scripts, to be read and printed

The targets stand in the job's own order, so that two reports of a job that is done differ only in when and by whom they were made. The
file appears when it is complete, and is never written over. Exit code 7 says that the job is not done and the report is as of now; 5 that
targets are missing from it because they are at sites that you may not see. The report says both, too.`,
		Example: `  fleetctl job report 01JD... -f INC-4711.html
  fleetctl job report 01JD... -o csv > INC-4711.csv`,
		Args:              takes(1, "JOB"),
		ValidArgsFunction: byPlace(a.completeJobs),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return runJobReport(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.form, "output", "o", "", "`form` of the report: csv, json or html (default: by the name of the file)")
	f.StringVarP(&o.file, "file", "f", "", "`file` to write (default: standard output)")
	mustComplete(c, "output", fixedCompletion(reportForms()...))
	return c
}

func reportForms() []string { return []string{"csv", "json", "html"} }

// readForm takes the form from the flag or from the file's name.
func (o *jobReportOptions) readForm() error {
	if o.form == "" {
		o.form = strings.ToLower(strings.TrimPrefix(filepath.Ext(o.file), "."))
	}
	if o.form == "" {
		return exit.Errorf(exit.BadInput, "job %s: no form of the report is given", o.id).
			Then("give -o csv, json or html, or a file with such an ending with -f")
	}
	if !slices.Contains(reportForms(), o.form) {
		return exit.Errorf(exit.BadInput, "job %s: the form %q of a report is not known", o.id, o.form).
			Then("give -o csv, json or html, or a file with such an ending with -f")
	}
	return nil
}

func runJobReport(ctx context.Context, a *app, o *jobReportOptions) error {
	if err := o.readForm(); err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := newReport(ctx, a, c, o.id)
	if err != nil {
		return err
	}
	if o.file == "" {
		w := bufio.NewWriter(a.stdout)
		if err := errors.Join(r.write(newReportForm(o.form, w), c.EachTask(ctx, o.id)), w.Flush()); err != nil {
			return reportFailed(o.id, err)
		}
		return r.verdict()
	}
	return writeReportFile(ctx, a, c, r, o)
}

// writeReportFile writes a file that appears when it is complete.
func writeReportFile(ctx context.Context, a *app, c *client.Client, r *report, o *jobReportOptions) error {
	file, err := backupfile.Create(o.file)
	if err != nil {
		return reportNotKept(o.file, err)
	}
	defer file.Discard()
	w := bufio.NewWriter(file)
	if err := errors.Join(r.write(newReportForm(o.form, w), c.EachTask(ctx, o.id)), w.Flush()); err != nil {
		return reportFailed(o.id, err)
	}
	if err := file.Keep(); err != nil {
		return reportNotKept(o.file, err)
	}
	a.info.Line("report of job %s: %s, %d bytes, SHA-256 %x: %s", o.id, o.file, file.Size(), file.SHA256(), countsWord(&fleetv1.Job{Counts: r.totals, DryRun: r.job.GetDryRun()}))
	return r.verdict()
}

// reportFailed ends a report that is not whole; what stands on standard output then must not be filed.
func reportFailed(id string, err error) error {
	if e, ok := errors.AsType[*exit.Error](err); ok {
		return e
	}
	return exit.Errorf(exit.Internal, "job %s: the report is not whole: %v", id, err).Then("throw away what was written, and repeat the command")
}

func reportNotKept(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return exit.Errorf(exit.BadInput, "report %q: is there already, and is never written over", path).Then("name another file with -f")
	}
	return exit.Errorf(exit.Internal, "report %q: %v", path, errors.Unwrap(err)).Then("make room, or name a file elsewhere with -f")
}
