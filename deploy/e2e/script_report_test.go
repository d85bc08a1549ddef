package e2e

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// wantAgreeing compares terminal and status of every row. The status is written as the CSV has it.
func wantAgreeing(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: agree CSV JSON HTML")
	}
	rows := csvRows(ts, ts.MkAbs(args[0]))
	tasks := reportedTasks(ts, ts.MkAbs(args[1]))
	html := ts.ReadFile(args[2])
	if len(rows) != len(tasks) || len(rows) == 0 {
		ts.Fatalf("the CSV has %d targets and the JSON %d; each is accounted for once in both", len(rows), len(tasks))
	}
	for i, t := range tasks {
		status := strings.TrimPrefix(t.GetStatus().String(), "TASK_STATUS_")
		if rows[i]["terminal"] != t.GetTerminalName() || rows[i]["status"] != strings.ReplaceAll(status, "_", "-") ||
			rows[i]["plugin_sha256"] != t.GetResult().GetPluginSha256() {
			ts.Fatalf("the CSV says %v, the JSON %s %s: the forms of a report must agree", rows[i], t.GetTerminalName(), status)
		}
		for _, cell := range []string{"terminal", "status", "plugin_sha256"} {
			if !strings.Contains(html, rows[i][cell]) {
				ts.Fatalf("the HTML has no %q, which is the %s of %s in the others", rows[i][cell], cell, t.GetTerminalName())
			}
		}
	}
}

// csvRows reads a table by the names of its columns.
func csvRows(ts *testscript.TestScript, path string) []map[string]string {
	file, err := os.Open(path)
	ts.Check(err)
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	ts.Check(err)
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, cell := range line {
			row[lines[0][i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

// reportedTasks reads the tasks of a report in JSON.
func reportedTasks(ts *testscript.TestScript, path string) []*fleetv1.Task {
	content, err := os.ReadFile(path)
	ts.Check(err)
	var document struct{ Tasks []json.RawMessage }
	ts.Check(json.Unmarshal(content, &document))
	var tasks []*fleetv1.Task
	for _, raw := range document.Tasks {
		t := &fleetv1.Task{}
		ts.Check(protojson.Unmarshal(raw, t))
		tasks = append(tasks, t)
	}
	return tasks
}
