package hosttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// FirmwareLogTool is the program that a new Memory has on its allow-list: it writes one new log file.
const FirmwareLogTool = "firmware-log-tool"

// Program is how a program of a Memory's allow-list behaves. The zero Program ends at once with exit code 0 and writes nothing.
type Program struct {
	// Missing: there is no such file. Unapproved: the file has another hash than the approved one.
	Missing, Unapproved bool
	// ExitCode of each run; a crash is one that is not 0.
	ExitCode int64
	// NewFiles are what each run writes, by path.
	NewFiles map[string]string
	// Hangs: it runs until ctx ends. What it writes is there all the same.
	Hangs bool
	// Takes is how long a run lasts.
	Takes time.Duration
}

// program is a program and what became of it. Guarded by Memory.mu.
type program struct {
	Program
	// left is true when an earlier agent's run of it goes on.
	left    bool
	running int
	written map[string]string
}

// SetProgram puts a program on the allow-list, or changes it.
func (m *Memory) SetProgram(name string, p Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if known, ok := m.programs[name]; ok {
		known.Program = p
		return
	}
	m.programs[name] = &program{Program: p, written: map[string]string{}}
}

// LeaveRunning has a program run that an earlier process of the agent started, until EndAll.
func (m *Memory) LeaveRunning(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[name].left = true
}

// ProgramRuns says whether a program runs now.
func (m *Memory) ProgramRuns(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.programs[name]
	return p != nil && (p.left || p.running > 0)
}

// memoryPrograms is Memory's host.Programs.
type memoryPrograms struct{ m *Memory }

// Look implements host.Programs.
func (v memoryPrograms) Look(_ context.Context, name string) (*actionv1.ProgramState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return v.m.look(name), nil
}

// look is what is known of a program that does not run. Called with mu held.
func (m *Memory) look(name string) *actionv1.ProgramState {
	p, ok := m.programs[name]
	if !ok {
		return &actionv1.ProgramState{Program: name}
	}
	state := &actionv1.ProgramState{Program: name, Known: true, Exists: !p.Missing, Path: `C:\tools\` + name + ".exe"}
	if state.GetExists() {
		content := "approved " + name
		if p.Unapproved {
			content = "other " + name
		}
		state.Sha256, state.Approved = sample.SHA256([]byte(content)), !p.Unapproved
	}
	return state
}

// Run implements host.Programs.
func (v memoryPrograms) Run(ctx context.Context, name string) (*actionv1.ProgramState, error) {
	if err := v.m.mutating("run", name); err != nil {
		return nil, err
	}
	state, p, err := v.begin(name)
	if err != nil {
		return nil, err
	}
	state.TimedOut = p.await(ctx)
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.programs[name].running--
	const killed = 137
	if state.ExitCode = p.ExitCode; state.GetTimedOut() {
		state.ExitCode = killed
	}
	for _, file := range slices.Sorted(maps.Keys(p.NewFiles)) {
		content := p.NewFiles[file]
		v.m.programs[name].written[file] = content
		state.NewFiles = append(state.NewFiles, &actionv1.FileState{
			Path: file, Exists: true, Size: uint64(len(content)), Sha256: sample.SHA256([]byte(content)), Modified: timestamppb.Now(),
		})
	}
	return state, nil
}

// begin starts a run of a program that may be run.
func (v memoryPrograms) begin(name string) (*actionv1.ProgramState, Program, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	state := v.m.look(name)
	switch {
	case !state.GetKnown():
		return nil, Program{}, fmt.Errorf("program %q: is not on the agent's list", name)
	case !state.GetExists():
		return nil, Program{}, fmt.Errorf("program %q: %w", name, host.ErrNotExist)
	case !state.GetApproved():
		return nil, Program{}, fmt.Errorf("program %q: its hash %s is not approved", name, state.GetSha256())
	}
	p := v.m.programs[name]
	p.running++
	return state, p.Program, nil
}

// await lets a run last, and says whether ctx ended it.
func (p Program) await(ctx context.Context) (ended bool) {
	if ctx.Err() != nil {
		return true
	}
	if !p.Hangs && p.Takes == 0 {
		return false
	}
	var over <-chan time.Time // never, when it hangs
	if !p.Hangs {
		timer := time.NewTimer(p.Takes)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-ctx.Done():
		return true
	case <-over:
		return false
	}
}

// Open implements host.Programs.
func (v memoryPrograms) Open(_ context.Context, name, file string) (io.ReadCloser, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	p, ok := v.m.programs[name]
	if !ok {
		return nil, fmt.Errorf("program %q: is not on the agent's list", name)
	}
	content, ok := p.written[file]
	if !ok {
		return nil, fmt.Errorf("program %q: file %q: %w", name, file, host.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader([]byte(content))), nil
}

// EndAll implements host.Programs. It is among Calls only when there was something to end.
func (v memoryPrograms) EndAll(context.Context) error {
	v.m.mu.Lock()
	var left []string
	for _, name := range slices.Sorted(maps.Keys(v.m.programs)) {
		if v.m.programs[name].left {
			left = append(left, name)
		}
	}
	v.m.mu.Unlock()
	var errs []error
	for _, name := range left {
		if err := v.m.mutating("end", name); err != nil {
			errs = append(errs, err)
			continue
		}
		v.m.mu.Lock()
		v.m.programs[name].left = false
		v.m.mu.Unlock()
	}
	return errors.Join(errs...)
}
