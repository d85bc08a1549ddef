package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newFolder(t *testing.T) (string, *localFiles) {
	t.Helper()
	folder := t.TempDir()
	return folder, newLocalFiles(newRoots(LocalConfig{Roots: map[string]string{"files": folder}}))
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func TestReplacedFileKeepsItsMode(t *testing.T) {
	folder, files := newFolder(t)
	for _, mode := range []os.FileMode{0o640, 0o600, 0o444} {
		path := filepath.Join(folder, "nbe.toml")
		writeFile(t, path, "old", mode)
		if err := files.Write(t.Context(), "files", "nbe.toml", []byte("new")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode after writing = %v, %v; want %v kept", info, err, mode)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinksCannotLeaveTheRoot(t *testing.T) {
	folder, files := newFolder(t)
	outside := filepath.Join(t.TempDir(), "secret")
	writeFile(t, outside, "secret", 0o600)
	link(t, outside, filepath.Join(folder, "link"))
	link(t, filepath.Dir(outside), filepath.Join(folder, "folder"))
	for _, name := range []string{"link", "folder/secret"} {
		if content, _, err := files.Read(t.Context(), "files", name, 10); !errors.Is(err, ErrOutside) {
			t.Errorf("Read(%q) = %q, %v; want ErrOutside", name, content, err)
		}
		if err := files.Write(t.Context(), "files", name, []byte("x")); err == nil {
			t.Errorf("Write(%q) succeeded through a link out of the root", name)
		}
		if err := files.Remove(t.Context(), "files", name); err == nil {
			t.Errorf("Remove(%q) succeeded through a link out of the root", name)
		}
	}
	if _, err := files.List(t.Context(), "files", "folder"); !errors.Is(err, ErrOutside) {
		t.Errorf("List = %v, want ErrOutside", err)
	}
	if content, err := os.ReadFile(outside); err != nil || string(content) != "secret" {
		t.Errorf("file outside = %q, %v; want it untouched", content, err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestWriteLeavesLinksAlone(t *testing.T) {
	folder, files := newFolder(t)
	writeFile(t, filepath.Join(folder, "real.toml"), "real", 0o600)
	link(t, "real.toml", filepath.Join(folder, "nbe.toml"))
	err := files.Write(t.Context(), "files", "nbe.toml", []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("Write over a link = %v, want a refusal: replacing it would part it from its target", err)
	}
	if content, _, err := files.Read(t.Context(), "files", "nbe.toml", 10); err != nil || string(content) != "real" {
		t.Errorf("Read through a link inside the root = %q, %v; want its target", content, err)
	}
}

func TestPipeDoesNotHang(t *testing.T) {
	folder, files := newFolder(t)
	if err := syscall.Mkfifo(filepath.Join(folder, "nbe.toml"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := files.Read(t.Context(), "files", "nbe.toml", 10); err == nil {
		t.Error("Read of a pipe succeeded, want that it is no regular file")
	}
}

func TestWriteClearsWhatACrashLeft(t *testing.T) {
	folder, files := newFolder(t)
	writeFile(t, filepath.Join(folder, temporaryName("nbe.toml")), "half", 0o400)
	if err := files.Write(t.Context(), "files", "nbe.toml", []byte("whole")); err != nil {
		t.Fatalf("Write = %v, want success beside what an earlier, crashed write left", err)
	}
	names, err := files.List(t.Context(), "files", ".")
	if err != nil || len(names) != 1 || names[0] != "nbe.toml" {
		t.Errorf("List = %q, %v; want nbe.toml alone", names, err)
	}
}

func TestRootThatIsNotThere(t *testing.T) {
	files := newLocalFiles(newRoots(LocalConfig{Roots: map[string]string{"endpoint": "/no/such/folder"}}))
	_, _, err := files.Read(t.Context(), "endpoint", "nbe.toml", 10)
	if !errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), "/no/such/folder") {
		t.Errorf("Read = %v, want ErrNotExist with the folder's name", err)
	}
}
