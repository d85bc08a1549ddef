package reflex

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/agent/journal"
	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Ended implements runner.Remedies.
func (e *Engine) Ended(k *agentv1.TaskKey, res *actionv1.TaskResult) {
	e.mu.Lock()
	counted := e.ended(k, res)
	e.mu.Unlock()
	if counted {
		e.cfg.Nudge()
	}
	e.poke()
}

// ended notes the end of a task, and says whether it was an attempt. It needs the lock.
func (e *Engine) ended(k *agentv1.TaskKey, res *actionv1.TaskResult) (counted bool) {
	started := res.GetStarted() != nil
	b, number := e.finish(k, started, !wentWell(res))
	if runner.IsOwn(k) {
		e.ownEnded(k, res, b, number)
	} else if b != nil {
		_ = e.write(b, !started, journal.Beside{}) // a failure ends Run
	}
	return b != nil && started
}

func wentWell(res *actionv1.TaskResult) bool {
	return res.GetStatus() == actionv1.TaskStatus_TASK_STATUS_SUCCEEDED || res.GetStatus() == actionv1.TaskStatus_TASK_STATUS_NO_CHANGE
}

// ownEnded has the server told, with its journal's record settled in the same write: a result of the agent's own is told once, and only so.
func (e *Engine) ownEnded(k *agentv1.TaskKey, res *actionv1.TaskResult, b *storagev1.JournalBreaker, number uint32) {
	o := e.own[k.GetJobId()]
	delete(e.own, k.GetJobId())
	beside := journal.Beside{Settled: k, At: time.Now(), Breaker: b}
	if b != nil {
		b.Written, b.Adapter = e.clock.now(), e.adapterOf(b)
	}
	var n *agentv1.News
	switch {
	case o == nil:
		e.log.Warn("a task of the agent's own has ended of which nothing is known", "task", k.GetJobId())
	case res.GetStarted() != nil:
		n = reflexRun(o.task, number, res)
		e.log.Info("a fault was met by the agent itself", "entry", o.at.entry, "subject", o.at.subject, "action", o.task.GetAction(), "status", res.GetStatus())
	case res.GetStatus() == actionv1.TaskStatus_TASK_STATUS_REFUSED:
		e.log.Warn("a fault cannot be remedied by the agent itself", "entry", o.at.entry, "subject", o.at.subject, "action", o.task.GetAction(), "cause", res.GetReason())
		e.putOff(o.at)
	}
	if err := e.cfg.News.AddWith(n, beside); err != nil {
		_ = e.fail(err)
		return
	}
	if b != nil {
		e.book[remedy{b.GetEntry(), b.GetSubject(), b.GetAction()}] = b
	}
}

func reflexRun(t *agentv1.Task, number uint32, res *actionv1.TaskResult) *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Reflex{Reflex: &agentv1.ReflexRun{
		Policy: t.GetRemedies().GetPolicy(), Entry: t.GetRemedies().GetEntry(), Subject: t.GetRemedies().GetSubject(),
		Action: t.GetAction(), Params: t.GetParams(), Attempt: number, Started: res.GetStarted(), Result: res,
	}}}
}

// Recover takes up what an earlier process left. It must end before the runner's own recovery, which tells of what was interrupted.
func (e *Engine) Recover() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	breakers, err := e.cfg.Journal.Breakers()
	if err != nil {
		return fmt.Errorf("reflexes: %w", err)
	}
	latest := int64(0)
	for _, b := range breakers {
		latest = max(latest, b.GetWritten())
		e.book[remedy{b.GetEntry(), b.GetSubject(), b.GetAction()}] = b
	}
	e.clock = newSteadyClock(e.cfg.Clock(), latest)
	e.since = time.Now()
	open, err := e.cfg.Journal.OpenFaults()
	if err != nil {
		return fmt.Errorf("reflexes: %w", err)
	}
	for _, f := range open {
		e.faults[subject{f.GetEntry(), f.GetSubject()}] = &standing{report: f}
	}
	if err := e.recoverOwn(); err != nil {
		return fmt.Errorf("reflexes: %w", err)
	}
	return e.recoverAttempts()
}

// KnownStates returns the reports of the states that were open when the agent went down, for the detectors to go on from.
func (e *Engine) KnownStates() (known []*agentv1.FaultReport) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, at := range slices.SortedFunc(maps.Keys(e.faults), compareSubjects) {
		if f := e.faults[at].report; isState(f) {
			known = append(known, f)
		}
	}
	return known
}

// recoverOwn knows the agent's own tasks again. Of those that have a result, the server is told now.
func (e *Engine) recoverOwn() error {
	recs, err := e.cfg.Journal.OpenTasks()
	if err != nil {
		return err
	}
	for _, rec := range recs {
		t := rec.GetTask()
		if !runner.IsOwn(t.GetKey()) {
			continue
		}
		e.own[t.GetKey().GetJobId()] = &ownTask{
			task: t, at: subject{t.GetRemedies().GetEntry(), t.GetRemedies().GetSubject()},
			started: rec.GetState() != agentv1.TaskState_TASK_STATE_ACCEPTED,
		}
		if rec.GetState() == agentv1.TaskState_TASK_STATE_FINISHED {
			e.ended(t.GetKey(), rec.GetResult())
		}
	}
	return e.broken
}

// recoverAttempts notes the end of attempts that ended, or never began, just before the agent did.
func (e *Engine) recoverAttempts() error {
	for of, b := range e.book {
		for _, a := range slices.Clone(b.GetAttempts()) {
			if a.GetEnded() != 0 {
				continue
			}
			switch rec, err := e.cfg.Journal.Task(a.GetKey()); {
			case err != nil:
				// It was forgotten, so it had ended long ago.
				e.lost(of, a.GetKey())
			case rec.GetState() == agentv1.TaskState_TASK_STATE_FINISHED:
				e.ended(a.GetKey(), rec.GetResult())
			}
		}
	}
	return e.broken
}

// lost notes the end of an attempt of which the journal knows nothing any more.
func (e *Engine) lost(of remedy, k *agentv1.TaskKey) {
	if b, _ := e.finish(k, true, true); b != nil {
		e.log.Warn("nothing is known of an attempt any more; it counts as one that failed", "entry", of.entry, "action", of.action)
		_ = e.write(b, false, journal.Beside{}) // a failure is in broken
	}
}
