package cli

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// bundle is a zip file that is being made. It is there under its name only when it is whole.
type bundle struct {
	path  string
	file  *os.File
	zip   *zip.Writer
	made  time.Time
	parts []bundlePart
}

type bundlePart struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// newBundle makes the file. A path that is taken is refused.
func newBundle(path string, now time.Time) (*bundle, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, taken(path)
	}
	file, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, notWritable(err)
	}
	return &bundle{path: path, file: file, zip: zip.NewWriter(file), made: now.UTC()}, nil
}

// close gives the file its name when it is good, and removes it otherwise.
func (b *bundle) close(good bool) error {
	err := b.zip.Close()
	if good {
		err = errors.Join(err, b.file.Sync())
	}
	err = errors.Join(err, b.file.Close())
	if err != nil || !good {
		_ = os.Remove(b.file.Name())
		if good {
			return notWritable(err)
		}
		return nil
	}
	if err := os.Rename(b.file.Name(), b.path); err != nil {
		return notWritable(err)
	}
	return nil
}

// copy puts a part in.
func (b *bundle) copy(name string, from io.Reader) error {
	w, err := b.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: b.made})
	if err != nil {
		return notWritable(err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), from)
	if err != nil {
		return notWritable(err)
	}
	b.parts = append(b.parts, bundlePart{name, n, hex.EncodeToString(sum.Sum(nil))})
	return nil
}

func (b *bundle) text(name, text string) error { return b.copy(name, strings.NewReader(text)) }

// message puts a message in as JSON. One that there is not is left out.
func (b *bundle) message(name string, m proto.Message) error {
	if !m.ProtoReflect().IsValid() {
		return nil
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: "  "}.Marshal(m)
	if err != nil {
		return err
	}
	return b.text(name, string(text)+"\n")
}
