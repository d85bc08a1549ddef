package guided_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/jobs"
)

// What a person says of a fault that a machine can see does not end it: the machine has the time that it needs to agree.
func TestTheDetectorHasTheLastWord(t *testing.T) {
	const open, resolved = fleetv1.FaultState_FAULT_STATE_OPEN, fleetv1.FaultState_FAULT_STATE_RESOLVED
	for name, c := range map[string]struct {
		entry, reporter string
		outcome         fleetv1.GuidedOutcome
		// wait is how long nothing is said to the fault; gone that the agent sees it gone meanwhile.
		wait time.Duration
		gone bool
		want fleetv1.FaultState
	}{
		"said to be fixed, and seen still":        {entry: "ble-adapter-missing", outcome: fixed, wait: 90 * time.Second, want: open},
		"said to be fixed, and gone":              {entry: "ble-adapter-missing", outcome: fixed, wait: 90 * time.Second, gone: true, want: resolved},
		"said to be fixed, nobody else can tell":  {entry: "band-error-2000", reporter: "bob", outcome: fixed, want: resolved},
		"a person saw it, though a machine could": {entry: "ble-adapter-missing", reporter: "bob", outcome: fixed, wait: 90 * time.Second, want: resolved},
		"not fixed":  {entry: "ble-adapter-missing", outcome: notFixed, want: open},
		"not needed": {entry: "ble-adapter-missing", outcome: notNeeded, want: fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			id := d.mustCreate(guided.Order{Entry: c.entry, TerminalID: "T-0001", FaultID: "F-7", By: "policy x"}).GetId()
			f := &fleetv1.Fault{Id: "F-7", Entry: c.entry, State: fleetv1.FaultState_FAULT_STATE_GUIDED, GuidedTask: id, ReportedBy: c.reporter}
			d.faults["F-7"] = f
			_, err := d.Tick(t.Context(), ada, &fleetv1.TickStepRequest{Id: id, Step: 1})
			must(t, err)
			must(t, closeAs(d, id, c.outcome))
			if c.wait > 0 {
				d.later(c.wait - time.Second)
				if f.GetState() != fleetv1.FaultState_FAULT_STATE_GUIDED {
					t.Errorf("the fault is %v already: the detector has %s", f.GetState(), c.wait)
				}
			}
			if c.gone {
				f.State, f.Resolved = resolved, timestamppb.New(d.now)
				must(t, d.FaultResolved(t.Context(), "F-7", "by itself"))
			}
			d.open() // a start of the server in between loses nothing
			d.later(time.Second)
			if f.GetState() != c.want || f.GetGuidedTask() != "" {
				t.Errorf("the fault is %v with task %q, want %v with none", f.GetState(), f.GetGuidedTask(), c.want)
			}
			if got := d.mustGet(id); got.GetOutcome() != c.outcome {
				t.Errorf("the task says %v, want what the person said", got.GetOutcome())
			}
			said := len(f.GetHistory())
			d.later(time.Hour)
			if len(f.GetHistory()) != said {
				t.Error("the fault is told again and again")
			}
			d.sound()
		})
	}
}

func TestATaskEndsWithItsFault(t *testing.T) {
	d := newDesk(t)
	order := guided.Order{Entry: "ble-adapter-missing", TerminalID: "T-0001", FaultID: "F-7", By: "policy x"}
	one := d.mustCreate(order)
	if again := d.mustCreate(order); again.GetId() != one.GetId() {
		t.Errorf("a second task %s for the fault, want %s", again.GetId(), one.GetId())
	}
	must(t, d.FaultResolved(t.Context(), "F-7", "by itself"))
	must(t, d.FaultResolved(t.Context(), "F-7", "by itself"))
	must(t, d.FaultResolved(t.Context(), "F-8", "by itself"))
	if got := d.mustGet(one.GetId()); got.GetState() != fleetv1.GuidedState_GUIDED_STATE_MOOT {
		t.Errorf("nobody was at it and it is %v, want MOOT", got.GetState())
	}
	two := d.mustCreate(order)
	_, err := d.Take(t.Context(), ada, &fleetv1.TakeGuidedTaskRequest{Id: two.GetId()})
	must(t, err)
	must(t, d.FaultResolved(t.Context(), "F-7", "seen no more"))
	if got := d.mustGet(two.GetId()); got.GetOutcome() != fixed || got.GetState() != fleetv1.GuidedState_GUIDED_STATE_DONE {
		t.Errorf("somebody was at it and it is %v, %v; want DONE, fixed", got.GetState(), got.GetOutcome())
	}
	d.sound()
}

