package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/testing/protocmp"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/boltfile"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	noon     = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	accepted = agentv1.TaskState_TASK_STATE_ACCEPTED
	started  = agentv1.TaskState_TASK_STATE_STARTED
	finished = agentv1.TaskState_TASK_STATE_FINISHED
)

func key(job string) *agentv1.TaskKey { return &agentv1.TaskKey{JobId: job, Attempt: 1} }

func task(job string) *agentv1.Task { return &agentv1.Task{Key: key(job), Action: "ble-restart"} }

func effect(id string) *actionv1.RecordedEffect { return &actionv1.RecordedEffect{PlanId: id} }

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func fresh(t *testing.T) *Journal {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "journal.db"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// finish takes a task through its whole life.
func finish(t *testing.T, j *Journal, job string, at time.Time) {
	t.Helper()
	_, known, err := j.Accept(task(job), at)
	must(t, err)
	if known {
		t.Fatalf("task %q is known before it was ever accepted", job)
	}
	must(t, j.Start(key(job), at, "boot-1"))
	must(t, j.Finish(key(job), &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}, at))
	must(t, j.Acknowledge(key(job), at))
}

func TestStorySurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	id := j.ID()
	_, _, err := j.Accept(task("j-1"), noon)
	must(t, err)
	must(t, j.Start(key("j-1"), noon.Add(time.Second), "boot-1"))
	plan := &actionv1.Plan{Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY}
	must(t, j.SavePlan(key("j-1"), plan))
	must(t, j.EnterPhase(key("j-1"), actionv1.Phase_PHASE_APPLY))
	first, err := j.EffectIntent(key("j-1"), 1, effect("stop"))
	must(t, err)
	done := effect("stop")
	done.Changed = true
	must(t, j.EffectOutcome(key("j-1"), first, done))
	_, err = j.EffectIntent(key("j-1"), 1, effect("start"))
	must(t, err)
	must(t, j.RaiseEpoch(7))
	must(t, j.PutObligation(&storagev1.Obligation{Resource: "service", Tries: 3}))
	must(t, j.Close())

	j = open(t, path)
	if j.ID() != id {
		t.Errorf("identity is %q after reopening, want %q: the server would think that the journal was lost", j.ID(), id)
	}
	recs, err := j.OpenTasks()
	must(t, err)
	if len(recs) != 1 || recs[0].GetState() != started || recs[0].GetPhase() != actionv1.Phase_PHASE_APPLY || recs[0].GetBootId() != "boot-1" || recs[0].GetRuns() != 1 {
		t.Fatalf("open tasks are %v, want the one that was started, in its apply phase", recs)
	}
	if diff := cmp.Diff(plan, recs[0].GetPlan(), protocmp.Transform()); diff != "" {
		t.Errorf("plan differs after reopening:\n%s", diff)
	}
	effects, err := j.Effects(key("j-1"))
	must(t, err)
	if len(effects) != 2 || !effects[0].GetFinished() || !effects[0].GetEffect().GetChanged() || effects[1].GetFinished() {
		t.Errorf("effects are %v, want the first with its outcome and the second without", effects)
	}
	if epoch, _ := j.Epoch(); epoch != 7 {
		t.Errorf("epoch is %d, want 7: tasks of a server before its restoration would run", epoch)
	}
	obligations, err := j.Obligations()
	must(t, err)
	if len(obligations) != 1 || obligations[0].GetTries() != 3 {
		t.Errorf("obligations are %v, want the one that was put", obligations)
	}
}

func TestRunsAndWhatWasUndone(t *testing.T) {
	j := fresh(t)
	_, _, err := j.Accept(task("j"), noon)
	must(t, err)
	must(t, j.Start(key("j"), noon, "boot-1"))
	must(t, j.SavePlan(key("j"), &actionv1.Plan{Reason: "first"}))
	must(t, j.SaveUndone(key("j"), []*actionv1.Undo{{Resource: "service"}}))
	must(t, j.Rerun(key("j"), "boot-2"))
	rec, err := j.Task(key("j"))
	must(t, err)
	if rec.GetRuns() != 2 || rec.GetBootId() != "boot-2" || rec.GetPlan() != nil || len(rec.GetUndone()) != 1 || rec.GetPhase() != actionv1.Phase_PHASE_PLAN {
		t.Errorf("record is %v, want a second run on boot-2 that has no plan yet and remembers what was undone", rec)
	}
}

