package artifacts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// unfinishedFor is how long an artefact may stay unfinished.
const unfinishedFor = 7 * 24 * time.Hour

// Receive takes a file from a terminal. tell says what is here; next returns the chunks that follow from there, each when it
// arrives. When Receive has told that it is complete, the file is on the disk and has its hash. Whatever breaks it off, the same
// file goes on later where it ended.
func (k *Keeper) Receive(ctx context.Context, caller *storagev1.TerminalRecord, h *agentv1.ArtifactHeader,
	tell func(*agentv1.UploadArtifactResponse) error, next func() (*agentv1.ArtifactChunk, error),
) error {
	terminal := caller.GetTerminal().GetId()
	leave, err := k.admit(terminal)
	if err != nil {
		return err
	}
	defer leave()
	a, err := k.begin(ctx, terminal, h)
	if err != nil {
		return err
	}
	if !a.GetComplete() {
		if err := k.fetch(ctx, a, tell, next); err != nil {
			return err
		}
		if err := k.finish(ctx, a, caller); err != nil {
			return err
		}
	}
	return tell(&agentv1.UploadArtifactResponse{ArtifactId: a.GetId(), Received: a.GetSize(), Complete: true})
}

// begin finds what is announced, or makes room and a record for it.
func (k *Keeper) begin(ctx context.Context, terminal string, h *agentv1.ArtifactHeader) (*fleetv1.Artifact, error) {
	kind, err := checkHeader(h)
	if err != nil {
		return nil, err
	}
	task, err := k.cfg.Tasks.TaskOf(ctx, h.GetKey().GetJobId(), terminal)
	if err != nil {
		return nil, err
	}
	a := &fleetv1.Artifact{
		JobId: task.GetJobId(), TerminalId: terminal, TerminalName: task.GetTerminalName(), Site: task.GetSite(),
		Kind: h.GetKind(), Size: h.GetSize(), Sha256: h.GetSha256(), Subject: h.GetSubject(),
	}
	found, err := k.known(ctx, a)
	if err != nil || found != nil {
		return found, err
	}
	return a, k.create(ctx, a, kind)
}

// known returns the artefact that is this file of this task, if it was announced before.
func (k *Keeper) known(ctx context.Context, a *fleetv1.Artifact) (found *fleetv1.Artifact, err error) {
	err = k.cfg.Store.View(ctx, func(v store.Snapshot) error {
		found, err = same(v, a)
		return err
	})
	if err == nil && found != nil && found.GetSize() != a.GetSize() {
		return nil, malformed("the file with this hash was announced with %d bytes before, and with %d now", found.GetSize(), a.GetSize())
	}
	return found, err
}

func (k *Keeper) create(ctx context.Context, a *fleetv1.Artifact, kind kind) error {
	if err := k.wantRoom(a.GetSize()); err != nil {
		return err
	}
	if err := k.reserve(a.GetTerminalId(), a.GetSize()); err != nil {
		return err
	}
	now := k.cfg.Now()
	id, err := k.newID(now)
	if err == nil {
		a.Id = id
		a.Name = nameOf(a, kind)
		a.Created, a.Expires = timestamppb.New(now), timestamppb.New(now.Add(unfinishedFor))
		err = k.cfg.Store.Update(ctx, func(w store.Writer) error { return add(w, a) })
	}
	if err != nil {
		k.release(a.GetTerminalId(), a.GetSize())
	}
	return err
}

// nameOf is a file's name for people.
func nameOf(a *fleetv1.Artifact, kind kind) string {
	parts := []string{a.GetTerminalName(), a.GetKind(), a.GetId()}
	if a.GetSubject() != "" {
		parts = []string{a.GetTerminalName(), a.GetKind(), a.GetSubject(), a.GetId()}
	}
	return strings.Join(parts, "-") + kind.suffix
}

// fetch takes what is missing of a file.
func (k *Keeper) fetch(ctx context.Context, a *fleetv1.Artifact, tell func(*agentv1.UploadArtifactResponse) error, next func() (*agentv1.ArtifactChunk, error)) error {
	f, err := k.openPart(a)
	if err != nil {
		return err
	}
	defer f.close()
	if err := tell(&agentv1.UploadArtifactResponse{ArtifactId: a.GetId(), Received: f.size}); err != nil {
		return err
	}
	for f.size < a.GetSize() {
		c, err := next()
		if err != nil {
			return err
		}
		if err := f.append(c); err != nil {
			return k.spoilt(ctx, a, err)
		}
	}
	return f.sync()
}

// spoilt throws away what was announced wrongly, and keeps what only broke off.
func (k *Keeper) spoilt(ctx context.Context, a *fleetv1.Artifact, cause error) error {
	no, ok := cause.(*refusal.Error) //nolint:errorlint // append returns it as it is
	if !ok || no.Kind != refusal.Invalid {
		return cause
	}
	if err := k.remove(ctx, a, nil); err != nil {
		return err
	}
	return cause
}

// finish makes an artefact of a file that has come whole: it is hashed as it lies on the disk.
func (k *Keeper) finish(ctx context.Context, a *fleetv1.Artifact, caller *storagev1.TerminalRecord) error {
	sum, err := k.hash(a.GetId())
	if err != nil {
		return err
	}
	if sum != a.GetSha256() {
		k.cfg.Log.Warn("an artefact that has come whole has another hash than was announced, and is thrown away",
			"terminal", a.GetTerminalId(), "job", a.GetJobId(), "announced", a.GetSha256(), "is", sum)
		return k.spoilt(ctx, a, refusal.New(refusal.Invalid, "HASH_DIFFERS", "artefact: what has come has another hash than was announced, and was thrown away").
			Then("send it again from the beginning"))
	}
	if err := k.syncFolder(); err != nil {
		return err
	}
	now := k.cfg.Now()
	return k.cfg.Store.Update(ctx, func(w store.Writer) error {
		if err := inService(w, caller); err != nil {
			return err
		}
		a.Complete, a.Received, a.Expires = true, a.GetSize(), timestamppb.New(now.Add(k.limits.Retention))
		if err := write(w, a); err != nil {
			return err
		}
		return audit.Append(w, now, entryOf(a, "artifact.store", identity.Name{Kind: identity.KindAgent, ID: a.GetTerminalId()}))
	})
}

// inService asks again whether the terminal may speak: it may have been taken out of service since the upload began.
func inService(r store.Reader, caller *storagev1.TerminalRecord) error {
	text, err := r.Get(store.TableTerminals, store.TerminalKey(caller.GetTerminal().GetId()))
	if err != nil {
		return err
	}
	now := &storagev1.TerminalRecord{}
	if err := proto.Unmarshal(text, now); err != nil {
		return err
	}
	return access.InService(now, caller.GetTlsKeySha256())
}

// entryOf is an audit entry about an artefact. It holds the hash, so that the record outlives the file.
func entryOf(a *fleetv1.Artifact, verb string, by identity.Name) audit.Entry {
	e := audit.Entry{
		Site: a.GetSite(), Actor: by, Verb: verb, Object: "artifact/" + a.GetId(),
		Changes: []*storagev1.AuditChange{
			audit.Change("job", "", a.GetJobId()), audit.Change("terminal", "", a.GetTerminalId()), audit.Change("kind", "", a.GetKind()),
			audit.Change("size", "", fmt.Sprint(a.GetSize())), audit.Change("sha256", "", a.GetSha256()),
		},
	}
	if a.GetSubject() != "" {
		e.Changes = append(e.Changes, audit.Change("subject", "", a.GetSubject()))
	}
	return e
}
