package journal

import (
	"path/filepath"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// TestALeaseComesWithItsResult: both are there after a restart, or neither.
func TestALeaseComesWithItsResult(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	_, _, err := j.Accept(task("j-1"), noon)
	must(t, err)
	must(t, j.Start(key("j-1"), noon, "b"))
	result := &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}
	if err := j.FinishLeased(key("j-1"), result, noon, &storagev1.JournalLease{}); err == nil {
		t.Error("a lease without an id was journalled: nobody could end it")
	}
	if rec, err := j.Task(key("j-1")); err != nil || rec.GetResult() != nil {
		t.Errorf("the task has the result %v, %v after its lease was refused, want none", rec.GetResult(), err)
	}
	must(t, j.FinishLeased(key("j-1"), result, noon, &storagev1.JournalLease{Id: "l-1", Task: key("j-1")}))
	must(t, j.Close())
	j = open(t, path)
	all, err := j.Leases()
	if err != nil || len(all) != 1 || all[0].GetTask().GetJobId() != "j-1" {
		t.Errorf("after a restart the leases are %v, %v; want the one", all, err)
	}
	must(t, j.PutLease(&storagev1.JournalLease{Id: "l-1", Tries: 2}))
	if all, err = j.Leases(); err != nil || all[0].GetTries() != 2 {
		t.Errorf("leases are %v, %v; want the one as it was journalled last", all, err)
	}
	must(t, j.DropLease("l-1"))
	must(t, j.DropLease("l-1"))
	if all, err = j.Leases(); err != nil || len(all) != 0 {
		t.Errorf("leases are %v, %v; want none after it was dropped", all, err)
	}
}