func TestObligationsEnd(t *testing.T) {
	j := fresh(t)
	for tries := range uint32(3) {
		must(t, j.PutObligation(&storagev1.Obligation{Resource: "a", Tries: tries}))
	}
	must(t, j.PutObligation(&storagev1.Obligation{Resource: "b"}))
	must(t, j.DropObligation("b"))
	must(t, j.DropObligation("never there"))
	left, err := j.Obligations()
	must(t, err)
	if len(left) != 1 || left[0].GetResource() != "a" || left[0].GetTries() != 2 {
		t.Errorf("obligations are %v, want the latest of %q alone", left, "a")
	}
}

// TestMisplacedEffect: an effect's number and task are in its key alone, so its checksum must cover the key.
func TestMisplacedEffect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	_, _, err := j.Accept(task("j-1"), noon)
	must(t, err)
	must(t, j.Start(key("j-1"), noon, "boot-1"))
	_, err = j.EffectIntent(key("j-1"), 1, effect("stop"))
	must(t, err)
	must(t, j.db.Update(func(tx *bbolt.Tx) error {
		one := must2(taskKey(key("j-1")))
		b := tx.Bucket(bucketEffects)
		return b.Put(effectKey(one, 2), bytes.Clone(b.Get(effectKey(one, 1))))
	}))
	if effects, err := j.Effects(key("j-1")); !errors.Is(err, boltfile.ErrCorrupt) {
		t.Errorf("reading gives %d effects, %v; want that the file is corrupt", len(effects), err)
	}
	must(t, j.Close())
	content, err := os.ReadFile(path)
	must(t, err)
	assertRefused(t, path, content, boltfile.ErrCorrupt, "move it away")
}

// TestMissingBucketIsRefused: the names of buckets carry no checksum, so a journal that lacks one has lost something, and one
// that lacks all of them is not a new one.
func TestMissingBucketIsRefused(t *testing.T) {
	for _, gone := range append(slices.Collect(slices.Chunk(allBuckets(), 1)), allBuckets()) {
		path := filepath.Join(t.TempDir(), "journal.db")
		j := open(t, path)
		must(t, j.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range gone {
				must(t, tx.DeleteBucket(name))
			}
			return nil
		}))
		must(t, j.Close())
		content, err := os.ReadFile(path)
		must(t, err)
		assertRefused(t, path, content, boltfile.ErrCorrupt, "it has no ")
	}
}

