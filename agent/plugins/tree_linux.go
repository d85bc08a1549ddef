package plugins

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"

	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
)

// executableSuffix ends the name of a program's file.
const executableSuffix = ""

// openExecutable opens a plugin's file for checking and starting. It does not wait for a writer if that is a pipe.
func openExecutable(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) //nolint:gosec // the path is a pinned one, or one that whoever makes a release names
}

// command makes a command of an open file. The child inherits it as descriptor 3 and executes that, whatever the path
// names by then.
func command(exe *os.File) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{exe.Name()}, ExtraFiles: []*os.File{exe}}
}

// tree is a plugin process, the leader, with everything it starts: its process group, and what escaped from that.
type tree struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	leader int  // 0 before the start
	ended  bool // it was ended, maybe before its start
	reaped bool // the leader's number may belong to somebody else from now on
}

// newTree sets what the command needs before its start: a group of its own, and an end with the agent, however that ends.
func newTree(cmd *exec.Cmd) *tree {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return &tree{cmd: cmd}
}

// adopt takes the started process as the leader.
func (t *tree) adopt(p *os.Process) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leader = p.Pid
	if t.ended {
		return errEnded
	}
	return nil
}

// awaitLeader returns when the leader has ended. It stays a zombie, so its number and its group's are still its own.
func (t *tree) awaitLeader() {
	for errors.Is(unix.Waitid(unix.P_PID, t.leader, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	t.end()
	// go-plugin gives each plugin a folder of its own in this variable.
	endEscaped(goplugin.EnvUnixSocketDir + "=" + t.cmd.Dir)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reaped = true
}

// end ends every process of the group.
func (t *tree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.leader != 0 && !t.reaped {
		_ = unix.Kill(-t.leader, unix.SIGKILL)
	}
}
