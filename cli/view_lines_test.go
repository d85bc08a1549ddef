package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// printedFor plays messages to a view of lines and returns what it printed.
func printedFor(messages ...*fleetv1.WatchJobResponse) string {
	var out bytes.Buffer
	v := &lineView{printer: output.NewPrinter(&out, false), now: func() time.Time { return testNow }}
	b := newBoard(&fleetv1.Job{Id: "j"})
	for _, m := range messages {
		v.changed(b, b.apply(m))
	}
	return strings.ReplaceAll(out.String(), "2026-11-24T08:00:00Z  ", "")
}

func jobAs(change func(*fleetv1.Job)) *fleetv1.WatchJobResponse {
	j := &fleetv1.Job{Id: "j", State: fleetv1.JobState_JOB_STATE_ACTIVE, Progress: &fleetv1.RolloutProgress{Wave: 1, Reach: []uint32{1, 10}}}
	change(j)
	return &fleetv1.WatchJobResponse{Job: j}
}

func TestEachTransitionIsPrintedOnce(t *testing.T) {
	approval := func(by ...string) *fleetv1.ApprovalState {
		s := &fleetv1.ApprovalState{Needed: 2}
		for _, name := range by {
			s.Approvals = append(s.Approvals, &fleetv1.Approval{By: name})
		}
		return s
	}
	steps := []func(*fleetv1.Job){
		func(j *fleetv1.Job) { j.Approval = approval() },
		func(j *fleetv1.Job) { j.Approval = approval("bob") },
		func(j *fleetv1.Job) { j.Approval = approval("bob", "eve") },
		func(j *fleetv1.Job) { j.Approval, j.Progress.SoakUntil = approval("bob", "eve"), at(time.Minute) },
		func(j *fleetv1.Job) { j.Approval, j.Progress.Wave = approval("bob", "eve"), 2 },
		func(j *fleetv1.Job) {
			j.Approval, j.Progress.Wave, j.Pause = approval("bob", "eve"), 2, &fleetv1.Pause{By: "rollout", Time: at(0), Reason: "2 of 2 failures"}
		},
		func(j *fleetv1.Job) { j.Approval, j.Progress.Wave = approval("bob", "eve"), 2 },
		func(j *fleetv1.Job) { j.State, j.Approval = fleetv1.JobState_JOB_STATE_DONE, approval("bob", "eve") },
	}
	var messages []*fleetv1.WatchJobResponse
	for _, step := range steps {
		// Each message comes twice, as after a broken connection.
		messages = append(messages, jobAs(step), jobAs(step))
	}
	want := `j  waits for 2 approvals; another person approves it with ` + "`fleetctl job approve j`" + `
j  approved by bob, waits for 1 more; another person approves it with ` + "`fleetctl job approve j`" + `
j  approved by bob and eve
j  wave 1 of 2 (1 terminal)
j  the health of wave 1 is watched until 2026-11-24T08:01:00Z
j  wave 2 of 2 (all 10 terminals)
j  PAUSED by rollout at 2026-11-24T08:00:00Z: 2 of 2 failures; nothing more starts until ` + "`fleetctl job resume j`; `fleetctl job cancel j` ends it" + `
j  no longer paused
`
	if got := printedFor(messages...); got != want {
		t.Errorf("printed\n%s\nwant each transition once:\n%s", got, want)
	}
}

func TestManyThatWaitForTheSameGetOneLine(t *testing.T) {
	m := jobAs(func(*fleetv1.Job) {})
	for i := range 40 {
		wait := &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_WINDOW, Detail: "opens at 22:00"}
		if i == 7 {
			wait = &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_IN_USE, Detail: "PLANT\\anna is at work"}
		}
		m.Tasks = append(m.Tasks, &fleetv1.Task{TerminalId: fmt.Sprint(i), TerminalName: fmt.Sprintf("lyon-%02d", i), Index: uint32(i),
			State: fleetv1.TaskState_TASK_STATE_WAITING, Wait: wait})
	}
	got := printedFor(m)
	for _, want := range []string{
		"39 terminals (lyon-00, lyon-01, lyon-02, lyon-03, lyon-04, lyon-05, lyon-06, lyon-08, lyon-09, lyon-10 and 29 more)  waiting: window (opens at 22:00)\n",
		"lyon-07  waiting: in-use (PLANT\\anna is at work)\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("printed\n%s\nwant once %q: a log of ten thousand equal lines hides the one that matters", got, want)
		}
	}
}

func TestABoardKeepsItsTally(t *testing.T) {
	b := newBoard(&fleetv1.Job{Selection: &fleetv1.Selection{Sites: []string{"lyon"}}})
	task := func(s fleetv1.TaskState, r fleetv1.WaitReason) *fleetv1.Task {
		return &fleetv1.Task{TerminalId: "T-1", TerminalName: "lyon-01", State: s, Wait: &fleetv1.Wait{Reason: r}}
	}
	offline := fleetv1.WaitReason_WAIT_REASON_OFFLINE
	b.apply(&fleetv1.WatchJobResponse{Job: &fleetv1.Job{}, Tasks: []*fleetv1.Task{task(fleetv1.TaskState_TASK_STATE_WAITING, offline)}})
	if !b.onlyOffline() || b.waits[offline] != 1 {
		t.Errorf("of one task that is offline %d are counted, want it to be the only thing waited for", b.waits[offline])
	}
	asks := task(fleetv1.TaskState_TASK_STATE_RUNNING, 0)
	asks.Question = question()
	b.apply(&fleetv1.WatchJobResponse{Tasks: []*fleetv1.Task{asks}})
	if b.onlyOffline() || b.waits[offline] != 0 || len(b.questions()) != 1 {
		t.Error("a task that runs and asks is not counted as such")
	}
	b.apply(&fleetv1.WatchJobResponse{Tasks: []*fleetv1.Task{task(fleetv1.TaskState_TASK_STATE_DONE, 0)}})
	if b.open != 0 || len(b.questions()) != 0 {
		t.Errorf("%d tasks are open and %d ask after the end, want none", b.open, len(b.questions()))
	}
	if b.job.GetSelection().GetSites()[0] != "lyon" {
		t.Error("the selection is lost with the second message, which has none: the document would lack it")
	}
}

// What was let start and has not said that it did is not told to run: its agent may find that somebody is at work there.
func TestALetStartIsNoStart(t *testing.T) {
	var out bytes.Buffer
	v := &lineView{printer: output.NewPrinter(&out, false), now: func() time.Time { return testNow }}
	b := newBoard(&fleetv1.Job{Id: "j"})
	tell := func(t *fleetv1.Task) { v.changed(b, b.apply(&fleetv1.WatchJobResponse{Tasks: []*fleetv1.Task{t}})) }
	permitted := &fleetv1.Task{TerminalId: "T-1", TerminalName: "lyon-01", Online: true, State: fleetv1.TaskState_TASK_STATE_RUNNING}
	tell(permitted)
	if out.Len() > 0 {
		t.Errorf("a task that was only let start is told as %q, want nothing: it is not known to run", out.String())
	}
	if got := stateLine(permitted, false); got != "may start, has not started yet" {
		t.Errorf("its state is %q, want that it has not started yet", got)
	}
	started := proto.CloneOf(permitted)
	started.Started = timestamppb.New(testNow)
	tell(started)
	if got := out.String(); !strings.HasSuffix(got, "  lyon-01  running\n") || strings.Count(got, "\n") != 1 {
		t.Errorf("printed %q when it started, want the one line that it runs", got)
	}
}
