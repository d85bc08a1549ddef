// Package spool keeps the files that tasks have made on this machine until the server has them: whole outputs that are too long
// for a result, archives of logs, what programs wrote. It owns a private folder and the journal's records of what lies in it. The runner fills it, package link
// uploads from it. It is bounded in files, bytes and age: what no longer fits is dropped, the oldest first, and logged. A file
// that is lost costs no result, so nothing here ever holds a task up.
package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Journal remembers what waits across a crash. Each write is on disk when it returns. Package agent/journal implements it.
type Journal interface {
	PutArtifact(a *storagev1.JournalArtifact) error
	// DropArtifact is no error when there is none.
	DropArtifact(file string) error
	Artifacts() ([]*storagev1.JournalArtifact, error)
}

// Limits bound a spool. The zero value of each means its default.
type Limits struct {
	// MaxFile is how much of one file is kept, in bytes; 16 MiB. Kinds of files that are larger by their nature have their own: see most.
	MaxFile int64
	// MaxTotal is how much all files together may take, in bytes; 256 MiB.
	MaxTotal int64
	// MaxFiles is how many files may wait; 256.
	MaxFiles int
	// MaxAge is how long a file waits; 7 days.
	MaxAge time.Duration
	// MinFree is how much must stay free on the disk, in bytes; 256 MiB.
	MinFree uint64
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxFile: or(l.MaxFile, 16<<20), MaxTotal: or(l.MaxTotal, 256<<20), MaxFiles: or(l.MaxFiles, 256),
		MaxAge: or(l.MaxAge, 7*24*time.Hour), MinFree: or(l.MinFree, 256<<20),
	}
}

// Kinds of artefacts that may be larger than a plugin's output.
const (
	kindLogs     = "logs"
	kindFirmware = "firmware-log"
)

// most is how much of one file of a kind is kept, in bytes.
func (l Limits) most(kind string) int64 {
	switch kind {
	case kindLogs:
		// Room for an archive of the most that may be collected, none of which can be compressed.
		return min(208<<20, l.MaxTotal)
	case kindFirmware:
		return min(64<<20, l.MaxTotal)
	}
	return l.MaxFile
}

func or[T int | int64 | uint64 | time.Duration](set, otherwise T) T {
	if set > 0 {
		return set
	}
	return otherwise
}

// Config is what a spool is made of.
type Config struct {
	// Dir is made if need be, open to the agent's account and administrators alone.
	Dir     string
	Journal Journal
	Limits  Limits
	// Free returns how many bytes are free where a folder lies.
	Free func(dir string) (uint64, error)
	Now  func() time.Time
	Log  *slog.Logger
}

// Spool is an open spool. It is safe for concurrent use.
type Spool struct {
	cfg    Config
	limits Limits
	root   *os.Root
	// changed holds a token when something new waits.
	changed chan struct{}

	mu      sync.Mutex
	waiting []*storagev1.JournalArtifact // oldest first
}

// Open opens the spool. What a crash has left half written is removed, and so is what is no longer wanted.
func Open(c Config) (*Spool, error) {
	if err := private.MakeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	s := &Spool{cfg: c, limits: c.Limits.withDefaults(), root: root, changed: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("spool %q: %w", c.Dir, err), root.Close())
	}
	return s, nil
}

// Close gives the folder back. No upload may be under way.
func (s *Spool) Close() error { return s.root.Close() }

// load reads what waits from the journal and compares it with the folder.
func (s *Spool) load() error {
	recs, err := s.cfg.Journal.Artifacts()
	if err != nil {
		return err
	}
	for _, rec := range recs {
		info, err := s.root.Stat(rec.GetFile())
		if err != nil || info.Size() != int64(rec.GetReference().GetSize()) {
			s.forget(rec, "its file is gone or has another size")
			continue
		}
		s.waiting = append(s.waiting, rec)
	}
	slices.SortStableFunc(s.waiting, func(a, b *storagev1.JournalArtifact) int { return a.GetMade().AsTime().Compare(b.GetMade().AsTime()) })
	s.bound()
	if len(s.waiting) > 0 {
		s.poke()
	}
	return s.removeStrays()
}

// removeStrays removes the files that no record names: a crash came before they were complete.
func (s *Spool) removeStrays() error {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if s.find(e.Name()) >= 0 {
			continue
		}
		if err := s.root.RemoveAll(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// Changed holds a token when something new waits.
func (s *Spool) Changed() <-chan struct{} { return s.changed }

func (s *Spool) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Next returns what has waited longest. It must not be changed.
func (s *Spool) Next() (*storagev1.JournalArtifact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bound()
	if len(s.waiting) == 0 {
		return nil, false
	}
	return s.waiting[0], true
}

// Open opens a file that waits.
func (s *Spool) Open(file string) (io.ReadSeekCloser, error) { return s.root.Open(file) }

// Delivered removes a file that the server has.
func (s *Spool) Delivered(file string) { s.remove(file, "") }

// Drop removes a file that the server will not have, and logs why.
func (s *Spool) Drop(file, why string) { s.remove(file, why) }

func (s *Spool) remove(file, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(file)
	if i < 0 {
		return
	}
	rec := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.forget(rec, why)
}

// add makes a file one that waits.
func (s *Spool) add(rec *storagev1.JournalArtifact) error {
	if err := s.cfg.Journal.PutArtifact(rec); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, rec)
	s.bound()
	s.poke()
	return nil
}

// bound drops what is too old, and the oldest of what is too much. The caller holds the lock.
func (s *Spool) bound() {
	total := int64(0)
	for _, rec := range s.waiting {
		total += int64(rec.GetReference().GetSize())
	}
	oldest := s.cfg.Now().Add(-s.limits.MaxAge)
	for len(s.waiting) > 0 {
		rec := s.waiting[0]
		var why string
		switch {
		case rec.GetMade().AsTime().Before(oldest):
			why = fmt.Sprintf("the server has not taken it for %s", s.limits.MaxAge)
		case len(s.waiting) > s.limits.MaxFiles:
			why = fmt.Sprintf("more than %d files wait for the server", s.limits.MaxFiles)
		case total > s.limits.MaxTotal:
			why = fmt.Sprintf("more than %d bytes wait for the server", s.limits.MaxTotal)
		default:
			return
		}
		total -= int64(rec.GetReference().GetSize())
		s.waiting = s.waiting[1:]
		s.forget(rec, why)
	}
}

// forget removes a file and its record. A record that stays is found at the next start.
func (s *Spool) forget(rec *storagev1.JournalArtifact, why string) {
	log := s.cfg.Log.With("job", rec.GetKey().GetJobId(), "kind", rec.GetReference().GetKind(), "bytes", rec.GetReference().GetSize(), "sha256", rec.GetReference().GetSha256())
	if why != "" {
		log.Warn("an artefact is dropped before the server had it; the result says that there was one", "why", why)
	}
	if err := s.root.Remove(rec.GetFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("an artefact's file was not removed", "file", rec.GetFile(), "error", err)
	}
	if err := s.cfg.Journal.DropArtifact(rec.GetFile()); err != nil {
		log.Warn("an artefact's record was not removed from the journal", "error", err)
	}
}

func (s *Spool) find(file string) int {
	return slices.IndexFunc(s.waiting, func(rec *storagev1.JournalArtifact) bool { return rec.GetFile() == file })
}
