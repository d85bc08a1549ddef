package guided_test

import (
	"bytes"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestNotesAndFiles(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-dead", Site: "lyon"}).GetId()
	note := func(r *fleetv1.NoteGuidedTaskRequest) error {
		r.Id = id
		_, err := d.Note(t.Context(), ada, r)
		return err
	}
	most := bytes.Repeat([]byte("x"), 1<<20)
	wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{}), "MISSING")
	wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{Text: "a\x1b[31mb"}), "BAD_TEXT")
	wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{FileName: "a.jpg", File: append(most, 'x')}), "FILE_TOO_LARGE")
	wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{FileName: "a.jpg"}), "FILE_EMPTY")
	for _, name := range []string{"", "../x", "a/b", `a\b`, ".x", "-x", "a\x1b[31mb", "a\nb", "a\u202eb", "a\x00"} {
		wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{FileName: name, File: []byte("x")}), "BAD_FILE_NAME")
	}
	if task := d.mustGet(id); len(task.GetNotes()) != 0 {
		t.Errorf("notes %v: what is refused changes nothing", task.GetNotes())
	}
	r := &fleetv1.NoteGuidedTaskRequest{Text: "seen", FileName: "Écran 1 (bas).jpg", File: most, RequestId: "r-1"}
	must(t, note(r))
	must(t, note(r))
	task := d.mustGet(id)
	if len(task.GetNotes()) != 1 || task.GetNotes()[0].GetBy() != "ada" || task.GetNotes()[0].GetFileSize() != 1<<20 {
		t.Fatalf("notes %v, want one: the same request counts once", task.GetNotes())
	}
	hash := task.GetNotes()[0].GetFileSha256()
	d.open()
	name, file, err := d.Attachment(t.Context(), &fleetv1.ReadAttachmentRequest{Id: id, FileSha256: hash})
	if err != nil || name != "Écran 1 (bas).jpg" || !bytes.Equal(file, most) {
		t.Errorf("read %q of %d bytes, %v", name, len(file), err)
	}
	_, _, err = d.Attachment(t.Context(), &fleetv1.ReadAttachmentRequest{Id: id, FileSha256: "../x"})
	wantRefusal(t, err, "NO_FILE")
	other := d.mustCreate(guided.Order{Entry: "band-dead", Site: "turin"}).GetId()
	_, _, err = d.Attachment(t.Context(), &fleetv1.ReadAttachmentRequest{Id: other, FileSha256: hash})
	wantRefusal(t, err, "NO_FILE")

	for range 19 {
		must(t, note(&fleetv1.NoteGuidedTaskRequest{FileName: "a.txt", File: []byte("x")}))
	}
	wantRefusal(t, note(&fleetv1.NoteGuidedTaskRequest{FileName: "a.txt", File: []byte("x")}), "TOO_MANY_FILES")
	must(t, note(&fleetv1.NoteGuidedTaskRequest{Text: "without a file there is room"}))
	must(t, closeAs(d, id, notFixed))
	must(t, note(&fleetv1.NoteGuidedTaskRequest{Text: "afterwards, too"}))
	d.sound()
}

// A file that has changed in the store is not passed off as the one that was attached.
func TestADamagedFileIsNotDelivered(t *testing.T) {
	d := newDesk(t)
	id := d.mustCreate(guided.Order{Entry: "band-dead", Site: "lyon"}).GetId()
	task, err := d.Note(t.Context(), ada, &fleetv1.NoteGuidedTaskRequest{Id: id, FileName: "a.txt", File: []byte("x")})
	must(t, err)
	hash := task.GetNotes()[0].GetFileSha256()
	must(t, d.store.Update(t.Context(), func(w store.Writer) error {
		return w.Put(store.TableGuidedFiles, store.GuidedFileKey(id, hash), []byte{10, 1, 'y'})
	}))
	_, _, err = d.Attachment(t.Context(), &fleetv1.ReadAttachmentRequest{Id: id, FileSha256: hash})
	wantRefusal(t, err, "FILE_DAMAGED")
}
