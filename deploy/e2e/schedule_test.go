package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSchedulesAsDaysPass: the times of three schedules come: the one of the server itself, one of an operator, and one of an operator who
// was revoked meanwhile. Each time is acted upon once, also when the server dies and was down over one; nothing is done in the name of
// who may not any more, and the history says so.
func TestSchedulesAsDaysPass(t *testing.T) {
	t.Parallel()
	f, clock := newClockedFleet(t)
	f.mustCtl("site", "add", "lyon")
	b := f.build
	f.build = buildOf{} // the agent is what people run; it goes by the server's clock
	f.newAgent("lyon", "line-1")
	f.build = b
	// Half a day away, so that a day ahead has it passed once however long the test takes.
	daily := time.Now().UTC().Add(12 * time.Hour).Format("4 15 * * *")
	for _, name := range []string{"ada", "bob"} {
		file := filepath.Join(t.TempDir(), name+".yaml")
		f.mustCtl("operator", "create", name, "--role", "operator", "--site", "lyon", "--out", file)
		mustRun(t, program("fleetctl"), "--config", file, "schedule", "create", name+"-looks", "diagnose", "--cron", daily, "--site", "lyon", "--yes")
	}
	f.mustCtl("operator", "revoke", "bob", "--reason", "left")

	// A day passes while the server is down: what only reads is made up for, once.
	f.server.kill()
	must(t, os.WriteFile(clock, []byte("24h"), 0o600))
	f.start()
	f.awaitHistory("certificates", 1)
	f.wantHistory("ada-looks", 1, "")
	f.wantHistory("bob-looks", 1, `operator "bob": is revoked`)

	eventually(t, "the jobs of the first day are done", func() bool { return f.ctl("get", "jobs", "--active", "-o", "name").stdout == "" })

	// Another day passes while it runs. It looks at its clock when a job ends, and each minute.
	must(t, os.WriteFile(clock, []byte("48h"), 0o600))
	f.mustCtl("schedule", "run-now", "certificates")
	f.wantHistory("ada-looks", 2, "")
	f.wantHistory("bob-looks", 2, `operator "bob": is revoked`)
	f.server.kill()
	f.start()
	f.wantHistory("ada-looks", 2, "")
}

// wantHistory waits until a schedule has acted so often, and checks that it says this of each time; empty: that a job was made.
func (f *fleet) wantHistory(schedule string, times int, problem string) {
	f.t.Helper()
	lines := f.awaitHistory(schedule, times)
	if len(lines) != times {
		f.t.Errorf("%s has acted %d times, want %d: each time is acted upon once:\n%s", schedule, len(lines), times, strings.Join(lines, "\n"))
	}
	for _, line := range lines {
		if !strings.Contains(line, problem) || (problem == "") != strings.HasSuffix(line, "-") {
			f.t.Errorf("%s says %q of a time, want the problem %q", schedule, line, problem)
		}
	}
}

// awaitHistory waits until a schedule has acted at least so often, and returns what it says of each time.
func (f *fleet) awaitHistory(schedule string, times int) (lines []string) {
	f.t.Helper()
	eventually(f.t, schedule+" has acted "+itoa(times)+" times", func() bool {
		lines = strings.Split(strings.TrimSpace(f.ctl("schedule", "history", schedule).stdout), "\n")[1:]
		return len(lines) >= times
	})
	return lines
}
