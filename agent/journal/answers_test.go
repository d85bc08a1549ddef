package journal

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// TestTheFirstAnswerIsKept, over other answers, another run and another process, and no answer is kept of a task that does not run.
func TestTheFirstAnswerIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	yes, no := &actionv1.Confirmation{Confirmed: true, By: "ada", Note: "done"}, &actionv1.Confirmation{By: "bob"}
	save := func(planID string, answer, want *actionv1.Confirmation) {
		t.Helper()
		kept, err := j.SaveAnswer(key("j"), planID, answer)
		must(t, err)
		if diff := cmp.Diff(want, kept, protocmp.Transform()); diff != "" {
			t.Errorf("answer to %q that counts (-want +got):\n%s", planID, diff)
		}
	}
	if _, err := j.SaveAnswer(key("j"), "ask", yes); !errors.Is(err, ErrUnknownTask) {
		t.Errorf("answer for a task that is not there: error = %v, want %v", err, ErrUnknownTask)
	}
	if _, _, err := j.Accept(task("j"), noon); err != nil {
		t.Fatal(err)
	}
	save("ask", yes, nil)
	must(t, j.Start(key("j"), noon, "boot-1"))
	save("ask", yes, yes)
	save("ask", no, yes)
	save("ask again", no, no)
	must(t, j.Rerun(key("j"), "boot-1"))
	must(t, j.Close())
	j = open(t, path)
	save("ask", no, yes)
	rec, err := j.Task(key("j"))
	must(t, err)
	want := map[string]*actionv1.Confirmation{"ask": yes, "ask again": no}
	if diff := cmp.Diff(want, rec.GetAnswers(), protocmp.Transform()); diff != "" {
		t.Errorf("answers in the record (-want +got):\n%s", diff)
	}
	must(t, j.Finish(key("j"), &actionv1.TaskResult{}, noon))
	save("ask too late", yes, nil)
}
