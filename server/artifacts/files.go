package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

const (
	// chunkSize is the greatest chunk in either direction, in bytes.
	chunkSize = 64 << 10
	// lookEvery is after how many bytes the free space is looked at again.
	lookEvery = 1 << 20
)

// part is the file of an unfinished artefact.
type part struct {
	keeper *Keeper
	file   *os.File
	// size is how much of it is here, want how much there will be.
	size, want uint64
	looked     uint64
}

// openPart opens the file of an unfinished artefact, or makes it. What it says is here is on the disk.
func (k *Keeper) openPart(a *fleetv1.Artifact) (*part, error) {
	file, err := k.root.OpenFile(a.GetId(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError(err)
	}
	p := &part{keeper: k, file: file, want: a.GetSize()}
	if err := p.measure(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// measure finds the end of the file. One that is longer than it can be is begun anew.
func (p *part) measure() error {
	size, err := p.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if uint64(size) > p.want {
		if err := p.file.Truncate(0); err != nil {
			return err
		}
		if size, err = p.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	p.size = uint64(size)
	p.looked = p.size
	return p.sync()
}

// append writes a chunk, which must follow what is here and stay within what was announced.
func (p *part) append(c *agentv1.ArtifactChunk) error {
	switch n := uint64(len(c.GetData())); {
	case c == nil:
		return malformed("a second header, or nothing, where a chunk was due")
	case n == 0 || n > chunkSize:
		return malformed("a chunk of %d bytes; want 1 to %d", n, chunkSize)
	case c.GetOffset() != p.size:
		return malformed("a chunk for offset %d, and %d bytes are here", c.GetOffset(), p.size)
	case n > p.want-p.size:
		return malformed("more bytes than the %d that were announced", p.want)
	}
	if p.size-p.looked >= lookEvery {
		if err := p.keeper.wantRoom(p.want - p.size); err != nil {
			return err
		}
		p.looked = p.size
	}
	n, err := p.file.Write(c.GetData())
	p.size += uint64(n)
	return fileError(err)
}

func (p *part) sync() error { return fileError(p.file.Sync()) }

// close needs no error: what counts was synced.
func (p *part) close() { _ = p.file.Close() }

// fileError says that the disk is full in words for whoever looks after the server.
func fileError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return errNoRoom()
	}
	return err
}

// hash reads a file from its beginning to its end.
func (k *Keeper) hash(id string) (string, error) { return hashFile(k.root, id) }

func hashFile(root *os.Root, id string) (string, error) {
	f, err := root.Open(id)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, f, make([]byte, chunkSize)); err != nil {
		return "", fmt.Errorf("artefact %q: %w", id, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// unlink removes a file; one that is gone already is no error.
func (k *Keeper) unlink(id string) error {
	if err := k.root.Remove(id); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncFolder makes names survive a loss of power. Windows does that by itself.
func (k *Keeper) syncFolder() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := k.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
