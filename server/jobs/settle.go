package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// settlementKey is whose result it is.
type settlementKey struct {
	jobID, terminalID string
	attempt           uint32
}

// settlement is a result on its way to the disk.
type settlement struct {
	settlementKey
	result *actionv1.TaskResult
	// byServer is true for a result that the server sets because no agent's will come.
	byServer bool
	stored   func(error)
	// task is the open task that it ends; nil for a repeated or late result, whose task is looked up.
	task *task
	// permitted, started and wave are the task's, when known.
	permitted, started time.Time
	wave               int
	// finished is when it came, and order its place among the job's results; 0 when the job is not active.
	finished time.Time
	order    uint64
	// mayBeLost lets it be of a job that the store lacks since it was restored.
	mayBeLost bool

	// What came of it, set by the update that wrote it.
	outcome outcome
}

type outcome struct {
	// err refuses this one result and no other.
	err error
	// changed is false when a final result was there already.
	changed bool
	// lost is true when its job is not in the store since that was restored.
	lost     bool
	index    uint32
	site     string
	old, now actionv1.TaskStatus
}

// errForeign refuses a result for what is no task of this terminal, though the job is there.
func errForeign(jobID, terminalID string) error {
	return refusal.New(refusal.Denied, "FOREIGN_TASK", "job %q: terminal %q: no such task", jobID, terminalID)
}

func (e *Engine) resultArrived(terminalID string, r *agentv1.Result, stored func(error)) {
	boundResult(r.GetResult())
	key := settlementKey{r.GetKey().GetJobId(), terminalID, r.GetKey().GetAttempt()}
	if _, told := e.lost[key]; told {
		stored(nil)
		return
	}
	s := &settlement{settlementKey: key, result: r.GetResult(), stored: stored, mayBeLost: len(e.lost) < maxLost, finished: e.now()}
	if j := e.byID[key.jobID]; j != nil {
		s.order = j.nextResult()
	}
	if t := e.find(terminalID, key.jobID, key.attempt); t != nil && t.phase != closing {
		e.closeWith(t, s)
	}
	e.pending.addResult(s)
}

// settle ends a task without word from its agent.
func (e *Engine) settle(t *task, status actionv1.TaskStatus, reason, next string) {
	key := settlementKey{t.job.id, t.terminal.id, attempt}
	result := &actionv1.TaskResult{Status: status, Reason: reason, NextStep: next}
	s := &settlement{settlementKey: key, byServer: true, finished: e.now(), order: t.job.nextResult(), result: result}
	e.closeWith(t, s)
	e.pending.addResult(s)
}

func (e *Engine) closeWith(t *task, s *settlement) {
	s.task, s.permitted, s.started, s.wave = t, t.permitted, t.started, t.wave
	t.change(func() { t.before, t.phase = t.phase, closing })
}

// settled goes on when a result is on disk.
func (e *Engine) settled(s *settlement) {
	switch o := s.outcome; {
	case o.err != nil:
		if s.task != nil {
			e.log.Error("a task's record cannot be read; its result is lost", "job", s.jobID, "terminal", s.terminalID, "error", o.err)
		}
	case s.task != nil:
		e.closed(s.task, o.now)
	case o.changed:
		if j := e.byID[s.jobID]; j != nil {
			e.replaced(j, o)
		}
	case o.lost:
		e.lost[s.settlementKey] = struct{}{}
	}
	if s.stored != nil {
		s.stored(s.outcome.err)
	}
}

func (e *Engine) closed(t *task, status actionv1.TaskStatus) {
	if _, asked := e.questions[t]; asked {
		delete(e.questions, t)
		e.hintAsked()
	}
	t.end(status)
	t.job.tally(t.index, status)
	e.forget(t.terminal)
	if t.job.open == 0 {
		e.pending.finishes = append(e.pending.finishes, t.job)
		return
	}
	e.judge(t.job)
	e.advance(t.job)
}

// replaced counts anew what an agent's own result has taken the place of.
func (e *Engine) replaced(j *job, o outcome) {
	recount(j.sites[o.site], o.old, o.now)
	t := j.tasks[o.index]
	t.status = o.now
	t.resettlePlace(!neverStarted(o.old))
	if j.retally(o.index, o.now) {
		e.recountForgiven(j)
	}
	j.changed(o.index)
	e.judge(j)
	e.advance(j)
}

// recountForgiven stores how many failures are forgiven, when that has changed with one of them.
func (e *Engine) recountForgiven(j *job) {
	forgiven := uint32(j.forgiven)
	e.edit(j, jobEntry(identity.Name{}, "job.recount", j.rec, ""), func(_ *fleetv1.Job, rec *storagev1.JobRecord) { rec.Forgiven = forgiven })
}

