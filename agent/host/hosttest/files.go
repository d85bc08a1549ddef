package hosttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// SetFile puts a file below a root, which is made if needed. It is not among Calls.
func (m *Memory) SetFile(root, name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[root] == nil {
		m.files[root] = map[string][]byte{}
	}
	m.files[root][name] = []byte(content)
}

// RemoveFile takes a file away. It is not among Calls.
func (m *Memory) RemoveFile(root, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files[root], name)
}

// memoryFiles is Memory's host.Files. Folders are there as long as there are files below them.
type memoryFiles struct{ m *Memory }

// Read implements host.Files.
func (v memoryFiles) Read(_ context.Context, root, name string, limit int) ([]byte, bool, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	content, err := v.m.file(root, name)
	if err != nil {
		return nil, false, err
	}
	end := min(len(content), max(limit, 0))
	return bytes.Clone(content[:end]), end < len(content), nil
}

// Write implements host.Files.
func (v memoryFiles) Write(_ context.Context, root, name string, content []byte) error {
	if err := v.m.mutating("write", root+"/"+name); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	folder, err := v.m.root(root, name)
	if err != nil {
		return err
	}
	if name == "." || (path.Dir(name) != "." && len(below(folder, path.Dir(name))) == 0) {
		return fmt.Errorf("file %q of root %q: its folder %w", name, root, host.ErrNotExist)
	}
	folder[name] = bytes.Clone(content)
	return nil
}

// Remove implements host.Files.
func (v memoryFiles) Remove(_ context.Context, root, name string) error {
	if err := v.m.mutating("remove", root+"/"+name); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if _, err := v.m.file(root, name); err != nil {
		return err
	}
	delete(v.m.files[root], name)
	return nil
}

// List implements host.Files.
func (v memoryFiles) List(_ context.Context, root, name string) ([]string, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	folder, err := v.m.root(root, name)
	if err != nil {
		return nil, err
	}
	names := below(folder, name)
	if len(names) == 0 && name != "." {
		return nil, fmt.Errorf("file %q of root %q: %w", name, root, host.ErrNotExist)
	}
	return names, nil
}

// root returns the files of a root after checking the path. Called with mu held.
func (m *Memory) root(root, name string) (map[string][]byte, error) {
	folder, ok := m.files[root]
	if !ok {
		return nil, fmt.Errorf("file root %q: %w", root, host.ErrNotExist)
	}
	return folder, host.CheckPath(name)
}

// file returns a file's content. Called with mu held.
func (m *Memory) file(root, name string) ([]byte, error) {
	folder, err := m.root(root, name)
	if err != nil {
		return nil, err
	}
	content, ok := folder[name]
	if !ok {
		return nil, fmt.Errorf("file %q of root %q: %w", name, root, host.ErrNotExist)
	}
	return content, nil
}

// below returns the sorted names in a folder.
func below(files map[string][]byte, folder string) []string {
	names := map[string]bool{}
	for name := range files {
		rest, ok := name, true
		if folder != "." {
			rest, ok = strings.CutPrefix(name, folder+"/")
		}
		if ok {
			first, _, _ := strings.Cut(rest, "/")
			names[first] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Stat implements host.Files.
func (v memoryFiles) Stat(ctx context.Context, root, path string) (*actionv1.FileState, error) {
	state := &actionv1.FileState{Root: root, Path: path}
	content, _, err := v.Read(ctx, root, path, 1<<30)
	if errors.Is(err, host.ErrNotExist) {
		return state, nil
	}
	state.Exists, state.Size = err == nil, uint64(len(content))
	return state, err
}

// Open implements host.Files.
func (v memoryFiles) Open(ctx context.Context, root, path string) (io.ReadCloser, error) {
	content, _, err := v.Read(ctx, root, path, 1<<30)
	return io.NopCloser(bytes.NewReader(content)), err
}

// Holders implements host.Files.
func (v memoryFiles) Holders(_ context.Context, root string) ([]*actionv1.HandleHolder, error) {
	return nil, fmt.Errorf("who holds files of root %q: %w", root, host.ErrNotSupported)
}
