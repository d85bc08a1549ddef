package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// script puts a program on a list of its own and returns the list and the program's folder.
func script(t *testing.T, lines string, arguments ...string) (*localPrograms, string) {
	t.Helper()
	folder := t.TempDir()
	content := []byte("#!/bin/sh\n" + lines)
	path := filepath.Join(folder, "tool")
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
	approved := Program{Path: path, SHA256: []string{certfacts.SHA256(content)}, Arguments: arguments}
	return newLocalPrograms(map[string]Program{"tool": approved}), folder
}

func TestProgramLeavesNewFiles(t *testing.T) {
	programs, folder := script(t, `echo "$1" >new.bin; echo longer >>old.bin; mkdir sub; echo x >sub/log; pwd >where; exit 3`, "an argument; no shell")
	if err := os.WriteFile(filepath.Join(folder, "old.bin"), []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "same.bin"), []byte("same"), 0o600); err != nil {
		t.Fatal(err)
	}
	state, err := programs.Run(t.Context(), "tool")
	if err != nil || state.GetExitCode() != 3 || state.GetTimedOut() {
		t.Fatalf("Run = %v, %v; want exit code 3 in time", state, err)
	}
	var paths []string
	for _, f := range state.GetNewFiles() {
		paths = append(paths, f.GetPath())
	}
	if want := []string{"new.bin", "old.bin", "sub/log", "where"}; !slices.Equal(paths, want) {
		t.Errorf("new files are %q, want %q: what was written, and nothing else", paths, want)
	}
	for path, want := range map[string]string{"new.bin": "an argument; no shell\n", "where": folder + "\n"} {
		if got := readProgramFile(t, programs, path); got != want {
			t.Errorf("file %q holds %q, want %q", path, got, want)
		}
	}
	if first := state.GetNewFiles()[0]; first.GetSha256() != certfacts.SHA256([]byte("an argument; no shell\n")) || first.GetSize() != 22 {
		t.Errorf("new file is %v, want its size and hash", first)
	}
	for _, path := range []string{"../tool", "/etc/passwd", "none"} {
		if _, err := programs.Open(t.Context(), "tool", path); err == nil {
			t.Errorf("Open(%q) succeeded, want a refusal", path)
		}
	}
}

// TestNewFilesHaveNamesThatAreText: a name that is no text could be in no record, and the agent does not go on without its records.
func TestNewFilesHaveNamesThatAreText(t *testing.T) {
	programs, _ := script(t, `echo x >"$(printf 'bad\377name')"`)
	state, err := programs.Run(t.Context(), "tool")
	if err != nil || len(state.GetNewFiles()) != 1 {
		t.Fatalf("Run = %v, %v; want one new file", state, err)
	}
	if _, err := proto.Marshal(state); err != nil || !utf8.ValidString(state.GetNewFiles()[0].GetPath()) {
		t.Errorf("the new file is called %q (%v), want a name that is text", state.GetNewFiles()[0].GetPath(), err)
	}
}

