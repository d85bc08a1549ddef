package logs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

const (
	// memoryVersion is the version of the file of marks. One of another version is as good as none.
	memoryVersion = 1
	// missingFor is how long the mark of a file that is not there is kept: a profile or a volume may come back.
	missingFor = 7 * 24 * time.Hour
	// maxMissing bounds the marks of a folder whose files are not there.
	maxMissing = 64
)

// memory is what outlasts the agent's process.
type memory struct {
	Version int `json:"version"`
	// Scanned is when the folders of a class were last looked for, by the machine's clock. A class that is not there was never looked at.
	Scanned map[string]time.Time `json:"scanned"`
	// Marks are the marks of a folder's files, by its key.
	Marks   map[string][]*mark `json:"marks"`
	Tallies tallies            `json:"tallies"`
}

func newMemory() *memory {
	return &memory{Version: memoryVersion, Scanned: map[string]time.Time{}, Marks: map[string][]*mark{}}
}

// forget drops marks of files that have long been gone.
func (m *memory) forget(now time.Time) {
	for key, marks := range m.Marks {
		var kept []*mark
		missing := 0
		for _, one := range marks {
			if !one.Missing.IsZero() {
				missing++
				if now.Sub(one.Missing) > missingFor || missing > maxMissing {
					continue
				}
			}
			kept = append(kept, one)
		}
		if m.Marks[key] = kept; len(kept) == 0 {
			delete(m.Marks, key)
		}
	}
}

// load reads what an earlier process kept. Without it, logs are met for the first time, which loses lines and invents none.
func (w *Watcher) load() {
	if w.cfg.Marks == "" {
		return
	}
	m, err := readMemory(w.cfg.Marks)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		w.cfg.Log.Error("how far the logs were read is not known any more; they are read from their ends on", "file", w.cfg.Marks, "error", err)
		return
	}
	w.memory = m
	if m.Tallies != nil {
		w.tallies = m.Tallies
	}
}

func readMemory(path string) (*memory, error) {
	text, err := private.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := newMemory()
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("file of marks: %w", err)
	}
	if m.Version != memoryVersion || m.Scanned == nil || m.Marks == nil {
		return nil, fmt.Errorf("file of marks: has version %d, want %d", m.Version, memoryVersion)
	}
	for _, t := range m.Tallies {
		if t == nil {
			return nil, errors.New("file of marks: holds an empty tally")
		}
	}
	return m, m.check()
}

// check refuses marks that no file could have.
func (m *memory) check() error {
	for _, marks := range m.Marks {
		for _, one := range marks {
			if one == nil || one.Offset < 0 || one.HeadLen < 0 || one.HeadLen > one.Offset || one.Encoding < unknown || one.Encoding > bigEndian {
				return errors.New("file of marks: holds a mark that no file can have")
			}
		}
	}
	return nil
}

// save writes what the next process goes on from.
func (w *Watcher) save() {
	w.saved, w.dirty = time.Now(), false
	if w.cfg.Marks == "" {
		return
	}
	w.memory.Tallies = w.tallies
	text, err := json.Marshal(w.memory)
	if err == nil {
		err = private.WriteFile(w.cfg.Marks, text)
	}
	if err != nil {
		w.dirty = true
		w.cfg.Log.Error("how far the logs were read cannot be written down; after a restart they are read from where it was last", "error", err)
	}
}
