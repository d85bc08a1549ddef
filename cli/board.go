package cli

import (
	"cmp"
	"maps"
	"slices"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// board is what is known of a job while it is watched.
type board struct {
	job   *fleetv1.Job
	tasks map[string]*fleetv1.Task
	// away is why the server does not answer now; nil when it does.
	away error
	// open is how many of tasks have no result, waits how many of them wait for what. They are kept up to date, because a job of
	// ten thousand tasks is not gone through for each result.
	open  int
	waits map[fleetv1.WaitReason]int
	// asking holds the tasks that ask something of a person, by terminal.
	asking map[string]*fleetv1.Task
}

func newBoard(job *fleetv1.Job) *board {
	return &board{
		job: job, tasks: make(map[string]*fleetv1.Task), waits: make(map[fleetv1.WaitReason]int), asking: make(map[string]*fleetv1.Task),
	}
}

// change is a task before and after a message. before is nil for one that was not known.
type change struct {
	before, after *fleetv1.Task
}

// apply takes over what a message tells and returns the tasks that it changed, in the job's order.
func (b *board) apply(m *fleetv1.WatchJobResponse) []change {
	b.away = nil
	b.take(m.GetJob())
	changes := make([]change, 0, len(m.GetTasks()))
	for _, t := range m.GetTasks() {
		before := b.tasks[t.GetTerminalId()]
		changes = append(changes, change{before, t})
		b.tally(before, -1)
		b.tally(t, 1)
		b.tasks[t.GetTerminalId()] = t
	}
	slices.SortFunc(changes, func(x, y change) int { return byIndex(x.after, y.after) })
	return changes
}

// take takes over a job; only the first message of a watch holds its selection.
func (b *board) take(j *fleetv1.Job) {
	if j == nil {
		return
	}
	if j.GetSelection() == nil {
		j.Selection = b.job.GetSelection()
	}
	b.job = j
}

// tally counts a task in (by 1) or out (by -1).
func (b *board) tally(t *fleetv1.Task, by int) {
	if t == nil {
		return
	}
	delete(b.asking, t.GetTerminalId())
	if t.GetState() != fleetv1.TaskState_TASK_STATE_DONE {
		b.open += by
	}
	if t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING {
		b.waits[t.GetWait().GetReason()] += by
	}
	if by > 0 && t.GetState() == fleetv1.TaskState_TASK_STATE_RUNNING && t.GetQuestion() != nil {
		b.asking[t.GetTerminalId()] = t
	}
}

// questions returns the tasks that ask something of a person, in the job's order.
func (b *board) questions() []*fleetv1.Task {
	return slices.SortedFunc(maps.Values(b.asking), byIndex)
}

// ordered returns the tasks in the job's order.
func (b *board) ordered() []*fleetv1.Task {
	return slices.SortedFunc(maps.Values(b.tasks), byIndex)
}

// counts returns the job's own counts, which also count targets at sites that the caller may not see.
func (b *board) counts() *fleetv1.JobCounts { return b.job.GetCounts() }

// done tells whether every target has a result.
func (b *board) done() bool { return b.job.GetState() == fleetv1.JobState_JOB_STATE_DONE }

// offline names the targets that wait for their terminal to connect, in the job's order.
func (b *board) offline() []string {
	if b.waits[fleetv1.WaitReason_WAIT_REASON_OFFLINE] == 0 {
		return nil
	}
	var names []string
	for _, t := range b.ordered() {
		if waitsOffline(t) {
			names = append(names, t.GetTerminalName())
		}
	}
	return names
}

// onlyOffline tells whether every target that has no result waits for its terminal to connect.
func (b *board) onlyOffline() bool {
	return b.open > 0 && b.open == b.waits[fleetv1.WaitReason_WAIT_REASON_OFFLINE]
}

func waitsOffline(t *fleetv1.Task) bool {
	return t.GetState() == fleetv1.TaskState_TASK_STATE_WAITING && t.GetWait().GetReason() == fleetv1.WaitReason_WAIT_REASON_OFFLINE
}

// document is the board as one message, for json and yaml.
func (b *board) document() *fleetv1.WatchJobResponse {
	return &fleetv1.WatchJobResponse{Job: b.job, Tasks: b.ordered()}
}

func byIndex(x, y *fleetv1.Task) int {
	return cmp.Or(cmp.Compare(x.GetIndex(), y.GetIndex()), cmp.Compare(x.GetTerminalId(), y.GetTerminalId()))
}
