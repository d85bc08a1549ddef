package hosttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// file is a file. Guarded by Memory.mu.
type file struct {
	content  []byte
	modified time.Time
}

// SetModified sets when a file was last written to. It is not among Calls.
func (m *Memory) SetModified(root, name string, modified time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[root][name]
	f.modified = modified
	m.files[root][name] = f
}

// File returns what a file holds; false when there is no such file.
func (m *Memory) File(root, name string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[root][name]
	return string(f.content), ok
}

// SetHolders has these processes hold files below a root.
func (m *Memory) SetHolders(root string, holders ...*actionv1.HandleHolder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holders[root] = holders
}

// SetFile puts a file below a root, which is made if needed. It is not among Calls.
func (m *Memory) SetFile(root, name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[root] == nil {
		m.files[root] = map[string]file{}
	}
	m.files[root][name] = file{[]byte(content), time.Now()}
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
	f, err := v.m.file(root, name)
	if err != nil {
		return nil, false, err
	}
	end := min(len(f.content), max(limit, 0))
	return bytes.Clone(f.content[:end]), end < len(f.content), nil
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
	folder[name] = file{bytes.Clone(content), time.Now()}
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
func (m *Memory) root(root, name string) (map[string]file, error) {
	folder, ok := m.files[root]
	if !ok {
		return nil, fmt.Errorf("file root %q: %w", root, host.ErrNotExist)
	}
	return folder, host.CheckPath(name)
}

// file finds a file. Called with mu held.
func (m *Memory) file(root, name string) (file, error) {
	folder, err := m.root(root, name)
	if err != nil {
		return file{}, err
	}
	f, ok := folder[name]
	if !ok {
		return file{}, fmt.Errorf("file %q of root %q: %w", name, root, host.ErrNotExist)
	}
	return f, nil
}

// below returns the sorted names in a folder.
func below(files map[string]file, folder string) []string {
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
func (v memoryFiles) Stat(_ context.Context, root, name string) (*actionv1.FileState, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	folder, err := v.m.root(root, name)
	if err != nil {
		return nil, err
	}
	state := &actionv1.FileState{Root: root, Path: name}
	if f, ok := folder[name]; ok {
		state.Exists, state.Size, state.Modified = true, uint64(len(f.content)), timestamppb.New(f.modified)
	} else if name == "." || len(below(folder, name)) > 0 {
		return nil, fmt.Errorf("file %q of root %q: is not a regular file", name, root)
	}
	return state, nil
}

// Open implements host.Files.
func (v memoryFiles) Open(_ context.Context, root, name string) (io.ReadCloser, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	f, err := v.m.file(root, name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(bytes.Clone(f.content))), nil
}

// Holders implements host.Files.
func (v memoryFiles) Holders(_ context.Context, root string) ([]*actionv1.HandleHolder, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if _, err := v.m.root(root, "."); err != nil {
		return nil, err
	}
	list := &actionv1.HandleList{Holders: v.m.holders[root]}
	return proto.CloneOf(list).GetHolders(), nil
}