// asks makes a job's task on T-0001 ask.
func (d *desk) asks(plan string) *fleetv1.Task {
	task := &fleetv1.Task{
		JobId: "J1", TerminalId: "T-0001", TerminalName: "press-1", Site: "lyon", State: fleetv1.TaskState_TASK_STATE_RUNNING,
		Question: &fleetv1.Question{PlanId: plan, Prompt: "Is band A-1\x1b[2J on the charger?", Deadline: timestamppb.New(d.now.Add(10 * time.Minute))},
	}
	d.jobs.asking = []jobs.Asking{{Task: task, Action: "firmware-logs-fetch", Params: map[string]string{"band_serial": "AAAH-00125", "other": "secret:x"}}}
	d.jobs.stored["J1/T-0001"] = task
	d.look()
	return task
}

func TestAQuestionIsATaskAndIsAnsweredOnce(t *testing.T) {
	d := newDesk(t)
	d.asks("e1")
	task := d.mustGet("G-1")
	if task.GetTitle() != "Is band A-1 [2J on the charger?" || task.GetBand() != "AAAH-00125" || task.GetJobId() != "J1" || task.GetSteps()[0].GetText() != "Put the band on the charger." {
		t.Errorf("the task is %v, want the question with the steps of the action's entry", task)
	}
	d.look()
	if _, err := d.Get(t.Context(), "G-2"); err == nil {
		t.Error("a second task was made for the same question")
	}
	must(t, closeAs(d, "G-1", fixed))
	if len(d.jobs.answers) != 1 || !d.jobs.answers[0] {
		t.Errorf("the job was told %v, want one yes", d.jobs.answers)
	}
	must(t, closeAs(d, "G-1", fixed))
	wantRefusal(t, closeAs(d, "G-1", notFixed), "CLOSED")
	if len(d.jobs.answers) != 1 {
		t.Errorf("the job was told %v, want one answer", d.jobs.answers)
	}
	d.sound()
}

func TestAQuestionThatIsOverEndsItsTask(t *testing.T) {
	yes := &fleetv1.Answer{PlanId: "e1", Confirmed: true, By: "bob"}
	for name, c := range map[string]struct {
		then  func(d *desk, task *fleetv1.Task)
		state fleetv1.GuidedState
		by    string
	}{
		"answered beside it": {func(d *desk, task *fleetv1.Task) { task.Answers, d.jobs.asking = []*fleetv1.Answer{yes}, nil }, fleetv1.GuidedState_GUIDED_STATE_DONE, "bob"},
		"the task has ended": {func(d *desk, task *fleetv1.Task) { task.State, d.jobs.asking = fleetv1.TaskState_TASK_STATE_DONE, nil }, fleetv1.GuidedState_GUIDED_STATE_MOOT, "server"},
		"the job is gone":    {func(d *desk, _ *fleetv1.Task) { d.jobs.stored, d.jobs.asking = nil, nil }, fleetv1.GuidedState_GUIDED_STATE_MOOT, "server"},
		"nobody in time":     {func(d *desk, _ *fleetv1.Task) { d.jobs.asking, d.now = nil, d.now.Add(10*time.Minute) }, fleetv1.GuidedState_GUIDED_STATE_MOOT, "server"},
		"it asks anew":       {func(d *desk, _ *fleetv1.Task) { d.asks("e2") }, fleetv1.GuidedState_GUIDED_STATE_MOOT, "server"},
		"the server forgot":  {func(d *desk, _ *fleetv1.Task) { d.jobs.asking = nil }, fleetv1.GuidedState_GUIDED_STATE_OPEN, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			c.then(d, d.asks("e1"))
			d.open()
			d.look()
			if got := d.mustGet("G-1"); got.GetState() != c.state || got.GetClosedBy() != c.by {
				t.Errorf("the task is %v, closed by %q; want %v, %q", got.GetState(), got.GetClosedBy(), c.state, c.by)
			}
			d.sound()
		})
	}
}
