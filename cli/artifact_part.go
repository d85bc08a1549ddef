package cli

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// part is a file that is being fetched, under a name of its own until it is whole.
type part struct {
	path string
	name string
	file *os.File
	// sum and size are those of what is in it.
	sum  hash.Hash
	size uint64
}

// openPart makes the file, or goes on with the one that an earlier run has left. A path that is taken is refused.
func openPart(path string, f *fleetv1.Artifact) (*part, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, taken(path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, notWritable(err)
	}
	p := &part{path: path, name: path + "." + ownID(f) + ".part", sum: sha256.New()}
	file, err := os.OpenFile(p.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notWritable(err)
	}
	p.file = file
	size, err := io.Copy(p.sum, file)
	if err == nil && uint64(size) > f.GetSize() {
		size, err = 0, p.restart()
	}
	if err != nil {
		p.close()
		return nil, notWritable(err)
	}
	p.size = uint64(size)
	return p, nil
}

// ownID is the id, which a server cannot make a path of.
func ownID(f *fleetv1.Artifact) string {
	if plainName.MatchString(f.GetId()) {
		return f.GetId()
	}
	return "artifact"
}

// restart empties the file: more is in it than it can have.
func (p *part) restart() error {
	p.sum.Reset()
	_, err := p.file.Seek(0, io.SeekStart)
	return errors.Join(err, p.file.Truncate(0))
}

// keep makes the file durable and gives it its name, which must still be free.
func (p *part) keep() error {
	if err := errors.Join(p.file.Sync(), p.file.Close()); err != nil {
		return notWritable(err)
	}
	// A link, unlike a rename, does not replace what may be there by now.
	switch err := os.Link(p.name, p.path); {
	case errors.Is(err, fs.ErrExist):
		return taken(p.path)
	case err != nil:
		// Some file systems have no hard links.
		if err := os.Rename(p.name, p.path); err != nil {
			return notWritable(err)
		}
		return nil
	}
	if err := os.Remove(p.name); err != nil {
		return notWritable(err)
	}
	return nil
}

func (p *part) discard() {
	p.close()
	_ = os.Remove(p.name)
}

// close needs no error: a file that counts was closed by keep.
func (p *part) close() { _ = p.file.Close() }

func taken(path string) error {
	return exit.Errorf(exit.BadInput, "file %q: is there already, and is never written over", path).Then("name another file with -f")
}

func notWritable(err error) error {
	return exit.Errorf(exit.BadInput, "artifact get: %v", err).Then("name a file elsewhere with -f")
}
