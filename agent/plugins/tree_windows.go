package plugins

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// executableSuffix ends the name of a program's file.
const executableSuffix = ".exe"

// openExecutable opens a plugin's file for checking and starting. Others may only read it until it is closed: not write,
// rename or delete it.
func openExecutable(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ, windows.FILE_SHARE_READ, nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// command makes a command of an open file, which must stay open until the command was started.
func command(exe *os.File) *exec.Cmd {
	return &exec.Cmd{Path: exe.Name(), Args: []string{exe.Name()}}
}

// tree is a plugin process, the leader, with everything it starts: a job object that ends them all when it is ended or
// when its last handle is closed, as at the agent's own end. The leader joins just after its start; it waits for its
// credentials meanwhile, so nothing escapes that a pinned plugin would start.
type tree struct {
	mu     sync.Mutex
	job    windows.Handle // 0 when there is none
	leader *os.Process
	ended  bool // it was ended, maybe before its start
}

// newTree sets what the command needs before its start.
func newTree(cmd *exec.Cmd) *tree {
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
	return new(tree)
}

// adopt puts the started process into a new job object.
func (t *tree) adopt(p *os.Process) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leader = p
	if t.ended {
		return errEnded
	}
	job, err := newJob()
	if err != nil {
		return err
	}
	t.job = job
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.Pid, err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(job, h); err != nil {
		return fmt.Errorf("put process %d into a job: %w", p.Pid, err)
	}
	return nil
}

func newJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, fmt.Errorf("create job: %w", err)
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, fmt.Errorf("set up job: %w", err)
	}
	return job, nil
}

// awaitLeader returns when the leader has ended.
func (t *tree) awaitLeader() {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(t.leader.Pid))
	if err != nil {
		return
	}
	defer windows.CloseHandle(h)
	_, _ = windows.WaitForSingleObject(h, windows.INFINITE)
	t.end()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.job != 0 {
		_ = windows.CloseHandle(t.job)
		t.job = 0
	}
}

// end ends every process of the job.
func (t *tree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	if t.job != 0 {
		_ = windows.TerminateJobObject(t.job, 1)
	}
	if t.leader != nil {
		_ = t.leader.Kill()
	}
}
