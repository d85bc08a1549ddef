package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// A parameter may name a secret of the terminal. A job is made only where each target has each of them, and what was approved is
// approved with the versions that they had: when one is put again, approvals count no more.

// Secrets is what is asked of the secrets.
type Secrets interface {
	// Stamp identifies what a terminal's secret holds; each version has another. It is refused when there is none that its terminal can
	// open.
	Stamp(r store.Reader, terminalID, name string) (string, error)
}

// stampChunk is how many targets one view looks at.
const stampChunk = 500

// secretNames are the secrets that a job's parameters name, sorted, by the parameter that names each first.
func secretNames(params map[string]string) (names []string, param map[string]string) {
	param = map[string]string{}
	for _, p := range sortedKeys(params) {
		name, err := sealed.NameOf(params[p])
		if err != nil || slices.Contains(names, name) {
			continue
		}
		names, param[name] = append(names, name), p
	}
	slices.Sort(names)
	return names, param
}

// checkSecrets refuses a job when a target that can be served has not each of the secrets that the parameters name.
func (e *Engine) checkSecrets(ctx context.Context, d *draft) error {
	names, param := secretNames(d.params)
	if len(names) == 0 {
		return nil
	}
	for chunk := range slices.Chunk(d.targets, stampChunk) {
		err := e.st.View(ctx, func(s store.Snapshot) error {
			for _, t := range chunk {
				for _, name := range names {
					if err := e.wantSecret(s, t, name, param[name]); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) wantSecret(s store.Reader, t *target, name, param string) error {
	if t.problem != "" {
		return nil
	}
	field := "spec.params[" + param + "]"
	if e.secrets == nil {
		return refusal.New(refusal.Precondition, "NO_SECRET", "secret %q: this server keeps none", name).At(field)
	}
	_, err := e.secrets.Stamp(s, t.id(), name)
	if no, ok := errors.AsType[*refusal.Error](err); ok {
		return refusal.New(refusal.Precondition, no.Reason, "%s", no.Message).At(field).Then("%s", no.Next)
	}
	return err
}

// stampSecrets returns the hash of the versions of all secrets that the parameters name, on all targets; empty when they name none.
func (e *Engine) stampSecrets(ctx context.Context, d *draft) (sum string, err error) {
	names, _ := secretNames(d.params)
	if len(names) == 0 {
		return "", nil
	}
	all := make([]string, len(d.targets))
	for i, t := range d.targets {
		all[i] = t.id()
	}
	err = e.st.View(ctx, func(s store.Snapshot) error {
		sum, err = e.hashSecrets(s, names, all)
		return err
	})
	return sum, err
}

// hashSecrets hashes what the secrets hold on each of these terminals. One that is gone has a place of its own.
func (e *Engine) hashSecrets(r store.Reader, names, terminals []string) (string, error) {
	sum := sha256.New()
	for _, id := range terminals {
		for _, name := range names {
			stamp := ""
			if e.secrets != nil {
				var err error
				stamp, err = e.secrets.Stamp(r, id, name)
				if _, gone := errors.AsType[*refusal.Error](err); err != nil && !gone {
					return "", err
				}
			}
			fmt.Fprintf(sum, "%s\x00%s\x00%s\n", id, name, stamp)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// SecretChanged tells that a secret was put again or deleted: approvals of jobs that name it count no more. It may be repeated; what
// a killed server left undone is done when its store is opened again.
func (e *Engine) SecretChanged(ctx context.Context, terminalID, name string) error {
	return e.lookAtSecrets(ctx, func(j *job) bool {
		names, _ := secretNames(j.rec.GetJob().GetParams())
		return slices.Contains(names, name) && j.serves(terminalID)
	})
}

// serves reports whether a terminal is one of the job's targets.
func (j *job) serves(terminalID string) bool {
	_, found := slices.BinarySearchFunc(j.tasks, terminalID, func(t *task, id string) int { return compareIDs(t.terminalID, id) })
	return found
}

// lookAtSecrets compares the secrets of some active jobs with those that their approvals cover.
func (e *Engine) lookAtSecrets(ctx context.Context, wanted func(*job) bool) error {
	targets := map[string][]string{}
	err := e.do(ctx, func() {
		for _, j := range e.active {
			if j.approvesSecrets() && wanted(j) {
				targets[j.id] = j.targets()
			}
		}
	})
	if err != nil {
		return err
	}
	for id, all := range targets {
		if err := e.changeApproval(ctx, id, e.lapseChangedSecrets(all)); err != nil {
			return err
		}
	}
	return nil
}

// approvesSecrets reports whether the job's approvals cover secrets.
func (j *job) approvesSecrets() bool {
	return j.rec.GetSecretsSha256() != "" && j.rec.GetJob().GetApproval() != nil
}

// targets are the ids of a job's terminals, in the frozen order.
func (j *job) targets() []string {
	ids := make([]string, len(j.tasks))
	for i, t := range j.tasks {
		ids[i] = t.terminalID
	}
	return ids
}

// compareSecrets does it for secrets that were put just before the last engine was killed.
func (e *Engine) compareSecrets(ctx context.Context) error {
	for _, j := range e.active {
		if !j.approvesSecrets() {
			continue
		}
		made, err := e.writeApproval(ctx, j.id, e.lapseChangedSecrets(j.targets()))
		if err != nil {
			return err
		}
		if made != nil {
			made.change(j.rec.GetJob(), j.rec)
		}
	}
	return nil
}

// lapseChangedSecrets makes the digest of an active job anew when its secrets are not those that it covers.
func (e *Engine) lapseChangedSecrets(targets []string) approvalChange {
	return func(w store.Writer, rec *storagev1.JobRecord) (*audit.Entry, error) {
		job := rec.GetJob()
		names, _ := secretNames(job.GetParams())
		sum, err := e.hashSecrets(w, names, targets)
		if err != nil || sum == rec.GetSecretsSha256() || job.GetState() != fleetv1.JobState_JOB_STATE_ACTIVE {
			return nil, err
		}
		before := proto.CloneOf(job.GetApproval())
		rec.SecretsSha256 = sum
		job.Approval.Digest = approvalDigest(rec)
		for _, given := range job.GetApproval().GetApprovals() {
			if given.GetLapsed() == "" {
				given.Lapsed = "a secret that it names was put again"
			}
		}
		return lapsedEntry(rec, before), nil
	}
}
