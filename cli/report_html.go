package cli

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

//go:embed report.html
var reportTemplate string

// htmlReport writes one file that needs no other and runs no script.
type htmlReport struct {
	w io.Writer
	t *template.Template
}

func newHTMLReport(w io.Writer) *htmlReport {
	funcs := template.FuncMap{"title": htmlTitle, "safe": output.Safe}
	return &htmlReport{w, template.Must(template.New("report").Funcs(funcs).Parse(reportTemplate))}
}

// newReportForm makes the writer of a form that readForm has accepted.
func newReportForm(form string, w io.Writer) reportForm {
	switch form {
	case "csv":
		return newCSVReport(w)
	case "json":
		return newJSONReport(w)
	default:
		return newHTMLReport(w)
	}
}

func (f *htmlReport) head(r *report) error {
	return f.t.ExecuteTemplate(f.w, "head", struct {
		ID    string
		Facts []jobFact
		Done  bool
	}{r.job.GetId(), slices.DeleteFunc(r.facts(), func(x jobFact) bool { return x.Value == "" }), r.done()})
}

// htmlCell is a fact of a target that is there.
type htmlCell struct {
	Name  string
	Lines []string
}

func (f *htmlReport) row(r *report, t *fleetv1.Task) error {
	var cells []htmlCell
	for _, c := range reportColumns(r.job.GetDryRun()) {
		lines := slices.DeleteFunc(c.cells(t), func(s string) bool { return s == "" })
		if len(lines) > 0 {
			cells = append(cells, htmlCell{c.name, lines})
		}
	}
	return f.t.ExecuteTemplate(f.w, "row", struct {
		Number uint32
		Name   string
		Status string
		Good   bool
		Cells  []htmlCell
	}{t.GetIndex() + 1, t.GetTerminalName(), strings.ToUpper(taskWord(t, r.job.GetDryRun())), succeeded(t.GetStatus()), cells})
}

func (f *htmlReport) foot(r *report) error {
	return f.t.ExecuteTemplate(f.w, "foot", struct {
		Totals  string
		Caveats []string
	}{countsWord(&fleetv1.Job{Counts: r.totals, DryRun: r.job.GetDryRun()}), r.caveats()})
}

// htmlTitle writes a column's name for people: "duration_seconds" is "Duration seconds".
func htmlTitle(name string) string {
	words := strings.ReplaceAll(name, "_", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}
