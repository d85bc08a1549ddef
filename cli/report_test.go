package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/bandfleet/bandfleet/cli/exit"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func TestNoCellOfACSVIsAFormula(t *testing.T) {
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": `'\t=1`, "\r=1": `'\r=1`, "": "", "lyon-01": "lyon-01",
	} {
		if got := csvCell(in); got != want {
			t.Errorf("cell %q is written %q, want %q: a spreadsheet would run it", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		cell := csvCell(rapid.String().Draw(t, "text"))
		if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r\n") {
			t.Fatalf("cell %q begins like a formula", cell)
		}
		if i := strings.IndexFunc(cell, func(r rune) bool { return !unicode.IsGraphic(r) }); i >= 0 {
			t.Fatalf("cell %q holds an unsafe rune at %d", cell, i)
		}
	})
}

// manyTasks makes a job of n tasks that all succeeded, and its tasks one by one; asked is called before each.
func manyTasks(n int, asked func(i int)) (*report, iter.Seq2[*fleetv1.Task, error]) {
	r := &report{
		job:       &fleetv1.Job{Id: "j", State: fleetv1.JobState_JOB_STATE_DONE, Counts: &fleetv1.JobCounts{Total: uint32(n), Succeeded: uint32(n)}},
		generated: testNow, by: "admin", totals: &fleetv1.JobCounts{},
	}
	return r, func(yield func(*fleetv1.Task, error) bool) {
		for i := range n {
			asked(i)
			result := fakeResult("", false)
			result.Evidence[0].Value = strings.Repeat("x", 1000)
			t := &fleetv1.Task{TerminalId: fmt.Sprintf("T-%04d", i), TerminalName: fmt.Sprintf("lyon-%04d", i), Index: uint32(i),
				State: fleetv1.TaskState_TASK_STATE_DONE, Status: result.GetStatus(), Result: result}
			if !yield(t, nil) {
				return
			}
		}
	}
}

func TestAReportOfManyTargetsIsWrittenAsItIsRead(t *testing.T) {
	const n = 3000
	for _, form := range reportForms() {
		var out bytes.Buffer
		r, tasks := manyTasks(n, func(i int) {
			if i > 0 && !bytes.Contains(out.Bytes()[max(out.Len()-8000, 0):], fmt.Appendf(nil, "lyon-%04d", i-1)) {
				t.Fatalf("%s: target %d is asked for before the one ahead of it is written: ten thousand results would be in memory", form, i)
			}
		})
		if err := r.write(newReportForm(form, &out), tasks); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		if got := strings.Count(out.String(), "lyon-"); got < n {
			t.Errorf("%s: %d targets, want every one of %d", form, got, n)
		}
	}
}

func TestReportsCanBeReadBack(t *testing.T) {
	var out bytes.Buffer
	r, tasks := manyTasks(3, func(int) {})
	r.job.Reason = "a \"quoted\" reason, with commas\nand lines"
	if err := r.write(newReportForm("csv", &out), tasks); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 4 {
		t.Fatalf("the CSV has %d rows (%v), want the titles and 3 targets", len(rows), err)
	}
	if !strings.Contains(strings.Join(rows[1], "|"), `a "quoted" reason, with commas\nand lines`) {
		t.Errorf("row %q does not hold the job's reason", rows[1])
	}
	out.Reset()
	r, tasks = manyTasks(3, func(int) {})
	if err := r.write(newReportForm("json", &out), tasks); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Report map[string]string
		Job    map[string]any
		Tasks  []map[string]any
		Totals map[string]any
	}
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Tasks) != 3 || doc.Report["generatedBy"] != "admin" || doc.Totals["succeeded"] != 3.0 {
		t.Errorf("the JSON is read as %v (%v), want the head, 3 tasks and the totals", doc, err)
	}
}

func TestAReportThatIsNotWholeIsAnError(t *testing.T) {
	gone := exit.Errorf(exit.Unreachable, "gone")
	r, tasks := manyTasks(3, func(int) {})
	cut := func(yield func(*fleetv1.Task, error) bool) {
		for t, err := range tasks {
			if yield(t, err) {
				yield(nil, gone)
			}
			return
		}
	}
	if err := r.write(newReportForm("csv", io.Discard), cut); !errors.Is(err, gone) {
		t.Errorf("a report that was cut ended with %v, want the server's error", err)
	}
	r, tasks = manyTasks(3, func(int) {})
	r.job.Counts.Total = 2
	if err := r.write(newReportForm("csv", io.Discard), tasks); err == nil {
		t.Error("a report of more targets than the job has is no error")
	}
	r, tasks = manyTasks(3, func(int) {})
	if err := r.write(newReportForm("csv", brokenDisk{}), tasks); err == nil {
		t.Error("a report on a full disk is no error: half of it would be filed")
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestEveryStatusIsCountedInAReport(t *testing.T) {
	for _, text := range words(actionv1.TaskStatus(0)) {
		s, err := parseWord[actionv1.TaskStatus]("status", text)
		if err != nil {
			t.Fatal(err)
		}
		if statusCount(&fleetv1.JobCounts{}, s) == nil {
			t.Errorf("status %s is counted nowhere: the totals would not account for every target", text)
		}
	}
}

// A quality officer must see a pause also when somebody has let the job go on.
func TestAReportTellsEveryPause(t *testing.T) {
	job := &fleetv1.Job{
		PastPauses: []*fleetv1.Pause{
			{Time: at(0), By: "rollout", Reason: "1 of 1 failed", Ended: at(time.Minute), EndedBy: "ada", EndReason: "known fault"},
			{Time: at(2 * time.Minute), By: "bob", Ended: at(3 * time.Minute)},
		},
		Pause: &fleetv1.Pause{Time: at(4 * time.Minute), By: "ada", Reason: "lunch"},
	}
	const want = "by rollout at 2026-11-24T08:00:00Z: 1 of 1 failed, resumed by ada at 2026-11-24T08:01:00Z: known fault; " +
		"by bob at 2026-11-24T08:02:00Z, until the job ended; by ada at 2026-11-24T08:04:00Z: lunch"
	if got := pauseRecord(job); got != want {
		t.Errorf("the report says\n%s\nwant\n%s", got, want)
	}
}
