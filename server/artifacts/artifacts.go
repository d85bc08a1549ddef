// Package artifacts keeps the files that tasks have brought from terminals: whole outputs, logs. It owns a folder of files under
// names of its own choosing and the records of them in the store. server/sessions hands it what agents upload, server/api what
// operators ask for.
//
// A file counts only when all of it is on the disk and has the hash that its agent announced; until then it is unfinished, and
// an upload goes on where the file on the disk ends. What an agent may bring is bounded by kind, by terminal and in all.
// That an artefact was stored, fetched and expired stays in the audit record with its hash.
package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Folder is the name of the folder of files in a data directory.
const Folder = "artifacts"

// Tasks is what artefacts are asked of jobs.
type Tasks interface {
	// TaskOf returns the task of a job on a terminal; a refusal of kind Denied says that there is none.
	TaskOf(ctx context.Context, jobID, terminalID string) (*fleetv1.Task, error)
	// Sites returns the sites of a job, or a refusal of kind NotFound.
	Sites(ctx context.Context, jobID string) ([]string, error)
}

// Terminals is what artefacts are asked of the inventory.
type Terminals interface {
	Terminal(ctx context.Context, idOrName string) (*storagev1.TerminalRecord, error)
}

// Limits bound what is kept. The zero value of each means its default.
type Limits struct {
	// MaxTotal is how much all artefacts together may take, in bytes; 10 GiB.
	MaxTotal uint64
	// MaxPerTerminal and MaxCountPerTerminal are how much, and how many, one terminal may have: 2 GiB and 1000.
	MaxPerTerminal      uint64
	MaxCountPerTerminal int
	// MinFree is how much must stay free on the disk for the store of everything else, in bytes; 1 GiB.
	MinFree uint64
	// Uploads is how many files may come at the same time; 32.
	Uploads int
	// Retention is how long an artefact is kept; 90 days.
	Retention time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxTotal: or(l.MaxTotal, 10<<30), MaxPerTerminal: or(l.MaxPerTerminal, 2<<30), MaxCountPerTerminal: or(l.MaxCountPerTerminal, 1000),
		MinFree: or(l.MinFree, 1<<30), Uploads: or(l.Uploads, 32), Retention: or(l.Retention, DefaultRetention),
	}
}

func or[T int | uint64 | time.Duration](set, otherwise T) T {
	if set > 0 {
		return set
	}
	return otherwise
}

// DefaultRetention is how long an artefact is kept unless it is told otherwise.
const DefaultRetention = 90 * 24 * time.Hour

// Config is what a keeper is made of.
type Config struct {
	Store store.Store
	// Dir is the folder of files; it is made if need be.
	Dir       string
	Tasks     Tasks
	Terminals Terminals
	Limits    Limits
	// Free returns how many bytes are free where a folder lies; nil asks the operating system.
	Free func(dir string) (uint64, error)
	Now  func() time.Time
	Log  *slog.Logger
}

// Keeper keeps artefacts. It is safe for concurrent use.
type Keeper struct {
	cfg    Config
	limits Limits
	root   *os.Root
	// slots holds a token for each upload that runs.
	slots chan struct{}
	ids   struct {
		sync.Mutex
		*ulid.MonotonicEntropy
	}

	mu sync.Mutex
	// uploading are the terminals that bring a file now; each brings one at a time.
	uploading map[string]bool
	used      usage
}

// Open opens the folder and counts what the records say is there.
func Open(ctx context.Context, c Config) (*Keeper, error) {
	if c.Free == nil {
		c.Free = free
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("artifacts: %w", err)
	}
	root, err := os.OpenRoot(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("artifacts: %w", err)
	}
	k := &Keeper{cfg: c, limits: c.Limits.withDefaults(), root: root, uploading: map[string]bool{}}
	k.slots = make(chan struct{}, k.limits.Uploads)
	k.ids.MonotonicEntropy = newEntropy()
	if err := k.count(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("artifacts: %w", err), root.Close())
	}
	return k, nil
}

// Close gives the folder back. No other call may be under way.
func (k *Keeper) Close() error { return k.root.Close() }

// newID makes an id that sorts by time of creation. It is the file's name too: nothing that comes from outside ever is.
func (k *Keeper) newID(now time.Time) (string, error) {
	k.ids.Lock()
	defer k.ids.Unlock()
	id, err := ulid.New(ulid.Timestamp(now), k.ids.MonotonicEntropy)
	return id.String(), err
}

// validID keeps what is no id away from keys and files.
func validID(id string) bool {
	parsed, err := ulid.ParseStrict(id)
	return err == nil && parsed.String() == id
}

// PathIn is the folder of files in a data directory.
func PathIn(dataDir string) string { return filepath.Join(dataDir, Folder) }

var _ io.Closer = (*Keeper)(nil)
