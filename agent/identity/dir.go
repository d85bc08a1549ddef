// Package identity is who this machine is in the fleet: the agent's data directory with its two private keys, its certificate,
// the CAs it trusts and the record of its enrolment. The keys are made here and never leave the machine. Package agent
// enrols and loads it; package link connects and renews with it.
package identity

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

// Files of a data directory. recordFile is written last: a folder that holds it is enrolled.
const (
	recordFile      = "agent.json"
	keyFile         = "tls.key"
	sealingKeyFile  = "seal.key"
	certificateFile = "tls.crt"
	authoritiesFile = "ca.crt"
	pinsFile        = "pins.json"
	journalFile     = "journal.db"
	spoolFolder     = "spool"
	keptFolder      = "kept"
	marksFile       = "log-marks.json"
)

// stagingFolder is where an enrolment happens. What it makes moves into the data directory only when the server has
// answered, so that an enrolment that fails leaves an earlier identity as it was.
const stagingFolder = "enrolling"

// contents are the files that make up an identity. The record comes first.
func contents() []string {
	return []string{recordFile, certificateFile, authoritiesFile, keyFile, sealingKeyFile, pinsFile, journalFile}
}

// Dir is the path of an agent's data directory.
type Dir string

// Make makes the folder if need be, open to the agent's account and administrators alone.
func (d Dir) Make() error { return private.MakeDir(string(d)) }

// Journal is the path of the agent's journal.
func (d Dir) Journal() string { return d.file(journalFile) }

// Spool is the folder of files that wait for the server. It belongs to the journal: what that does not name is removed.
func (d Dir) Spool() string { return d.file(spoolFolder) }

// Kept is the folder of what files held before they were changed. It belongs to the journal, as the spool does.
func (d Dir) Kept() string { return d.file(keptFolder) }

// Marks is the path of what remembers how far each log of the product was read. Without it they are read from their ends.
func (d Dir) Marks() string { return d.file(marksFile) }

// Pins is the path of the agent's own copy of the plugins' hashes and manifests.
func (d Dir) Pins() string { return d.file(pinsFile) }

func (d Dir) file(name string) string { return filepath.Join(string(d), name) }

// Enrolled tells whether an enrolment was completed here.
func (d Dir) Enrolled() (bool, error) { return private.Exists(d.file(recordFile)) }

// Staging is the folder in which an enrolment for this data directory happens.
func (d Dir) Staging() Dir { return Dir(d.file(stagingFolder)) }

// Adopt moves a completed enrolment out of the staging folder, the record last. Nothing may be open in either.
func (d Dir) Adopt() error {
	from := d.Staging()
	names := contents()
	slices.Reverse(names)
	if err := move(from, d, names); err != nil {
		return err
	}
	return os.Remove(string(from))
}

// SetAside moves an identity with its pins and journal into a new folder below the data directory and returns its path. The
// record goes first, so that a crash in between leaves a folder that is not enrolled. No agent may be running here.
func (d Dir) SetAside(now time.Time) (Dir, error) {
	aside := Dir(d.file("former-" + now.UTC().Format("20060102T150405.000Z")))
	if err := os.Mkdir(string(aside), 0o700); err != nil {
		return "", err
	}
	return aside, move(d, aside, contents())
}

// move renames those files that are there.
func move(from, to Dir, names []string) error {
	for _, name := range names {
		err := os.Rename(from.file(name), to.file(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("data directory %q: %w; stop the agent that runs there and try again", string(from), err)
		}
	}
	return private.SyncDir(string(to))
}
