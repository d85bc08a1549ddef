package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Kept keeps whole what files held before an effect changed them. Package agent/kept implements it.
type Kept interface {
	// Put keeps a content and returns its lower case hexadecimal SHA-256.
	Put(content []byte) (sha256 string, err error)
	Get(sha256 string) ([]byte, error)
	// Retain lets go of all but the contents with these hashes.
	Retain(sha256 map[string]bool) error
}

// maxKept is the largest file that an effect may change, in bytes.
const maxKept = 16 << 20

var errNoKept = errors.New("this agent has no folder to keep the earlier file in, so that it could not be put back; update the agent")

// keep keeps what a file held, before it is changed. The intent, which names the hash, is in the journal by then.
func (r *Runner) keep(content []byte) error {
	if r.cfg.Kept == nil {
		return errNoKept
	}
	r.keeping.Lock()
	defer r.keeping.Unlock()
	_, err := r.cfg.Kept.Put(content)
	return err
}

// kept returns what a file held.
func (r *Runner) kept(sha256 string) ([]byte, error) {
	if r.cfg.Kept == nil {
		return nil, errNoKept
	}
	return r.cfg.Kept.Get(sha256)
}

// letGo removes what nobody can need any more. It is no harm to remove it later.
func (r *Runner) letGo() {
	if r.cfg.Kept == nil {
		return
	}
	r.keeping.Lock()
	defer r.keeping.Unlock()
	needed, err := r.needed()
	if err == nil {
		err = r.cfg.Kept.Retain(needed)
	}
	if err != nil {
		r.log.Warn("earlier files that nobody needs any more are not removed; that is tried again", "error", err)
	}
}

// needed returns the hashes of the earlier files of tasks that are under way, of obligations and of leases.
func (r *Runner) needed() (map[string]bool, error) {
	needed := map[string]bool{}
	add := func(records []*actionv1.RecordedEffect) {
		for _, e := range records {
			if f := fileOf(e.GetBefore()); f != nil && f.exists {
				needed[f.sha256] = true
			}
		}
	}
	recs, err := r.journal.OpenTasks()
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		if rec.GetState() != agentv1.TaskState_TASK_STATE_STARTED {
			continue
		}
		effects, err := r.journal.Effects(rec.GetTask().GetKey())
		if err != nil {
			return nil, err
		}
		for _, e := range effects {
			add([]*actionv1.RecordedEffect{e.GetEffect()})
		}
	}
	obligations, err := r.journal.Obligations()
	if err != nil {
		return nil, err
	}
	for _, o := range obligations {
		add(o.GetEffects())
	}
	leases, err := r.journal.Leases()
	for _, l := range leases {
		add(l.GetEffects())
	}
	return needed, err
}

// content reads a whole file. One that is not there is no error.
func (r *Runner) content(ctx context.Context, root, path string) (content []byte, exists bool, err error) {
	content, more, err := r.host.Files.Read(ctx, root, path, maxKept)
	switch {
	case errors.Is(err, host.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case more:
		return nil, false, fmt.Errorf("file %q of root %q: has more than %d bytes, which is too large to be changed", path, root, maxKept)
	}
	return content, true, nil
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
