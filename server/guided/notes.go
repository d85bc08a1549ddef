package guided

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"regexp"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// fileName is what a file may be called: no folder, nothing that steers a screen, nothing that begins with a dot or a dash.
var fileName = regexp.MustCompile(`^[\p{L}\p{N}_][\p{L}\p{N} ._()-]{0,99}$`)

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Note adds a note, with a file if wanted: note, file and audit record are one write. A task that is closed takes notes still.
func (d *Desk) Note(ctx context.Context, p *access.Principal, r *fleetv1.NoteGuidedTaskRequest) (*fleetv1.GuidedTask, error) {
	if err := checkNote(r); err != nil {
		return nil, err
	}
	request, err := requests.New(p.Name.String(), "guided.note", r)
	if err != nil {
		return nil, err
	}
	return d.change(ctx, r.GetId(), func(w store.Writer, rec *storagev1.GuidedRecord) (audit.Entry, error) {
		if done, err := request.Done(w); err != nil || done != "" {
			return audit.Entry{}, errors.Join(err, onlyIf(err == nil, errUnchanged))
		}
		if err := room(rec.GetTask(), len(r.GetFile()) > 0); err != nil {
			return audit.Entry{}, err
		}
		note, err := d.note(w, rec.GetTask(), p.Name.ID, r)
		e := entryOf(p, "guided.note")
		e.Reason = r.GetText()
		if note.GetFileName() != "" {
			e.Changes = append(e.Changes, audit.Change("file", "", note.GetFileName()), audit.Change("sha256", "", note.GetFileSha256()))
		}
		return e, errors.Join(err, request.Remember(w, d.cfg.Now(), rec.GetTask().GetId()))
	})
}

func onlyIf(cond bool, err error) error {
	if cond {
		return err
	}
	return nil
}

func (d *Desk) note(w store.Writer, t *fleetv1.GuidedTask, by string, r *fleetv1.NoteGuidedTaskRequest) (*fleetv1.GuidedNote, error) {
	n := &fleetv1.GuidedNote{Time: timestamppb.New(d.cfg.Now()), By: by, Text: r.GetText()}
	t.Notes = append(t.Notes, n)
	if len(r.GetFile()) == 0 {
		return n, nil
	}
	sum := sha256.Sum256(r.GetFile())
	n.FileName, n.FileSize, n.FileSha256 = r.GetFileName(), uint64(len(r.GetFile())), hex.EncodeToString(sum[:])
	return n, put(w, store.TableGuidedFiles, store.GuidedFileKey(t.GetId(), n.GetFileSha256()), &storagev1.GuidedFile{Content: r.GetFile()})
}

func checkNote(r *fleetv1.NoteGuidedTaskRequest) error {
	hasFile := r.GetFileName() != "" || len(r.GetFile()) > 0
	if err := checkText("text", r.GetText(), hasFile); err != nil {
		return err
	}
	switch {
	case !hasFile:
		return nil
	case len(r.GetFile()) > maxFile:
		return refusal.New(refusal.Exhausted, "FILE_TOO_LARGE", "file %q: has %d bytes, at most %d are taken", refusal.Shown(r.GetFileName()), len(r.GetFile()), maxFile).
			At("file").Then("compress it or send a part of it")
	case len(r.GetFile()) == 0:
		return refusal.New(refusal.Invalid, "FILE_EMPTY", "file %q: is empty", refusal.Shown(r.GetFileName())).At("file")
	case !fileName.MatchString(r.GetFileName()):
		return refusal.New(refusal.Invalid, "BAD_FILE_NAME", "file name %q: is no plain name", refusal.Shown(r.GetFileName())).At("file_name").
			Then("use letters, digits, blanks, dots, dashes, underscores and brackets; no folder")
	}
	return nil
}

// room refuses one note too many.
func room(t *fleetv1.GuidedTask, file bool) error {
	files := 0
	for _, n := range t.GetNotes() {
		if n.GetFileSha256() != "" {
			files++
		}
	}
	switch {
	case len(t.GetNotes()) >= maxNotes:
		return refusal.New(refusal.Exhausted, "TOO_MANY_NOTES", "guided task %q: has %d notes, which is the most", t.GetId(), maxNotes).
			Then("close it and go on in a new one")
	case file && files >= maxFiles:
		return refusal.New(refusal.Exhausted, "TOO_MANY_FILES", "guided task %q: has %d notes with files, which is the most", t.GetId(), maxFiles).
			At("file").Then("put further files where the incident is recorded")
	}
	return nil
}

// Attachment reads a file of a note. One whose content has another hash than the note says is not delivered.
func (d *Desk) Attachment(ctx context.Context, r *fleetv1.ReadAttachmentRequest) (name string, content []byte, err error) {
	none := refusal.New(refusal.NotFound, "NO_FILE", "guided task %q: has no such file", refusal.Shown(r.GetId())).At("file_sha256").
		Then("look at `fleetctl guided show %s`", refusal.Shown(r.GetId()))
	if !hashPattern.MatchString(r.GetFileSha256()) {
		return "", nil, none
	}
	file := &storagev1.GuidedFile{}
	err = d.cfg.Store.View(ctx, func(v store.Snapshot) error {
		rec, err := read(v, r.GetId())
		if err != nil {
			return err
		}
		text, err := v.Get(store.TableGuidedFiles, store.GuidedFileKey(rec.GetTask().GetId(), r.GetFileSha256()))
		if errors.Is(err, store.ErrNotFound) {
			return none
		}
		name = fileNameOf(rec.GetTask(), r.GetFileSha256())
		return errors.Join(err, proto.Unmarshal(text, file))
	})
	if err != nil {
		return "", nil, err
	}
	if sum := sha256.Sum256(file.GetContent()); hex.EncodeToString(sum[:]) != r.GetFileSha256() {
		return "", nil, refusal.New(refusal.Lost, "FILE_DAMAGED", "guided task %q: file %q is damaged in the store", r.GetId(), name)
	}
	return name, file.GetContent(), nil
}

func fileNameOf(t *fleetv1.GuidedTask, sha256 string) string {
	for _, n := range t.GetNotes() {
		if n.GetFileSha256() == sha256 {
			return n.GetFileName()
		}
	}
	return ""
}
