// Package collect copies log files of this machine into an archive. What can be collected is a closed list of sources, each with the files
// that the vendor's guide names; a plugin names a source, never a path. Files are read shared, so that no program is kept from writing to or
// rotating its log. What does not fit, or cannot be read, is marked in the archive's manifest and fails nothing. Configuration files go in
// with their secrets masked. The runner calls it; it reads through host.Files and changes nothing.
package collect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// MaxBytes is the most that an archive may be asked to hold of files, in bytes.
	MaxBytes = 200 << 20
	// MaxTail is the most last lines that may be asked for.
	MaxTail = 100_000
	// maxFiles bounds the files of one archive.
	maxFiles = 2000
)

// About is what an archive says of where it comes from.
type About struct {
	Terminal, Site, Job string
	Made                time.Time
}

// Check says what is wrong with what is asked for.
func Check(c *actionv1.Collect) error {
	if len(c.GetSources()) == 0 {
		return errors.New("it names no source of logs")
	}
	for i, name := range c.GetSources() {
		if _, ok := sourceOf(name); !ok {
			return fmt.Errorf("source %q is not known; known are %v", name, Known())
		}
		if slices.Contains(c.GetSources()[:i], name) {
			return fmt.Errorf("source %q is named twice", name)
		}
	}
	switch {
	case c.GetMaxBytes() == 0 || c.GetMaxBytes() > MaxBytes:
		return fmt.Errorf("its max_bytes is %d, want 1 to %d", c.GetMaxBytes(), MaxBytes)
	case c.GetTail() > MaxTail:
		return fmt.Errorf("its tail is %d lines, want at most %d", c.GetTail(), MaxTail)
	case c.GetSince().AsDuration() < 0:
		return fmt.Errorf("its since is %s, want 0 or more", c.GetSince().AsDuration())
	}
	return nil
}

// Archive writes a zip archive of what is asked for, and returns what is in it. The newest files go in first, so that what does not fit is
// the oldest. Errors: that of w, and ctx's end; what cannot be read is in the answer.
func Archive(ctx context.Context, files host.Files, w io.Writer, c *actionv1.Collect, about About) (*actionv1.Collection, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	a := &archive{zip: newZip(w), files: files, asked: c, left: c.GetMaxBytes(), answer: &actionv1.Collection{}}
	for _, f := range a.find(ctx, about.Made) {
		if err := errors.Join(ctx.Err(), a.add(ctx, f)); err != nil {
			return nil, err
		}
	}
	if err := a.manifest(about); err != nil {
		return nil, err
	}
	return a.answer, a.zip.Close()
}

// manifest is the archive's own account of what is in it.
type manifest struct {
	Terminal string    `json:"terminal"`
	Site     string    `json:"site"`
	Job      string    `json:"job"`
	Made     time.Time `json:"made"`
	Sources  []string  `json:"sources"`
	// PersonalData: log files name people, and are kept and passed on accordingly.
	PersonalData bool    `json:"personal_data"`
	Masked       bool    `json:"secrets_masked"`
	Truncated    bool    `json:"truncated"`
	Files        []entry `json:"files"`
}

type entry struct {
	Source   string     `json:"source"`
	Name     string     `json:"name,omitempty"`
	Size     uint64     `json:"size"`
	Modified *time.Time `json:"modified,omitempty"`
	SHA256   string     `json:"sha256,omitempty"`
	Note     string     `json:"note,omitempty"`
}

// manifest writes the manifest, the last entry of an archive.
func (a *archive) manifest(about About) error {
	m := manifest{
		Terminal: about.Terminal, Site: about.Site, Job: about.Job, Made: about.Made.UTC(), Sources: a.asked.GetSources(),
		PersonalData: true, Masked: a.asked.GetRedact(), Truncated: a.answer.GetTruncated(), Files: []entry{},
	}
	for _, f := range a.answer.GetFiles() {
		e := entry{Source: f.GetSource(), Name: f.GetName(), Size: f.GetSize(), SHA256: f.GetSha256(), Note: f.GetNote()}
		if f.GetModified() != nil {
			modified := f.GetModified().AsTime()
			e.Modified = &modified
		}
		m.Files = append(m.Files, e)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return a.write("manifest.json", about.Made, append(text, '\n'))
}
