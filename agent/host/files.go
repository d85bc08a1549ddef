package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// localFiles serves folders of this machine. Every access goes through an os.Root, so that no symbolic link or junction
// leads out. On Windows os.Root opens with FILE_SHARE_DELETE (os.Open does not), so reading never blocks another program
// from replacing or rotating the file.
type localFiles struct {
	roots rootFolders
	// writes lets one write at a time happen, since a file's temporary name is fixed: what a crash leaves is found again
	// and replaced by the next write.
	writes sync.Mutex
}

func newLocalFiles(roots rootFolders) *localFiles {
	return &localFiles{roots: roots}
}

// Read implements Files.
func (f *localFiles) Read(ctx context.Context, root, name string, limit int) ([]byte, bool, error) {
	dir, err := f.open(ctx, root, name)
	if err != nil {
		return nil, false, err
	}
	defer closeRoot(dir)
	file, err := openRegular(dir, name)
	if err != nil {
		return nil, false, fileError(root, name, err)
	}
	defer func() { _ = file.Close() }() // only read
	content, err := io.ReadAll(io.LimitReader(file, int64(max(limit, 0))+1))
	if err != nil {
		return nil, false, fileError(root, name, err)
	}
	if len(content) > limit {
		return content[:max(limit, 0)], true, nil
	}
	return content, false, nil
}

// Write implements Files.
func (f *localFiles) Write(ctx context.Context, root, name string, content []byte) error {
	dir, err := f.openToChange(ctx, root, name)
	if err != nil {
		return err
	}
	defer closeRoot(dir)
	f.writes.Lock()
	defer f.writes.Unlock()
	return fileError(root, name, replaceFile(dir, name, content))
}

// Remove implements Files.
func (f *localFiles) Remove(ctx context.Context, root, name string) error {
	dir, err := f.openToChange(ctx, root, name)
	if err != nil {
		return err
	}
	defer closeRoot(dir)
	if info, err := dir.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return fileError(root, name, notRegular(err))
	}
	if err := removeFile(dir, name); err != nil {
		return fileError(root, name, err)
	}
	return fileError(root, name, syncFolder(dir, path.Dir(name)))
}

// List implements Files.
func (f *localFiles) List(ctx context.Context, root, name string) ([]string, error) {
	dir, err := f.open(ctx, root, name)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	folder, err := dir.Open(name)
	if err != nil {
		return nil, fileError(root, name, err)
	}
	defer func() { _ = folder.Close() }() // only read
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, fileError(root, name, err)
	}
	slices.Sort(names)
	return names, nil
}

// open checks the path and opens its root.
func (f *localFiles) open(ctx context.Context, root, name string) (*os.Root, error) {
	if err := CheckPath(name); err != nil {
		return nil, err
	}
	folder, err := f.roots.folder(ctx, root)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("file root %q: folder %s %w", root, folder, ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("file root %q: %w", root, err)
	}
	return dir, nil
}

// openToChange opens the root of a path that is going to be changed.
func (f *localFiles) openToChange(ctx context.Context, root, name string) (*os.Root, error) {
	if f.roots.readOnly[root] {
		return nil, fmt.Errorf("file %q of root %q: this root is only read", name, root)
	}
	return f.open(ctx, root, name)
}

func closeRoot(dir *os.Root) {
	_ = dir.Close() // a folder's handle: nothing is lost
}

// temporaryName is where the new content of a file is written before it takes the file's place.
func temporaryName(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+".bandfleet-new")
}

// replaceFile writes the new content beside the file, to the disk, and renames it into place.
func replaceFile(dir *os.Root, name string, content []byte) error {
	before, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		before = nil
	} else if err != nil || !before.Mode().IsRegular() {
		return notRegular(err)
	}
	temporary := temporaryName(name)
	if err := removeFile(dir, temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeTemporary(dir, name, temporary, before, content); err != nil {
		return errors.Join(err, ignoreNotExist(removeFile(dir, temporary)))
	}
	if err := renameFile(dir, temporary, name); err != nil {
		return errors.Join(err, ignoreNotExist(removeFile(dir, temporary)))
	}
	return syncFolder(dir, path.Dir(name))
}

// writeTemporary makes the temporary file, with the access rights of the file that it will replace, if any.
func writeTemporary(dir *os.Root, name, temporary string, before fs.FileInfo, content []byte) error {
	file, err := dir.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, newFileMode(before))
	if err != nil {
		return err
	}
	if before != nil {
		err = keepAccess(dir, name, before, file)
	}
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// newFileMode keeps a file that will replace a private one private from its first moment.
func newFileMode(before fs.FileInfo) fs.FileMode {
	if before == nil {
		return 0o644
	}
	return 0o600
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// notRegular returns err, or, without one, that the thing is no file.
func notRegular(err error) error {
	if err != nil {
		return err
	}
	return errors.New("is not a regular file")
}

// fileError names the file, and maps what the operating system says to the errors that callers tell apart.
func fileError(root, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file %q of root %q: %w", name, root, ErrNotExist)
	case strings.HasSuffix(err.Error(), "path escapes from parent"): // package os has no value for it
		return fmt.Errorf("file %q of root %q: a link on the way leads out: %w", name, root, ErrOutside)
	}
	return fmt.Errorf("file %q of root %q: %w", name, root, err)
}

// Stat implements Files.
func (f *localFiles) Stat(ctx context.Context, root, name string) (*actionv1.FileState, error) {
	state := &actionv1.FileState{Root: root, Path: name}
	dir, err := f.open(ctx, root, name)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return nil, fileError(root, name, notRegular(err))
	}
	state.Exists, state.Size, state.Modified = true, uint64(info.Size()), timestamppb.New(info.ModTime())
	return state, nil
}

// Open implements Files.
func (f *localFiles) Open(ctx context.Context, root, name string) (io.ReadCloser, error) {
	dir, err := f.open(ctx, root, name)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	file, err := openRegular(dir, name)
	if err != nil {
		return nil, fileError(root, name, err)
	}
	return file, nil
}