// TestMisplacedRecord: a sound record under another task's key is damage too; it must not be run as that task.
func TestMisplacedRecord(t *testing.T) {
	j := fresh(t)
	for _, job := range []string{"j-1", "j-2"} {
		_, _, err := j.Accept(task(job), noon)
		must(t, err)
	}
	must(t, j.db.Update(func(tx *bbolt.Tx) error {
		one, two := must2(taskKey(key("j-1"))), must2(taskKey(key("j-2")))
		b := tx.Bucket(bucketTasks)
		return b.Put(two, bytes.Clone(b.Get(one)))
	}))
	if _, err := j.Task(key("j-2")); !errors.Is(err, boltfile.ErrCorrupt) {
		t.Errorf("reading it gives %v, want that the file is corrupt", err)
	}
	if _, err := j.OpenTasks(); !errors.Is(err, boltfile.ErrCorrupt) {
		t.Errorf("listing gives %v, want that the file is corrupt", err)
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestKnownTaskIsNotAcceptedTwice(t *testing.T) {
	j := fresh(t)
	_, _, err := j.Accept(task("j-1"), noon)
	must(t, err)
	other := task("j-1")
	other.Action = "another"
	rec, known, err := j.Accept(other, noon)
	must(t, err)
	if !known || rec.GetTask().GetAction() != "ble-restart" {
		t.Errorf("accepting a known key: known %v, action %q; want the first record", known, rec.GetTask().GetAction())
	}
	rec, known, err = j.Reject(other, noon, &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_REFUSED})
	must(t, err)
	if !known || rec.GetState() != accepted {
		t.Errorf("rejecting a known key: known %v, state %s; want it to stay accepted", known, rec.GetState())
	}
}

func TestStatesAreKept(t *testing.T) {
	result := &actionv1.TaskResult{}
	for name, tc := range map[string]struct {
		state agentv1.TaskState
		do    func(*Journal) error
	}{
		"start a started task":        {started, func(j *Journal) error { return j.Start(key("j"), noon, "b") }},
		"start a finished task":       {finished, func(j *Journal) error { return j.Start(key("j"), noon, "b") }},
		"plan an accepted task":       {accepted, func(j *Journal) error { return j.SavePlan(key("j"), nil) }},
		"rerun an accepted task":      {accepted, func(j *Journal) error { return j.Rerun(key("j"), "b") }},
		"rerun a finished task":       {finished, func(j *Journal) error { return j.Rerun(key("j"), "b") }},
		"effect of an accepted task":  {accepted, func(j *Journal) error { _, err := j.EffectIntent(key("j"), 1, effect("e")); return err }},
		"effect of a finished task":   {finished, func(j *Journal) error { _, err := j.EffectIntent(key("j"), 1, effect("e")); return err }},
		"outcome without an intent":   {started, func(j *Journal) error { return j.EffectOutcome(key("j"), 1, effect("e")) }},
		"second result":               {finished, func(j *Journal) error { return j.Finish(key("j"), result, noon) }},
		"acknowledge without result":  {started, func(j *Journal) error { return j.Acknowledge(key("j"), noon) }},
		"result of an unknown task":   {started, func(j *Journal) error { return j.Finish(key("other"), result, noon) }},
		"task without a job":          {started, func(j *Journal) error { _, _, err := j.Accept(task(""), noon); return err }},
		"job with a zero byte":        {started, func(j *Journal) error { _, _, err := j.Accept(task("a\x00b"), noon); return err }},
		"job with too long a name":    {started, func(j *Journal) error { _, _, err := j.Accept(task(strings.Repeat("j", 129)), noon); return err }},
		"obligation without resource": {started, func(j *Journal) error { return j.PutObligation(&storagev1.Obligation{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			j := fresh(t)
			_, _, err := j.Accept(task("j"), noon)
			must(t, err)
			if tc.state != accepted {
				must(t, j.Start(key("j"), noon, "b"))
			}
			if tc.state == finished {
				must(t, j.Finish(key("j"), result, noon))
			}
			if err := tc.do(j); err == nil {
				t.Error("no error: the journal would tell a story that cannot have happened")
			}
			rec, err := j.Task(key("j"))
			must(t, err)
			if rec.GetState() != tc.state {
				t.Errorf("state is %s after the refused call, want %s", rec.GetState(), tc.state)
			}
		})
	}
}

func TestFinishMovesEffectsIntoTheResult(t *testing.T) {
	j := fresh(t)
	for _, job := range []string{"j", "j2"} {
		_, _, err := j.Accept(task(job), noon)
		must(t, err)
		must(t, j.Start(key(job), noon, "b"))
		for range 3 {
			_, err = j.EffectIntent(key(job), 1, effect("e"))
			must(t, err)
		}
	}
	must(t, j.Finish(key("j"), &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_CANCELLED}, noon))
	if effects, _ := j.Effects(key("j")); len(effects) != 0 {
		t.Errorf("%d effects are left beside the result, want none", len(effects))
	}
	if effects, _ := j.Effects(key("j2")); len(effects) != 3 {
		t.Errorf("%d effects of another task are left, want its 3", len(effects))
	}
	rec, err := j.Task(key("j"))
	must(t, err)
	if !rec.GetCancelled() {
		t.Error("a task with the result CANCELLED is not noted as cancelled")
	}
}

func TestAcknowledgedTasksAreNotOpenButAnswered(t *testing.T) {
	j := fresh(t)
	finish(t, j, "j-1", noon)
	must(t, j.Acknowledge(key("j-1"), noon)) // the server may repeat itself
	if recs, _ := j.OpenTasks(); len(recs) != 0 {
		t.Errorf("open tasks are %v, want none", recs)
	}
	rec, known, err := j.Accept(task("j-1"), noon)
	must(t, err)
	if !known || rec.GetResult().GetStatus() != actionv1.TaskStatus_TASK_STATUS_SUCCEEDED {
		t.Errorf("a repeated delivery gets known %v, result %v; want the result that is kept", known, rec.GetResult())
	}
}

func TestRetention(t *testing.T) {
	j := fresh(t)
	j.keep = retention{age: 90 * 24 * time.Hour, count: 3, sweep: 2}
	_, _, err := j.Accept(task("unacknowledged"), noon.Add(-1000*time.Hour))
	must(t, err)
	must(t, j.Finish(key("unacknowledged"), &actionv1.TaskResult{}, noon))
	finish(t, j, "old", noon)
	finish(t, j, "young", noon.Add(89*24*time.Hour))
	assertKept(t, j, "old", true)
	finish(t, j, "new", noon.Add(91*24*time.Hour))
	assertKept(t, j, "old", false)
	assertKept(t, j, "young", true)
	for i := range 4 {
		finish(t, j, fmt.Sprintf("more-%d", i), noon.Add(92*24*time.Hour))
	}
	assertKept(t, j, "young", false)
	assertKept(t, j, "new", false)
	assertKept(t, j, "more-3", true)
	assertKept(t, j, "unacknowledged", true)
}

func assertKept(t *testing.T, j *Journal, job string, want bool) {
	t.Helper()
	_, err := j.Task(key(job))
	if err != nil && !errors.Is(err, ErrUnknownTask) {
		t.Fatal(err)
	}
	if got := err == nil; got != want {
		t.Errorf("task %q is kept: %v, want %v", job, got, want)
	}
}

func TestConcurrentWritesShareCommits(t *testing.T) {
	j := fresh(t)
	before := commits(t, j)
	const writers = 200
	// The turn is held while all of them arrive, so that they have to wait together.
	j.commits.turn <- struct{}{}
	var wg sync.WaitGroup
	errs := make(chan error, writers+1)
	for i := range writers {
		wg.Go(func() {
			_, _, err := j.Accept(task(fmt.Sprintf("j-%d", i)), noon)
			errs <- err
		})
	}
	wg.Go(func() { // one that fails must not spoil the others'
		if err := j.Start(key("nobody"), noon, "b"); !errors.Is(err, ErrUnknownTask) {
			errs <- fmt.Errorf("starting an unknown task gives %w, want ErrUnknownTask", err)
		}
	})
	for len(j.commits.waiting) < writers+1 {
		time.Sleep(time.Millisecond)
	}
	batch := j.commits.take()
	j.commits.commit(batch[:writers/2])
	j.commits.commit(batch[writers/2:])
	<-j.commits.turn
	wg.Wait()
	close(errs)
	for err := range errs {
		must(t, err)
	}
	if recs, _ := j.OpenTasks(); len(recs) != writers {
		t.Errorf("%d tasks are in the journal, want %d", len(recs), writers)
	}
	// At most one half, with the failing write in it, falls back to a commit for each.
	if n := commits(t, j) - before; n > writers/2+3 {
		t.Errorf("%d commits for %d concurrent writes, want at most %d: they do not share", n, writers, writers/2+3)
	}
}

func commits(t *testing.T, j *Journal) int {
	t.Helper()
	var id int
	must(t, j.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }))
	return id
}

