package hosttest

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const noProgram = "no-such-program"

func (e Equipment) look(t *testing.T, name string) *actionv1.ProgramState {
	t.Helper()
	state, err := e.Host.Programs.Look(t.Context(), name)
	if err != nil || state.GetProgram() != name {
		t.Fatalf("Look(%q) = %v, %v; want its state", name, state, err)
	}
	return state
}

func testLook(t *testing.T, e Equipment) {
	for _, c := range []struct {
		name                    string
		known, exists, approved bool
	}{
		{e.Programs.Writes, true, true, true},
		{e.Programs.Changed, true, true, false},
		{e.Programs.Absent, true, false, false},
		{noProgram, false, false, false},
	} {
		s := e.look(t, c.name)
		if s.GetKnown() != c.known || s.GetExists() != c.exists || s.GetApproved() != c.approved || (s.GetSha256() != "") != c.exists {
			t.Errorf("Look(%q) = %v; want known %v, there %v, approved %v, and a hash when it is there", c.name, s, c.known, c.exists, c.approved)
		}
	}
}

func testRun(t *testing.T, e Equipment) {
	for range 2 { // what an earlier run wrote is not new
		s, err := e.Host.Programs.Run(within(t, longWait), e.Programs.Writes)
		if err != nil || s.GetExitCode() != 0 || s.GetTimedOut() || len(s.GetNewFiles()) != 1 {
			t.Fatalf("Run = %v, %v; want exit code 0 and one new file", s, err)
		}
		file, err := e.Host.Programs.Open(t.Context(), e.Programs.Writes, s.GetNewFiles()[0].GetPath())
		if err != nil {
			t.Fatalf("Open(%v) = %v, want the new file", s.GetNewFiles()[0], err)
		}
		content, err := io.ReadAll(file)
		if closeErr := file.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
		if new := s.GetNewFiles()[0]; uint64(len(content)) != new.GetSize() || sample.SHA256(content) != new.GetSha256() || new.GetSize() == 0 {
			t.Errorf("file has %d bytes with hash %s, want %v", len(content), sample.SHA256(content), new)
		}
	}
	_, err := e.Host.Programs.Open(t.Context(), e.Programs.Writes, "none.bin")
	wantError(t, "Open of a file that is not there", err, host.ErrNotExist, "none.bin")
	if _, err := e.Host.Programs.Open(t.Context(), e.Programs.Writes, "../tool.json"); err == nil {
		t.Error("Open of a path that leaves the folder = nil, want an error")
	}
}

func testFailing(t *testing.T, e Equipment) {
	s, err := e.Host.Programs.Run(within(t, longWait), e.Programs.Fails)
	if err != nil || s.GetExitCode() != e.Programs.ExitCode || s.GetTimedOut() || len(s.GetNewFiles()) != 0 {
		t.Errorf("Run = %v, %v; want exit code %d and no file, without an error: that is how it ended", s, err, e.Programs.ExitCode)
	}
}

func testHanging(t *testing.T, e Equipment) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	s, err := e.Host.Programs.Run(ctx, e.Programs.Hangs)
	if err != nil || !s.GetTimedOut() || time.Since(begun) > longWait {
		t.Errorf("Run = %v, %v after %s; want it ended when ctx ended, and that told", s, err, time.Since(begun))
	}
	if err := e.Host.Programs.EndAll(within(t, longWait)); err != nil {
		t.Errorf("EndAll = %v, want success when nothing is left", err)
	}
}

func testNotRun(t *testing.T, e Equipment) {
	for _, name := range []string{e.Programs.Changed, e.Programs.Absent, noProgram} {
		if s, err := e.Host.Programs.Run(within(t, longWait), name); err == nil {
			t.Errorf("Run(%q) = %v, want an error, and nothing run", name, s)
		}
	}
}
