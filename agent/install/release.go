package install

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/bandfleet/bandfleet/agent/host/private"
	"github.com/bandfleet/bandfleet/agent/plugins"
)

// pluginsName is the name of the folder of plugins beside the agent's program.
const pluginsName = "plugins"

// ProgramFile is the name of the agent's program.
func ProgramFile() string {
	if runtime.GOOS == "windows" {
		return "fleet-agent.exe"
	}
	return "fleet-agent"
}

func programFile(dir string) string  { return filepath.Join(dir, ProgramFile()) }
func pluginFolder(dir string) string { return filepath.Join(dir, pluginsName) }

// release is a folder with the agent's program and its plugins, of which each was found to have the hash that plugins.lock names.
type release struct {
	dir  string
	pins []plugins.Pin
}

func readRelease(dir string) (release, error) {
	if _, err := os.Stat(programFile(dir)); err != nil {
		return release{}, &RefusedError{fmt.Errorf("release %q: %w; name the folder as it was unpacked", dir, err)}
	}
	pins, err := plugins.ReadLock(pluginFolder(dir))
	if err != nil {
		return release{}, &RefusedError{fmt.Errorf("release %q: %w", dir, err)}
	}
	return release{dir, pins}, nil
}

// copyTo copies what belongs to the release, and nothing else that lies beside it, into a new folder, and checks the copy.
func (r release) copyTo(dir string) error {
	if err := private.MakeProgramDir(dir); err != nil {
		return err
	}
	if err := os.Mkdir(pluginFolder(dir), 0o755); err != nil { //nolint:gosec // programs are run by others than their owner
		return err
	}
	if err := copyFile(programFile(r.dir), programFile(dir), 0o755); err != nil {
		return err
	}
	lock := filepath.Join(pluginsName, plugins.LockName)
	if err := copyFile(filepath.Join(r.dir, lock), filepath.Join(dir, lock), 0o644); err != nil {
		return err
	}
	for _, p := range r.pins {
		if err := copyFile(p.File, filepath.Join(pluginFolder(dir), filepath.Base(p.File)), 0o755); err != nil {
			return err
		}
	}
	_, err := readRelease(dir)
	return err
}

// copyFile writes a new file and has it on disk before it returns.
func copyFile(from, to string, mode fs.FileMode) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		// What the process's umask took away is given again.
		err = out.Chmod(mode)
	}
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// sameRelease tells whether what is installed is the release in from, undamaged. Of from, which may be far away, it reads no plugins: the
// list of their hashes is enough.
func sameRelease(from, installed string) (bool, error) {
	if from == installed {
		return true, nil
	}
	lock := filepath.Join(pluginsName, plugins.LockName)
	for _, name := range []string{lock, ProgramFile()} {
		same, err := sameFile(filepath.Join(from, name), filepath.Join(installed, name))
		if err != nil {
			return false, &RefusedError{fmt.Errorf("release %q: %w; name the folder as it was unpacked", from, err)}
		}
		if !same {
			return false, nil
		}
	}
	_, err := readRelease(installed)
	return err == nil, nil
}

// sameFile tells whether there is a second file that is like the first.
func sameFile(first, second string) (bool, error) {
	size, err := os.Stat(first)
	if err != nil {
		return false, err
	}
	other, err := os.Stat(second)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || size.Size() != other.Size() {
		return false, err
	}
	a, err := hash(first)
	if err != nil {
		return false, err
	}
	b, err := hash(second)
	return bytes.Equal(a, b), err
}

func hash(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return sum.Sum(nil), errors.Join(err, f.Close())
}

// samePins tells whether an agent's pins are those of a folder of plugins.
func samePins(pinned, folder string) bool {
	have, err := plugins.LoadPins(pinned)
	if err != nil {
		return false
	}
	want, err := plugins.ReadLock(folder)
	return err == nil && slices.EqualFunc(have, want, func(a, b plugins.Pin) bool { return a.File == b.File && a.SHA256 == b.SHA256 })
}

// sameSettings tells whether the installed settings are those of a file; no file means that they are to stay as they are.
func sameSettings(file, installed string) (bool, error) {
	if file == "" {
		return true, nil
	}
	return sameFile(file, installed)
}
