package private_test

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"golang.org/x/sys/unix"
)

// crashVariable makes the test program one that crashes, with or without its protection.
const crashVariable = "BANDFLEET_TEST_CRASH"

func TestMain(m *testing.M) {
	if how := os.Getenv(crashVariable); how != "" {
		crash(how)
	}
	os.Exit(m.Run())
}

func crash(how string) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		os.Exit(90)
	}
	limit.Cur = limit.Max // as far as an administrator may have set it
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		os.Exit(91)
	}
	if how == "protected" {
		if err := private.NoCoreDumps(); err != nil {
			os.Exit(92)
		}
	}
	_ = unix.Kill(os.Getpid(), unix.SIGSEGV)
	select {}
}

// TestACrashLeavesNoDump: what the agent holds in memory is on no disk after it crashed.
func TestACrashLeavesNoDump(t *testing.T) {
	if crashed(t, "bare").CoreDump() {
		t.Log("on this machine a program that is not protected leaves a dump, so the next check means something")
	}
	if crashed(t, "protected").CoreDump() {
		t.Error("a crash left a dump: it would hold the agent's keys and secrets")
	}
}

// crashed runs the program in an empty folder, and returns how it ended.
func crashed(t *testing.T, how string) syscall.WaitStatus {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := &exec.Cmd{Path: program, Dir: folder, Env: append(os.Environ(), crashVariable+"="+how, "GOTRACEBACK=crash")}
	var ended *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &ended) {
		t.Fatalf("%s: ended with %v, want a crash", how, err)
	}
	status, ok := ended.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		t.Fatalf("%s: ended with %v, want a signal", how, ended)
	}
	if left, err := os.ReadDir(folder); how == "protected" && (err != nil || len(left) != 0) {
		t.Errorf("%s: the crash left %v, %v; want nothing", how, left, err)
	}
	return status
}
