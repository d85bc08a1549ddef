package host

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// openProgram opens a program's file. Until it is closed, others may only read it: not write, rename or delete it.
func openProgram(path string) (*os.File, error) {
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

// programCommand goes by the name that the open file really has: a link on the way to it may lead elsewhere by now.
func programCommand(file *os.File, arguments []string) *exec.Cmd {
	path := file.Name()
	if final, err := finalPath(file); err == nil && strings.HasPrefix(final, `\\?\`) && !strings.HasPrefix(final, `\\?\UNC\`) {
		path = strings.TrimPrefix(final, `\\?\`)
	}
	return &exec.Cmd{Path: path, Args: append([]string{path}, arguments...)}
}

// programTree is a program with everything that it starts: a job object, which ends them all when it is closed, as at the agent's end.
type programTree struct {
	cmd *exec.Cmd

	mu  sync.Mutex
	job windows.Handle // 0 after its end
}

// startTree starts a command and lets it run only once it is in its job, so that nothing it starts is outside.
func startTree(cmd *exec.Cmd) (*programTree, error) {
	job, err := newEndingJob()
	if err != nil {
		return nil, err
	}
	tree := &programTree{cmd: cmd, job: job}
	cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true, CreationFlags: windows.CREATE_SUSPENDED | windows.CREATE_NO_WINDOW}
	if err := cmd.Start(); err != nil {
		tree.end()
		return nil, err
	}
	if err := errors.Join(tree.adopt(), resume(uint32(cmd.Process.Pid))); err != nil {
		_ = cmd.Process.Kill() // it has not run yet
		tree.end()
		_ = cmd.Wait()
		return nil, err
	}
	return tree, nil
}

func newEndingJob() (windows.Handle, error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return 0, fmt.Errorf("create job: %w", err)
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	limits.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))) //nolint:gosec // a variable of this frame
	if err != nil {
		_ = windows.CloseHandle(job)
		return 0, fmt.Errorf("set up job: %w", err)
	}
	return job, nil
}

// adopt puts the process, which has not run yet, into the job.
func (t *programTree) adopt() error {
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(t.cmd.Process.Pid))
	if err != nil {
		return fmt.Errorf("open process: %w", err)
	}
	defer func() { _ = windows.CloseHandle(h) }() // only frees the handle
	if err := windows.AssignProcessToJobObject(t.job, h); err != nil {
		return fmt.Errorf("put process into a job: %w", err)
	}
	return nil
}

// resume lets the one thread of a suspended process run.
func resume(pid uint32) error {
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPTHREAD, 0)
	if err != nil {
		return fmt.Errorf("list threads: %w", err)
	}
	defer func() { _ = windows.CloseHandle(snapshot) }() // only frees the handle
	entry := windows.ThreadEntry32{Size: uint32(unsafe.Sizeof(windows.ThreadEntry32{}))}
	for err = windows.Thread32First(snapshot, &entry); err == nil; err = windows.Thread32Next(snapshot, &entry) {
		if entry.OwnerProcessID != pid {
			continue
		}
		thread, err := windows.OpenThread(windows.THREAD_SUSPEND_RESUME, false, entry.ThreadID)
		if err != nil {
			return fmt.Errorf("open thread: %w", err)
		}
		_, err = windows.ResumeThread(thread)
		return errors.Join(err, windows.CloseHandle(thread))
	}
	return fmt.Errorf("find the thread of process %d: %w", pid, err)
}

// wait returns when the program itself has ended.
func (t *programTree) wait() error { return t.cmd.Wait() }

// end ends all that is left of the tree. It may be called at any time and more than once.
func (t *programTree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.job == 0 {
		return
	}
	_ = windows.TerminateJobObject(t.job, 1) // closing it ends them too
	_ = windows.CloseHandle(t.job)
	t.job = 0
}

func exitStatus(state *os.ProcessState) int64 { return int64(uint32(state.ExitCode())) }

// endLeftovers has nothing to do: with the last handle of a job, which is the agent's, all that runs in it has ended.
func endLeftovers() error { return nil }
