package collect

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxConfig is the largest configuration file that is masked and goes in, in bytes.
const maxConfig = 4 << 20

// archive is an archive that is being written.
type archive struct {
	zip   *zip.Writer
	files host.Files
	asked *actionv1.Collect
	// left is how many bytes of files may still go in.
	left   uint64
	answer *actionv1.Collection
}

// newZip writes with the compressor that costs a busy terminal least.
func newZip(w io.Writer) *zip.Writer {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestSpeed) })
	return z
}

// note says something of a source, or of the archive.
func (a *archive) note(source, text string) {
	a.answer.Files = append(a.answer.Files, &actionv1.CollectedFile{Source: source, Note: text})
}

// write adds an entry of which all is known.
func (a *archive) write(name string, modified time.Time, content []byte) error {
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: modified})
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}

// add adds a file. An error means that the archive cannot be written; what is wrong with the file is noted.
func (a *archive) add(ctx context.Context, f found) error {
	line := &actionv1.CollectedFile{Source: f.source.name, Name: f.name(), Modified: f.state.GetModified()}
	a.answer.Files = append(a.answer.Files, line)
	if a.left == 0 {
		a.answer.Truncated = true
		line.Note = "left out: the archive is full"
		return nil
	}
	content, err := a.files.Open(ctx, f.root, f.state.GetPath())
	if err != nil {
		line.Note = "cannot be read: " + err.Error()
		return nil
	}
	defer func() { _ = content.Close() }() // only read
	if f.source.config && a.asked.GetRedact() {
		return a.addMasked(line, content)
	}
	return a.addLog(ctx, line, content)
}

// addMasked adds a configuration file with its secrets masked.
func (a *archive) addMasked(line *actionv1.CollectedFile, content io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(content, maxConfig+1))
	if err != nil || len(text) > maxConfig {
		line.Note = fmt.Sprintf("left out: it cannot be masked: larger than %d bytes, or unreadable", maxConfig)
		return nil
	}
	masked, n, err := mask(text)
	switch {
	case err != nil:
		line.Note = "left out: it cannot be masked: " + err.Error()
		return nil
	case uint64(len(masked)) > a.left:
		a.answer.Truncated = true
		line.Note = "left out: the archive is full"
		return nil
	}
	line.Note = maskedWord(n)
	sum := sha256.Sum256(masked)
	line.Size, line.Sha256 = uint64(len(masked)), hex.EncodeToString(sum[:])
	a.left -= line.GetSize()
	return a.write(line.GetName(), line.GetModified().AsTime(), masked)
}

func maskedWord(n int) string {
	switch n {
	case 0:
		return "nothing in it is masked"
	case 1:
		return "1 value masked"
	}
	return fmt.Sprintf("%d values masked", n)
}

// addLog adds a log: whole, its last lines, or as much of its end as still fits.
func (a *archive) addLog(ctx context.Context, line *actionv1.CollectedFile, content io.Reader) error {
	part, err := a.endOf(content)
	if err != nil {
		line.Note = "cannot be read: " + err.Error()
		return nil
	}
	if part.note != "" {
		line.Note = part.note
		a.answer.Truncated = a.answer.GetTruncated() || part.cut
	}
	w, err := a.zip.CreateHeader(&zip.FileHeader{Name: line.GetName(), Method: zip.Deflate, Modified: line.GetModified().AsTime()})
	if err != nil {
		return err
	}
	sum := sha256.New()
	// A log may grow while it is read; no more than was measured goes in.
	in := &brokenOff{ctx: ctx, r: io.LimitReader(part.from, int64(part.size))}
	n, err := io.Copy(io.MultiWriter(w, sum), in)
	if in.err != nil {
		line.Note, err = "broke off: "+in.err.Error(), nil
	}
	line.Size, line.Sha256 = uint64(n), hex.EncodeToString(sum.Sum(nil))
	a.left -= line.GetSize()
	return errors.Join(err, ctx.Err())
}

// brokenOff tells an error of the file that is read from one of the archive: a reader that fails ends, and keeps why.
type brokenOff struct {
	ctx context.Context
	r   io.Reader
	err error
}

func (b *brokenOff) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err, err = err, io.EOF
	}
	return n, err
}
