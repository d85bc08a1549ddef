package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/collect"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// kindLogs is the kind of artefact that an archive of logs is.
const kindLogs = "logs"

// maxCollected bounds the files of an archive that its record lists.
const maxCollected = 200

// collectDeed brings log files into an archive, which the spool keeps. It changes nothing on the machine, and one that was interrupted has
// left nothing: the archive goes straight to the spool, which forgets what is not whole.
type collectDeed struct {
	work
	asked *actionv1.Collect
}

func (d collectDeed) resource() string {
	return "logs of " + clip(strings.Join(d.asked.GetSources(), ", "), maxName)
}

func (d collectDeed) check(*actionv1.Action) error { return collect.Check(d.asked) }
func (d collectDeed) timeout() time.Duration       { return d.asked.GetTimeout().AsDuration() }
func (d collectDeed) inverse() actionv1.Inverse    { return actionv1.Inverse_INVERSE_EXACT }

func (d collectDeed) read(context.Context) (*actionv1.State, error) {
	return collection(&actionv1.Collection{}), nil
}

func (d collectDeed) do(ctx context.Context, _ *actionv1.State) (*actionv1.State, error) {
	if d.r.spool(d.key) == nil || d.c == nil {
		return nil, errors.New("this agent keeps no files for the server")
	}
	place := d.r.place()
	about := collect.About{Terminal: place.GetName(), Site: place.GetSite(), Job: d.key.GetJobId(), Made: time.Now()}
	read, write := io.Pipe()
	collected := make(chan *actionv1.Collection, 1)
	go func() {
		got, err := collect.Archive(ctx, d.r.host.Files, write, d.asked, about)
		_ = write.CloseWithError(err) // never fails
		collected <- got
	}()
	ref, err := d.r.spool(d.key).Add(ctx, d.key, kindLogs, "", read)
	_ = read.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // never fails
	got := <-collected
	switch {
	case err != nil:
		return nil, err
	case ref.GetTruncated():
		return nil, errors.New("the archive does not fit into what this agent may keep for the server; ask for less, with since, tail or max_size")
	}
	got.Artifact, got.Files = ref, headOf(got.GetFiles())
	return collection(got), nil
}

func (d collectDeed) reached(now *actionv1.State) error {
	if now.GetCollection().GetArtifact() == nil {
		return errors.New("there is no archive")
	}
	return nil
}

// restore is never needed: nothing was changed.
func (d collectDeed) restore(context.Context, touch) *actionv1.Undo {
	return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED, Reason: "nothing was changed"}
}

// headOf bounds what a record holds of an archive's files; its own manifest has all of them.
func headOf(files []*actionv1.CollectedFile) []*actionv1.CollectedFile {
	if len(files) <= maxCollected {
		return files
	}
	rest := fmt.Sprintf("%d more files are in the archive and in its manifest", len(files)-maxCollected)
	return append(slices.Clone(files[:maxCollected]), &actionv1.CollectedFile{Note: rest})
}

func collection(c *actionv1.Collection) *actionv1.State {
	return &actionv1.State{State: &actionv1.State_Collection{Collection: c}}
}