func readProgramFile(t *testing.T, programs *localPrograms, path string) string {
	t.Helper()
	file, err := programs.Open(t.Context(), "tool", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	content := make([]byte, 1024)
	n, _ := file.Read(content)
	return string(content[:n])
}

// TestOnlyApprovedProgramsRun: nothing is run that is not on the list, there, and of an approved hash.
func TestOnlyApprovedProgramsRun(t *testing.T) {
	programs, folder := script(t, "echo ran >ran")
	if _, err := programs.Run(t.Context(), "another"); err == nil || !strings.Contains(err.Error(), `"another"`) {
		t.Errorf("a program that is not on the list: %v, want a refusal with its name", err)
	}
	path := filepath.Join(folder, "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho ran >ran # changed"), 0o700); err != nil {
		t.Fatal(err)
	}
	state, err := programs.Look(t.Context(), "tool")
	if err != nil || !state.GetKnown() || !state.GetExists() || state.GetApproved() || len(state.GetSha256()) != 64 {
		t.Errorf("Look at a changed program = %v, %v; want it known, there, not approved, with its hash", state, err)
	}
	if _, err := programs.Run(t.Context(), "tool"); err == nil || !strings.Contains(err.Error(), "not approved") {
		t.Errorf("Run of a changed program = %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(folder, "ran")); err == nil {
		t.Error("a program that is not approved has run")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := programs.Run(t.Context(), "tool"); !errors.Is(err, ErrNotExist) {
		t.Errorf("Run of a program that is not there = %v, want ErrNotExist", err)
	}
	if state, err := programs.Look(t.Context(), "tool"); err != nil || state.GetExists() || !state.GetKnown() {
		t.Errorf("Look at a program that is not there = %v, %v; want it known and not there", state, err)
	}
	if state, err := programs.Look(t.Context(), "another"); err != nil || state.GetKnown() {
		t.Errorf("Look at a program that is not on the list = %v, %v; want it not known", state, err)
	}
}

// TestProgramEndsWithItsTree: at its deadline, also what has left its process group.
func TestProgramEndsWithItsTree(t *testing.T) {
	programs, folder := script(t, "setsid sh -c 'echo $$ >escaped; exec sleep 600' & sleep 600 & echo $! >child; wait")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = Poll(t.Context(), 10*time.Millisecond, func() (bool, error) {
			return readPID(filepath.Join(folder, "escaped")) > 0 && readPID(filepath.Join(folder, "child")) > 0, nil
		})
		cancel()
	}()
	state, err := programs.Run(ctx, "tool")
	if err != nil || !state.GetTimedOut() || state.GetExitCode() != 137 {
		t.Fatalf("Run = %v, %v; want that it was ended", state, err)
	}
	for _, name := range []string{"child", "escaped"} {
		if pid := readPID(filepath.Join(folder, name)); alive(pid) {
			t.Errorf("process %d (%s) is left: the adapter would stay in use", pid, name)
		}
	}
}

// TestLeftoversAreEnded: a program whose agent runs no more is ended by the next one; another agent's is not.
func TestLeftoversAreEnded(t *testing.T) {
	start, err := processStart("self")
	if err != nil {
		t.Fatal(err)
	}
	left := startMarked(t, runMark+strconv.Itoa(os.Getpid())+"/1/left") // of a process with this number that started at another time
	other := startMarked(t, runMark+strconv.Itoa(os.Getpid())+"/"+start+"/other")
	if err := newLocalPrograms(nil).EndAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if alive(left) {
		t.Error("a program of an agent that runs no more is left")
	}
	if !alive(other) {
		t.Error("a program of an agent that runs was ended")
	}
}

func startMarked(t *testing.T, mark string) int {
	t.Helper()
	process, err := os.StartProcess("/bin/sleep", []string{"sleep", "600"}, &os.ProcAttr{Env: []string{mark}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Kill()
		_, _ = process.Wait()
	})
	// Until it has executed its program it has this test's environment.
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := Poll(within, time.Millisecond, func() (bool, error) { return markOf(strconv.Itoa(process.Pid)) != "", nil }); err != nil {
		t.Fatal(err)
	}
	return process.Pid
}

func readPID(path string) int {
	content, _ := os.ReadFile(path)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(content)))
	return pid
}

// alive says whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	return !strings.Contains(string(stat), ") Z ") && !strings.Contains(string(stat), ") X ")
}

func TestProgramsSeeNothingOfTheAgent(t *testing.T) {
	t.Setenv("BANDFLEET_AGENT_DATA_DIR", "/secret/place")
	programs, _ := script(t, "env >env")
	if _, err := programs.Run(t.Context(), "tool"); err != nil {
		t.Fatal(err)
	}
	if got := readProgramFile(t, programs, "env"); strings.Contains(got, "/secret/place") || !strings.Contains(got, "PATH=") {
		t.Errorf("the program's environment is %q, want the system's without the agent's own settings", got)
	}
}

// TestOneRunOfAProgramAtATime: two would take each other's files for their own.
func TestOneRunOfAProgramAtATime(t *testing.T) {
	programs, _ := script(t, "exit 0")
	done, err := programs.begin("tool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := programs.Run(t.Context(), "tool"); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("second Run = %v, want a refusal", err)
	}
	done()
	if _, err := programs.Run(t.Context(), "tool"); err != nil {
		t.Errorf("Run after the end = %v, want success", err)
	}
}
