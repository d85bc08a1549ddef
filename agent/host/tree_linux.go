package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runMark is the variable by which all that a run starts is known again, wherever it went: its value is the agent's process id, that
// process's start and a name of the run, joined by slashes.
const runMark = environmentPrefix + "PROGRAM_RUN="

// longestEnd is how long processes may take to end once they are killed.
const longestEnd = 5 * time.Second

// openProgram opens a program's file. It does not wait for a writer if that is a pipe.
func openProgram(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // the path is the agent's configuration
}

// programCommand runs the open file itself, as descriptor 3, whatever its path names by now.
func programCommand(file *os.File, arguments []string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/fd/3", Args: append([]string{file.Name()}, arguments...), ExtraFiles: []*os.File{file}}
}

// programTree is a program with everything that it starts: its process group, and what has left that but carries the run's mark.
type programTree struct {
	cmd  *exec.Cmd
	mark string

	mu sync.Mutex
	// reaped: the program's process number may be another's from now on.
	reaped bool
}

// startTree starts a command. It ends with the thread that calls this.
func startTree(cmd *exec.Cmd) (*programTree, error) {
	own, err := processStart("self")
	if err != nil {
		return nil, err
	}
	tree := &programTree{cmd: cmd, mark: fmt.Sprintf("%s%d/%s/%s", runMark, os.Getpid(), own, rand.Text())}
	cmd.Env = append(cmd.Env, tree.mark)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return tree, cmd.Start()
}

// wait returns when the program itself has ended.
func (t *programTree) wait() error {
	// It stays a zombie at first, so that its number, which names its group, cannot be another's.
	for errors.Is(unix.Waitid(unix.P_PID, t.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	t.end()
	t.mu.Lock()
	t.reaped = true
	t.mu.Unlock()
	return t.cmd.Wait()
}

// end ends all that is left of the tree. It may be called at any time and more than once.
func (t *programTree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.reaped {
		_ = unix.Kill(-t.cmd.Process.Pid, unix.SIGKILL) // the group may be gone
	}
	_ = endMarked(func(mark string) bool { return mark == t.mark })
}

// exitStatus is 128 and the signal's number when a signal ended the program.
func exitStatus(state *os.ProcessState) int64 {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int64(status.Signal())
	}
	return int64(state.ExitCode())
}

// endLeftovers ends what agents that run no more have left. What another agent of this machine runs now stays.
func endLeftovers() error {
	return endMarked(func(mark string) bool {
		fields := strings.Split(strings.TrimPrefix(mark, runMark), "/")
		if len(fields) != 3 {
			return false
		}
		start, err := processStart(fields[0])
		return err != nil || start != fields[1]
	})
}

// endMarked kills processes by their mark, again until none is left: a process may have started another meanwhile.
func endMarked(ends func(mark string) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), longestEnd)
	defer cancel()
	return Poll(ctx, 10*time.Millisecond, func() (bool, error) {
		found, err := killMarked(ends)
		return !found, err
	})
}

func killMarked(ends func(mark string) bool) (found bool, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that has ended, and a zombie, have no environment.
		if mark := markOf(entry.Name()); mark != "" && ends(mark) {
			found = true
			killIfMarked(pid, mark)
		}
	}
	return found, nil
}

// killIfMarked holds the process before it looks again, so that its number cannot pass to another one before the kill.
func killIfMarked(pid int, mark string) {
	process, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer func() { _ = process.Release() }() // only frees the handle
	if markOf(strconv.Itoa(pid)) == mark {
		_ = process.Kill() // it may have ended by itself
	}
}

// markOf is the mark in a process's environment; empty when it has none or may not be asked.
func markOf(pid string) string {
	environment, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		return ""
	}
	for entry := range strings.SplitSeq(string(environment), "\x00") {
		if strings.HasPrefix(entry, runMark) {
			return entry
		}
	}
	return ""
}

// processStart is when a process started, in clock ticks since boot (proc(5), field 22 of stat): with its number it names it for good.
func processStart(pid string) (string, error) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return "", err
	}
	// The program's name, in brackets, may hold anything.
	_, fields, _ := strings.Cut(string(stat[max(strings.LastIndexByte(string(stat), ')'), 0):]), " ")
	all := strings.Fields(fields)
	const startField = 22 - 3
	if len(all) <= startField {
		return "", fmt.Errorf("process %s: its state cannot be read", pid)
	}
	return all[startField], nil
}
