package host

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxListing bounds how many files a program's folder may hold: it is listed twice for each run.
const maxListing = 20_000

// version tells one content of a file from another without reading it.
type version struct {
	size     int64
	modified time.Time
}

// listing is the files of a folder and those below it, by path with forward slashes. Links are no files.
func listing(folder string) (map[string]version, error) {
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	files := map[string]version{}
	err = fs.WalkDir(dir.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreNotExist(err) // deleted meanwhile
		}
		if files[path] = (version{info.Size(), info.ModTime()}); len(files) > maxListing {
			return fmt.Errorf("holds more than %d files: give the program a folder of its own", maxListing)
		}
		return nil
	})
	return files, err
}

// newFiles are the files that were not there before, or were other ones, by path.
func newFiles(folder string, before map[string]version) ([]*actionv1.FileState, error) {
	after, err := listing(folder)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	defer closeRoot(dir)
	var found []*actionv1.FileState
	for path, v := range after {
		if old, was := before[path]; was && old.size == v.size && old.modified.Equal(v.modified) {
			continue
		}
		// A name may be no text, which no record could hold; it is told of, and cannot be asked for.
		state := &actionv1.FileState{Path: strings.ToValidUTF8(path, "\uFFFD"), Exists: true, Size: uint64(v.size), Modified: timestamppb.New(v.modified)}
		if state.Sha256, err = hashBelow(dir, path); err != nil {
			return nil, err
		}
		found = append(found, state)
	}
	slices.SortFunc(found, func(a, b *actionv1.FileState) int { return strings.Compare(a.GetPath(), b.GetPath()) })
	return found, nil
}

func hashBelow(dir *os.Root, path string) (string, error) {
	file, err := openRegular(dir, path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	return hashOf(file)
}

// openRegular opens a file for reading, and nothing that is no file: a pipe in its place must not hang the agent.
func openRegular(dir *os.Root, path string) (*os.File, error) {
	file, err := dir.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = file.Close() // only opened
		return nil, notRegular(err)
	}
	return file, nil
}