// writeResults is one update: the task records, the counts of jobs that were done already, and one audit record per site.
func (e *Engine) writeResults(ctx context.Context, chunk []*settlement) error {
	return e.st.Update(ctx, func(w store.Writer) error {
		changes := make(map[string][]*storagev1.AuditChange)
		for _, s := range chunk {
			change, err := e.writeResult(w, s)
			if err != nil {
				return err
			}
			if change != nil {
				changes[s.outcome.site] = append(changes[s.outcome.site], change)
			}
		}
		for site, list := range changes {
			entry := audit.Entry{Site: site, Verb: "task.results", Object: "tasks", Changes: list}
			if err := audit.Append(w, e.now(), entry); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeResult writes one result. A result that cannot be taken is refused in its outcome and does not disturb the others.
func (e *Engine) writeResult(w store.Writer, s *settlement) (*storagev1.AuditChange, error) {
	s.outcome = outcome{}
	rec, err := s.find(w)
	var no *refusal.Error
	if errors.As(err, &no) && s.mayBeLost && s.outlivedItsJob(w) {
		return s.noteLost(w)
	}
	if errors.As(err, &no) || errors.Is(err, store.ErrCorrupt) {
		s.outcome.err = err
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	task := rec.GetTask()
	s.outcome = outcome{index: task.GetIndex(), site: task.GetSite(), old: task.GetStatus(), now: task.GetStatus()}
	if task.GetState() == fleetv1.TaskState_TASK_STATE_DONE {
		if !replaces(rec, s) {
			return nil, nil
		}
		if err := recountDone(w, s); err != nil {
			return nil, err
		}
	}
	old := describe(rec.GetTask().GetResult())
	s.fill(rec)
	s.outcome.changed, s.outcome.now = true, task.GetStatus()
	if report := s.result.GetCertificates(); report != nil && e.scans != nil && !s.byServer {
		if err := e.scans.Store(w, task, report, s.finished); err != nil {
			return nil, err
		}
	}
	if e.findings != nil && s.tellsFindings() {
		if err := e.findings.NoteResult(w, task); err != nil {
			return nil, err
		}
	}
	change := &storagev1.AuditChange{Name: s.name(), Old: old, New: describe(task.GetResult())}
	return change, put(w, store.TableTasks, store.TaskKey(s.jobID, task.GetIndex()), rec)
}

// find reads the task's record.
func (s *settlement) find(r store.Reader) (*storagev1.TaskRecord, error) {
	if s.task != nil {
		return readTask(r, s.jobID, s.task.index)
	}
	if s.attempt != attempt {
		return nil, errForeign(s.jobID, s.terminalID)
	}
	job, err := readJob(r, s.jobID)
	if err != nil {
		return nil, err
	}
	return findTask(r, s.jobID, s.terminalID, job.GetJob().GetCounts().GetTotal())
}

// replaces reports whether a result takes the place of the one that is there. Only what the server had set gives way, and
// only to an agent's word that says more than that it never started.
func replaces(rec *storagev1.TaskRecord, s *settlement) bool {
	if !rec.GetByServer() || s.byServer {
		return false
	}
	return !neverStarted(rec.GetTask().GetStatus()) || !neverStarted(s.result.GetStatus())
}

func neverStarted(s actionv1.TaskStatus) bool {
	return s == actionv1.TaskStatus_TASK_STATUS_EXPIRED || s == actionv1.TaskStatus_TASK_STATUS_CANCELLED
}

// recountDone corrects the stored counts of a job that is done. An active job's counts are worked out from its tasks.
func recountDone(w store.Writer, s *settlement) error {
	rec, err := readJob(w, s.jobID)
	if err != nil || rec.GetJob().GetState() != fleetv1.JobState_JOB_STATE_DONE {
		return err
	}
	recount(rec.GetSiteCounts()[s.outcome.site], s.outcome.old, s.result.GetStatus())
	rec.GetJob().Counts = sumCounts(rec.GetSiteCounts(), everywhere)
	return put(w, store.TableJobs, store.JobKey(s.jobID), rec)
}

// fill puts the result into the task's record.
func (s *settlement) fill(rec *storagev1.TaskRecord) {
	task := rec.GetTask()
	rec.ByServer, rec.Order = s.byServer, s.order
	task.State = fleetv1.TaskState_TASK_STATE_DONE
	task.Status, task.Result = s.result.GetStatus(), s.result
	task.Wait, task.Progress = nil, ""
	task.Finished = timestamppb.New(s.finished)
	if s.wave > 0 && !neverStarted(task.Status) {
		task.Wave = uint32(s.wave)
	}
	if !s.permitted.IsZero() {
		task.Permitted = timestamppb.New(s.permitted)
	}
	switch {
	case !s.started.IsZero():
		task.Started = timestamppb.New(s.started)
	case s.result.GetStarted() != nil:
		task.Started = s.result.GetStarted()
	}
}

// name is the task's name in audit records.
func (s *settlement) name() string {
	return fmt.Sprintf("task/%s/%s/%d", s.jobID, s.terminalID, s.attempt)
}

// describe is a result in an audit record: its status and the hash of its deterministic encoding.
func describe(r *actionv1.TaskResult) string {
	if r == nil {
		return ""
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return statusWord(r.GetStatus())
	}
	sum := sha256.Sum256(encoded)
	return statusWord(r.GetStatus()) + " sha256:" + hex.EncodeToString(sum[:])
}

// statusWord is a status as people read it ("rolled-back").
func statusWord(s actionv1.TaskStatus) string {
	word := strings.TrimPrefix(s.String(), "TASK_STATUS_")
	return strings.ReplaceAll(strings.ToLower(word), "_", "-")
}
