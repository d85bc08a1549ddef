package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// jsonReport writes {report, job, tasks, totals}, the latter three as the API has them.
type jsonReport struct {
	w    io.Writer
	out  *output.Printer
	rows int
}

func newJSONReport(w io.Writer) *jsonReport {
	return &jsonReport{w: w, out: output.NewPrinter(w, false)}
}

// jsonHead is how a report itself came to be.
type jsonHead struct {
	Generated     string `json:"generated"`
	GeneratedBy   string `json:"generatedBy"`
	Server        string `json:"server"`
	ServerVersion string `json:"serverVersion"`
}

func (f *jsonReport) head(r *report) error {
	head, err := json.MarshalIndent(jsonHead{r.generated.UTC().Format(time.RFC3339), r.by, r.server, r.serverVersion}, "", "  ")
	if err != nil {
		return err
	}
	return f.member("{\n\"report\": "+string(head)+",\n\"job\": ", r.job, ",\n\"tasks\": [\n")
}

func (f *jsonReport) row(_ *report, t *fleetv1.Task) error {
	before := ""
	if f.rows > 0 {
		before = ",\n"
	}
	f.rows++
	return f.member(before, t, "")
}

func (f *jsonReport) foot(r *report) error {
	caveats, err := json.Marshal(append([]string{}, r.caveats()...))
	if err != nil {
		return err
	}
	return f.member("],\n\"totals\": ", r.totals, ",\n\"caveats\": "+string(caveats)+"\n}\n")
}

// member writes a message between two pieces of text.
func (f *jsonReport) member(before string, m proto.Message, after string) error {
	if _, err := io.WriteString(f.w, before); err != nil {
		return err
	}
	if err := f.out.Message(output.JSON, m); err != nil {
		return err
	}
	if err := f.out.Err(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	_, err := io.WriteString(f.w, after)
	return err
}
