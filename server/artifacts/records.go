package artifacts

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

func newEntropy() *ulid.MonotonicEntropy { return ulid.Monotonic(rand.Reader, 0) }

// scanChunk is how many records one view reads: views must be short.
const scanChunk = 1000

// read returns an artefact's record, or NOT_FOUND.
func read(r store.Reader, id string) (*fleetv1.Artifact, error) {
	if !validID(id) {
		return nil, access.NotFound(access.Artifact, id)
	}
	text, err := r.Get(store.TableArtifacts, store.ArtifactKey(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, access.NotFound(access.Artifact, id)
	}
	if err != nil {
		return nil, fmt.Errorf("artefact %q: %w", id, err)
	}
	return parse(id, text)
}

func parse(id string, text []byte) (*fleetv1.Artifact, error) {
	a := &fleetv1.Artifact{}
	if err := proto.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("artefact %q: %w", id, err)
	}
	return a, nil
}

func write(w store.Writer, a *fleetv1.Artifact) error {
	text, err := proto.Marshal(a)
	if err != nil {
		return err
	}
	return w.Put(store.TableArtifacts, store.ArtifactKey(a.GetId()), text)
}

// add writes a new record and its index entries.
func add(w store.Writer, a *fleetv1.Artifact) error {
	found, err := proto.Marshal(&fleetv1.Artifact{Id: a.GetId()})
	if err != nil {
		return err
	}
	return errors.Join(
		write(w, a),
		w.Put(store.TableArtifactJobs, store.ArtifactJobKey(a.GetJobId(), a.GetId()), nil),
		w.Put(store.TableArtifactTerminals, store.ArtifactTerminalKey(a.GetTerminalId(), a.GetId()), nil),
		w.Put(store.TableArtifactFiles, fileKey(a), found))
}

// drop deletes a record and its index entries.
func drop(w store.Writer, a *fleetv1.Artifact) error {
	return errors.Join(
		w.Delete(store.TableArtifacts, store.ArtifactKey(a.GetId())),
		w.Delete(store.TableArtifactJobs, store.ArtifactJobKey(a.GetJobId(), a.GetId())),
		w.Delete(store.TableArtifactTerminals, store.ArtifactTerminalKey(a.GetTerminalId(), a.GetId())),
		w.Delete(store.TableArtifactFiles, fileKey(a)))
}

func fileKey(a *fleetv1.Artifact) []byte {
	return store.ArtifactFileKey(a.GetJobId(), a.GetTerminalId(), a.GetKind(), a.GetSha256())
}

// same finds the artefact that is this file of this task, nil when there is none.
func same(r store.Reader, a *fleetv1.Artifact) (*fleetv1.Artifact, error) {
	text, err := r.Get(store.TableArtifactFiles, fileKey(a))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found, err := parse("", text)
	if err != nil {
		return nil, err
	}
	return read(r, found.GetId())
}

// get reads a record in a view of its own. The id may come in any case.
func (k *Keeper) get(ctx context.Context, id string) (a *fleetv1.Artifact, err error) {
	err = k.cfg.Store.View(ctx, func(v store.Snapshot) error {
		a, err = read(v, strings.ToUpper(id))
		return err
	})
	return a, err
}

// each calls fn for every record from an id on (empty: the first), in several short views, until it returns false.
func (k *Keeper) each(ctx context.Context, from string, fn func(*fleetv1.Artifact) bool) error {
	return each(ctx, k.cfg.Store, from, fn)
}

func each(ctx context.Context, st store.Store, from string, fn func(*fleetv1.Artifact) bool) error {
	next := []byte(from)
	for {
		seen, stopped := 0, false
		var bad error
		err := st.View(ctx, func(v store.Snapshot) error {
			return v.Scan(store.TableArtifacts, nil, next, func(key, text []byte) bool {
				a, err := parse(string(key), text)
				if bad = err; err != nil || !fn(a) {
					stopped = true
					return false
				}
				seen++
				next = append(bytes.Clone(key), 0)
				return seen < scanChunk
			})
		})
		if err = errors.Join(err, bad); err != nil || stopped || seen < scanChunk {
			return err
		}
	}
}
