package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Program is a program that the agent may run. It is the agent's own configuration: no job and no server can change it.
type Program struct {
	// Path is absolute.
	Path string
	// SHA256 are the approved hashes of the file, lower case hexadecimal; at least one.
	SHA256 []string
	// Arguments it is always run with.
	Arguments []string
	// Folder it runs in and writes to; empty means the folder that it lies in. Only administrators should be able to write there, since a
	// program loads libraries from it.
	Folder string
}

func (p Program) folder() string {
	if p.Folder != "" {
		return p.Folder
	}
	return filepath.Dir(p.Path)
}

// localPrograms runs the programs of the allow-list.
type localPrograms struct {
	list map[string]Program

	mu sync.Mutex
	// running are the names of programs that run now: two runs of one would take each other's files for their own.
	running map[string]bool
}

func newLocalPrograms(list map[string]Program) *localPrograms {
	return &localPrograms{list: list, running: map[string]bool{}}
}

// Look implements Programs.
func (p *localPrograms) Look(_ context.Context, name string) (*actionv1.ProgramState, error) {
	program, known := p.list[name]
	if !known {
		return &actionv1.ProgramState{Program: name}, nil
	}
	file, state, err := inspect(name, program)
	if file != nil {
		_ = file.Close() // only read
	}
	return state, err
}

// inspect opens a program's file and reads its hash. The open file, nil when there is none, cannot become another one: see openProgram.
func inspect(name string, program Program) (*os.File, *actionv1.ProgramState, error) {
	state := &actionv1.ProgramState{Program: name, Known: true, Path: program.Path}
	file, err := openProgram(program.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, state, nil
	}
	if err == nil {
		state.Sha256, err = hashProgram(file)
	}
	if err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return nil, state, fmt.Errorf("program %q: %w", name, err)
	}
	state.Exists, state.Approved = true, slices.Contains(program.SHA256, state.GetSha256())
	return file, state, nil
}

func hashProgram(file *os.File) (string, error) {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", notRegular(err)
	}
	return hashOf(file)
}

// hashOf is the lower case hexadecimal SHA-256 of all that r holds.
func hashOf(r io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Run implements Programs.
func (p *localPrograms) Run(ctx context.Context, name string) (*actionv1.ProgramState, error) {
	done, err := p.begin(name)
	if err != nil {
		return nil, err
	}
	defer done()
	program := p.list[name]
	file, state, err := inspect(name, program)
	if err != nil {
		return nil, err
	}
	if file == nil {
		return nil, fmt.Errorf("program %q: %s %w: install it, or correct the agent's programs setting", name, program.Path, ErrNotExist)
	}
	defer func() { _ = file.Close() }() // only read
	if !state.GetApproved() {
		return nil, fmt.Errorf("program %q: %s has the hash %s, which is not approved: compare it with its maker's, then add it to the agent's programs setting",
			name, program.Path, state.GetSha256())
	}
	return state, p.run(ctx, program, file, state)
}

// begin notes that a program runs. The function that it returns must be called when it does no more.
func (p *localPrograms) begin(name string) (func(), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.list[name]; !known {
		return nil, fmt.Errorf("program %q: is not on the agent's list: add it to the agent's programs setting", name)
	}
	if p.running[name] {
		return nil, fmt.Errorf("program %q: runs already: wait for its end", name)
	}
	p.running[name] = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, name)
	}, nil
}

// run runs an open and approved program and fills in what came of it.
func (p *localPrograms) run(ctx context.Context, program Program, file *os.File, state *actionv1.ProgramState) error {
	before, err := listing(program.folder())
	if err != nil {
		return fmt.Errorf("program %q: folder %s: %w", state.GetProgram(), program.folder(), err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("program %q: was not run: %w", state.GetProgram(), WaitError(ctx))
	}
	if state.ExitCode, state.TimedOut, err = runTree(ctx, file, program); err != nil {
		return fmt.Errorf("program %q: %w", state.GetProgram(), err)
	}
	if state.NewFiles, err = newFiles(program.folder(), before); err != nil {
		return fmt.Errorf("program %q: has run, but its folder %s cannot be read: %w", state.GetProgram(), program.folder(), err)
	}
	return nil
}

// Open implements Programs.
func (p *localPrograms) Open(_ context.Context, name, path string) (io.ReadCloser, error) {
	program, known := p.list[name]
	if !known {
		return nil, fmt.Errorf("program %q: is not on the agent's list", name)
	}
	if err := CheckPath(path); err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	dir, err := os.OpenRoot(program.folder())
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, err)
	}
	defer closeRoot(dir)
	file, err := openRegular(dir, path)
	if err != nil {
		return nil, fmt.Errorf("program %q: %w", name, fileError("folder of the program", path, err))
	}
	return file, nil
}

// EndAll implements Programs.
func (p *localPrograms) EndAll(context.Context) error { return endLeftovers() }
