package cli

import (
	"encoding/csv"
	"io"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// csvReport writes a row for each target as RFC 4180 has it. The format has no place for a head of its own, so the job's facts
// stand in every row.
type csvReport struct {
	w *csv.Writer
	// job is the job's part of each row.
	job []string
}

func newCSVReport(w io.Writer) *csvReport {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	return &csvReport{w: c}
}

func (f *csvReport) head(r *report) error {
	var names []string
	for _, c := range reportColumns(r.job.GetDryRun()) {
		names = append(names, c.name)
	}
	for _, fact := range r.facts() {
		names = append(names, fact.Name)
		f.job = append(f.job, csvCell(fact.Value))
	}
	// How many targets are missing is known at the end only; the exit code tells it.
	f.job = append(f.job, csvCell(strings.Join(r.standing(), " ")))
	return f.w.Write(append(names, "caveats"))
}

// row ends with a flush, so that an error of writing is found where it happens and not ten thousand targets later.
func (f *csvReport) row(r *report, t *fleetv1.Task) error {
	var cells []string
	for _, c := range reportColumns(r.job.GetDryRun()) {
		cells = append(cells, csvCell(strings.Join(c.cells(t), "; ")))
	}
	if err := f.w.Write(append(cells, f.job...)); err != nil {
		return err
	}
	f.w.Flush()
	return f.w.Error()
}

func (f *csvReport) foot(*report) error {
	f.w.Flush()
	return f.w.Error()
}

// csvCell makes a text harmless: nothing that a terminal obeys, and nothing that a spreadsheet takes for a formula.
func csvCell(text string) string {
	if text != "" && strings.ContainsAny(text[:1], "=+-@\t\r") {
		text = "'" + text
	}
	return output.Safe(text)
}
