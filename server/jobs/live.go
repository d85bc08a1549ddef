package jobs

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// live is what the engine knows of a task that is not done.
type live struct {
	state              fleetv1.TaskState
	wait               *fleetv1.Wait
	progress           string
	question           *fleetv1.Question
	permitted, started time.Time
	wave               int
	online             bool
	// neverSeen is true when the engine does not know when the terminal was last seen.
	neverSeen bool
}

// overlayTasks puts what is running over stored tasks of a job. Only these are looked at in the loop, however large the job is.
func (e *Engine) overlayTasks(ctx context.Context, id string, list []*fleetv1.Task) error {
	states := make([]*live, len(list))
	err := e.do(ctx, func() {
		if j := e.byID[id]; j != nil {
			for i, t := range list {
				states[i] = j.tasks[t.GetIndex()].live(e.now())
			}
		}
	})
	for i, t := range list {
		if err == nil && states[i] == nil && t.GetState() != fleetv1.TaskState_TASK_STATE_DONE {
			// It has ended since it was read.
			list[i], err = e.storedTask(ctx, id, t.GetIndex())
		}
		if err == nil {
			err = e.overlay(ctx, list[i], states[i])
		}
	}
	return err
}

func (e *Engine) storedTask(ctx context.Context, id string, index uint32) (t *fleetv1.Task, err error) {
	err = e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readTask(s, id, index)
		t = rec.GetTask()
		return err
	})
	return t, err
}

// live copies what is running of a task; nil when it is done.
func (t *task) live(now time.Time) *live {
	if t.phase == done {
		return nil
	}
	l := &live{
		state: fleetv1.TaskState_TASK_STATE_WAITING, permitted: t.permitted, started: t.started, wave: t.wave,
		online: t.terminal.online, neverSeen: !t.terminal.online && !t.terminal.seen,
	}
	if t.running() {
		l.state, l.progress, l.question = fleetv1.TaskState_TASK_STATE_RUNNING, t.progress, t.openQuestion(now)
		return l
	}
	l.wait = t.wait(now)
	return l
}

func lastSeen(at time.Time) string {
	if at.Unix() <= 0 {
		return "never connected"
	}
	return "last seen " + at.UTC().Format(time.RFC3339)
}

// overlay puts what is running over a stored task. A task that is done in the store is done, whatever the engine said a
// moment ago.
func (e *Engine) overlay(ctx context.Context, t *fleetv1.Task, l *live) error {
	if l == nil || t.GetState() == fleetv1.TaskState_TASK_STATE_DONE {
		return nil
	}
	t.State, t.Progress, t.Online, t.Question = l.state, l.progress, l.online, l.question
	t.Permitted, t.Started, t.Wave = stamp(l.permitted), stamp(l.started), uint32(l.wave)
	if t.Wait = proto.CloneOf(l.wait); t.Wait.GetReason() != fleetv1.WaitReason_WAIT_REASON_OFFLINE || !l.neverSeen {
		return nil
	}
	terminal, err := e.inv.Terminal(ctx, t.GetTerminalId())
	if err != nil {
		return err
	}
	t.Wait.Detail = lastSeen(terminal.GetTerminal().GetLastSeen().AsTime())
	return nil
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
