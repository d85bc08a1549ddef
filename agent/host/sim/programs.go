package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Programs of the allow-list are folders with what says how each behaves, a file that stands for the program, and a folder in which it
// runs. The process of each is this program, started again (see tool.go).
const (
	toolsFolder = "tools"
	toolFile    = "tool.json"
	toolProgram = "tool.exe"
	toolOutput  = "files"
	toolLock    = "running.lock"
)

// FirmwareLogTool is the program that a simulated user terminal has: it stands for the vendor's tool that reads the log of a band.
const FirmwareLogTool = "firmware-log-tool"

// RuntimeInstaller is the other one: it stands for the silent installer of the Nymi Runtime, and installs the services that are missing.
const RuntimeInstaller = "nymi-runtime"

// toolRecord is how a program behaves.
type toolRecord struct {
	// Mode is one of toolModes.
	Mode string `json:"mode"`
	// Approved is the hash that the program's file must have.
	Approved string `json:"approved_sha256"`
}

func (t *terminal) toolFile(name, file string) string {
	return filepath.Join(t.dir, toolsFolder, filepath.Base(name), file)
}

// tool reads a program of the allow-list; host.ErrNotExist when it is not on it.
func (t *terminal) tool(name string) (toolRecord, error) {
	var record toolRecord
	if name != filepath.Base(name) || host.CheckPath(name) != nil {
		return record, host.ErrNotExist
	}
	err := readJSON(t.toolFile(name, toolFile), &record)
	if errors.Is(err, fs.ErrNotExist) {
		return record, host.ErrNotExist
	}
	return record, err
}

// programs is a simulated terminal's host.Programs.
type programs struct{ *terminal }

// Look implements host.Programs.
func (v programs) Look(_ context.Context, name string) (*actionv1.ProgramState, error) {
	state := &actionv1.ProgramState{Program: name}
	record, err := v.tool(name)
	if errors.Is(err, host.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	state.Known, state.Path = true, v.toolFile(name, toolProgram)
	content, err := os.ReadFile(state.GetPath())
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	state.Exists, state.Sha256 = true, sample.SHA256(content)
	state.Approved = state.GetSha256() == record.Approved
	return state, nil
}

// Run implements host.Programs.
func (v programs) Run(ctx context.Context, name string) (*actionv1.ProgramState, error) {
	state, err := v.Look(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case !state.GetKnown():
		return nil, fmt.Errorf("program %q: is not on the list of this machine", name)
	case !state.GetExists():
		return nil, fmt.Errorf("program %q: file %s %w", name, state.GetPath(), host.ErrNotExist)
	case !state.GetApproved():
		return nil, fmt.Errorf("program %q: its hash %s is not approved", name, state.GetSha256())
	}
	if err := v.run(ctx, name, state); err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	return state, nil
}

// run runs the program and fills in how it ended.
func (v programs) run(ctx context.Context, name string, state *actionv1.ProgramState) error {
	before, err := listFiles(v.toolFile(name, toolOutput))
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "sim", "service", "--dir", v.dir, "--tool", name)
	cmd.Dir, cmd.Env = v.toolFile(name, toolOutput), serviceEnvironment()
	cmd.SysProcAttr = detached()
	cmd.Cancel = func() error { return errors.Join(endTree(cmd.Process), ignoreGone(cmd.Process.Kill())) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	state.TimedOut = ctx.Err() != nil
	if exit, ok := errors.AsType[*exec.ExitError](err); ok || err == nil || state.GetTimedOut() {
		state.ExitCode = killedExitCode
		if code := exitCode(exit); code >= 0 && !state.GetTimedOut() {
			state.ExitCode = code
		}
		state.NewFiles, err = newFiles(v.toolFile(name, toolOutput), before)
	}
	return err
}

// exitCode is 0 of a program that ended well, and -1 of one that was killed.
func exitCode(exit *exec.ExitError) int64 {
	if exit == nil {
		return 0
	}
	return int64(exit.ExitCode())
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// listFiles tells the files of a folder by name, size and time.
func listFiles(folder string) (map[string]fs.FileInfo, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	files := map[string]fs.FileInfo{}
	for _, entry := range entries {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		if err != nil {
			return nil, err
		}
		files[entry.Name()] = info
	}
	return files, nil
}

// newFiles are the files of a folder that were not there before as they are now, sorted by name.
func newFiles(folder string, before map[string]fs.FileInfo) ([]*actionv1.FileState, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	now, err := listFiles(folder)
	if err != nil {
		return nil, err
	}
	var files []*actionv1.FileState
	for _, entry := range entries { // sorted by name
		info, ok := now[entry.Name()]
		old, was := before[entry.Name()]
		if !ok || was && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, &actionv1.FileState{
			Path: entry.Name(), Exists: true, Size: uint64(len(content)), Sha256: sample.SHA256(content), Modified: timestamppb.New(info.ModTime()),
		})
	}
	return files, nil
}

// Open implements host.Programs.
func (v programs) Open(_ context.Context, name, path string) (io.ReadCloser, error) {
	if _, err := v.tool(name); err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	folder, err := os.OpenRoot(v.toolFile(name, toolOutput))
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	defer func() { _ = folder.Close() }() // a folder's handle
	file, err := folder.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("program %q: file %q: %w", name, path, host.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	return file, nil
}

// EndAll implements host.Programs.
func (v programs) EndAll(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(v.dir, toolsFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, entry := range entries {
		if err := v.endTool(ctx, entry.Name()); err != nil {
			errs = append(errs, fmt.Errorf("program %q: %w", entry.Name(), err))
		}
	}
	return errors.Join(errs...)
}