func TestDamagedFileIsRefusedUntouched(t *testing.T) {
	for name, harm := range map[string]func(content []byte) []byte{
		"a flipped bit in a record": func(c []byte) []byte {
			i := bytes.LastIndex(c, []byte("ble-restart"))
			c[i] ^= 1
			return c
		},
		"cut in half": func(c []byte) []byte { return c[:len(c)/2] },
		"empty":       func([]byte) []byte { return nil },
		"other file":  func([]byte) []byte { return bytes.Repeat([]byte("not a journal "), 4096) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal.db")
			j := open(t, path)
			_, _, err := j.Accept(task("j-1"), noon)
			must(t, err)
			must(t, j.Close())
			content, err := os.ReadFile(path)
			must(t, err)
			bad := harm(content)
			must(t, os.WriteFile(path, bad, 0o600))
			assertRefused(t, path, bad, boltfile.ErrCorrupt, "move it away")
		})
	}
}

func TestForeignFilesAreRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	must(t, j.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketMeta).Put(keyVersion, boltfile.SealFor(keyVersion, []byte{0, 0, 0, 9}))
	}))
	must(t, j.Close())
	content, err := os.ReadFile(path)
	must(t, err)
	assertRefused(t, path, content, nil, "has version 9, this agent reads version 3")
}

func assertRefused(t *testing.T, path string, content []byte, want error, words string) {
	t.Helper()
	j, err := Open(path)
	if err == nil {
		j.Close()
		t.Fatal("it was opened: the agent would run on a false memory")
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("error is %v, want one that is %v", err, want)
	}
	if !strings.Contains(err.Error(), words) {
		t.Errorf("error %q does not say %q", err, words)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, content) {
		t.Error("the file was changed: what could be saved from it is lost")
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	open(t, path)
	if j, err := Open(path); err == nil {
		j.Close()
		t.Fatal("two journals are open on one file")
	} else if !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("error %q does not say that the file is in use", err)
	}
}
