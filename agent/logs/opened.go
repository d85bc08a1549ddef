package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"

	"github.com/bandfleet/bandfleet/agent/host"
)

// maxInMemory bounds a file of a machine in memory, in bytes.
const maxInMemory = 64 << 20

// opened is an open file.
type opened struct {
	io.ReaderAt
	io.Closer
	size int64
	id   string
}

// open opens a file, shared.
func open(ctx context.Context, files host.Files, root, path string) (*opened, error) {
	file, err := files.Open(ctx, root, path)
	if err != nil {
		return nil, err
	}
	real, ok := file.(interface {
		io.ReaderAt
		Stat() (fs.FileInfo, error)
	})
	if !ok {
		return inMemory(file)
	}
	info, err := real.Stat()
	if err != nil {
		_ = file.Close() // only opened
		return nil, err
	}
	return &opened{ReaderAt: real, Closer: file, size: info.Size(), id: host.FileIdentity(file)}, nil
}

// inMemory reads a file that cannot be sought in.
func inMemory(file io.ReadCloser) (*opened, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxInMemory))
	return &opened{ReaderAt: bytes.NewReader(text), Closer: file, size: int64(len(text))}, err
}

// part reads bytes of the file; fewer when it ends before.
func (o *opened) part(from, to int64) ([]byte, error) {
	text := make([]byte, max(0, min(to, o.size)-from))
	n, err := o.ReadAt(text, from)
	if err == io.EOF { //nolint:errorlint // io.ReaderAt returns it bare
		err = nil
	}
	return text[:n], err
}

// print is a hash of a part; empty when it is not there whole or cannot be read.
func (o *opened) print(from, to int64) string {
	text, err := o.part(from, to)
	if err != nil || from < 0 || int64(len(text)) != to-from {
		return ""
	}
	return hashOf(text)
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
