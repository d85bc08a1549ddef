package runner

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

func TestUndoneStatus(t *testing.T) {
	const (
		exact        = actionv1.Inverse_INVERSE_EXACT
		compensating = actionv1.Inverse_INVERSE_COMPENSATING
		done         = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
		notNeeded    = actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED
		conflicting  = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT
		failing      = actionv1.UndoOutcome_UNDO_OUTCOME_FAILED
		obligation   = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION
	)
	changed := func(inverses ...actionv1.Inverse) []*actionv1.RecordedEffect {
		var effects []*actionv1.RecordedEffect
		for _, inverse := range inverses {
			effects = append(effects, &actionv1.RecordedEffect{Changed: true, Inverse: inverse})
		}
		return effects
	}
	for name, tc := range map[string]struct {
		effects []*actionv1.RecordedEffect
		undone  []actionv1.UndoOutcome
		unknown bool
		want    actionv1.TaskStatus
	}{
		"nothing was done":                     {want: failedStatus},
		"nothing was changed":                  {effects: []*actionv1.RecordedEffect{{Inverse: exact}}, want: failedStatus},
		"all exact and put back":               {effects: changed(exact, exact), undone: []actionv1.UndoOutcome{done, notNeeded}, want: actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK},
		"one only made good":                   {effects: changed(exact, compensating), undone: []actionv1.UndoOutcome{done, done}, want: failedStatus},
		"exact, but somebody else was at it":   {effects: changed(exact), undone: []actionv1.UndoOutcome{conflicting}, want: conflict},
		"a conflict and something left broken": {effects: changed(exact), undone: []actionv1.UndoOutcome{conflicting, failing}, want: rollbackFailed},
		"an obligation":                        {effects: changed(compensating), undone: []actionv1.UndoOutcome{obligation}, want: rollbackFailed},
		"nobody knows":                         {effects: changed(exact), undone: []actionv1.UndoOutcome{done}, unknown: true, want: unknownStatus},
		"nobody knows, and left broken":        {effects: changed(exact), undone: []actionv1.UndoOutcome{failing}, unknown: true, want: rollbackFailed},
	} {
		t.Run(name, func(t *testing.T) {
			var undone []*actionv1.Undo
			for _, outcome := range tc.undone {
				undone = append(undone, &actionv1.Undo{Outcome: outcome})
			}
			if got := undoneStatus(tc.effects, undone, tc.unknown); got != tc.want {
				t.Errorf("status is %s, want %s", got, tc.want)
			}
		})
	}
}

func TestInterruptions(t *testing.T) {
	const (
		up   = actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
		down = actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
	)
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	state := func(s actionv1.ServiceStatus) *actionv1.State {
		return stateOf(&actionv1.ServiceState{Service: "s", Status: s})
	}
	effect := func(from, to int, before, after actionv1.ServiceStatus) *actionv1.RecordedEffect {
		return &actionv1.RecordedEffect{
			Before: state(before), After: state(after), Changed: true,
			Started: stamp(noon.Add(time.Duration(from) * time.Second)), Finished: stamp(noon.Add(time.Duration(to) * time.Second)),
		}
	}
	undo := func(at int, outcome actionv1.UndoOutcome, s actionv1.ServiceStatus) *actionv1.Undo {
		return &actionv1.Undo{Outcome: outcome, State: state(s), Finished: stamp(noon.Add(time.Duration(at) * time.Second))}
	}
	const done = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	for name, tc := range map[string]struct {
		effects []*actionv1.RecordedEffect
		undone  []*actionv1.Undo
		stopped []change
		// want is each interruption's seconds, negative when it goes on.
		want []int
	}{
		"stop and start":            {effects: []*actionv1.RecordedEffect{effect(0, 2, up, down), effect(3, 7, down, up)}, want: []int{7}},
		"was down before":           {effects: []*actionv1.RecordedEffect{effect(0, 2, down, up)}},
		"put back":                  {effects: []*actionv1.RecordedEffect{effect(1, 2, up, down)}, undone: []*actionv1.Undo{undo(9, done, up)}, want: []int{8}},
		"stays down":                {effects: []*actionv1.RecordedEffect{effect(0, 2, up, down)}, undone: []*actionv1.Undo{undo(9, actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, down)}, want: []int{-60}},
		"restarted behind our back": {effects: []*actionv1.RecordedEffect{effect(0, 4, up, up)}, want: []int{4}},
		"twice, with a crash between": {
			effects: []*actionv1.RecordedEffect{effect(0, 1, up, down), effect(20, 21, up, down), effect(21, 23, down, up)},
			undone:  []*actionv1.Undo{undo(10, done, up)}, want: []int{10, 3},
		},
		"died in its settling time and stays down": {
			effects: []*actionv1.RecordedEffect{effect(0, 1, up, down), effect(1, 2, down, up)},
			undone:  []*actionv1.Undo{undo(50, actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION, down)}, want: []int{2, -10},
		},
		"died in its settling time and was put back": {
			effects: []*actionv1.RecordedEffect{effect(0, 1, up, down), effect(1, 2, down, up)},
			stopped: []change{{service: "s", at: noon.Add(40 * time.Second)}},
			undone:  []*actionv1.Undo{undo(45, done, up)}, want: []int{2, 5},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := interruptions(tc.effects, tc.undone, tc.stopped, noon.Add(time.Minute))
			if len(got) != len(tc.want) {
				t.Fatalf("interruptions are %v, want %v seconds", got, tc.want)
			}
			for i, want := range tc.want {
				seconds := int(got[i].GetDuration().AsDuration().Seconds())
				if got[i].GetOngoing() {
					seconds = -seconds
				}
				if seconds != want {
					t.Errorf("interruption %d is %d seconds, want %d", i, seconds, want)
				}
			}
		})
	}
}

func TestClip(t *testing.T) {
	for _, text := range []string{"short", "exactly-10", "more than ten", "ünïcödé text", "bad \xff byte", "\xff\xff\xff\xff"} {
		got := clip(text, 10)
		if len(got) > 10 || !utf8.ValidString(got) {
			t.Errorf("clip(%q) is %q of %d bytes, want valid UTF-8 of at most 10", text, got, len(got))
		}
	}
	if got := clip("more than ten", 10); got != "more th…" {
		t.Errorf("clip is %q, want the cut to be marked", got)
	}
}

// TestCaps: a plugin that talks much makes neither the result too large for a message nor the cut invisible.
func TestCaps(t *testing.T) {
	var c collector
	for range 3 * maxEvidence {
		c.saw(strings.Repeat("n", 10_000), strings.Repeat("v", 100_000))
	}
	if len(c.evidence) != maxEvidence || c.dropped != 2*maxEvidence || len(c.evidence[0].GetValue()) > maxValue || len(c.evidence[0].GetName()) > maxName {
		t.Errorf("%d pieces of evidence, %d dropped; want %d and %d, each cut", len(c.evidence), c.dropped, maxEvidence, 2*maxEvidence)
	}
	c.output(strings.Repeat("\xff", 2*maxOutput), false)
	if len(c.text) > maxOutput || !c.truncated || !utf8.ValidString(c.text) {
		t.Errorf("output has %d bytes, cut: %v; want at most %d of valid UTF-8, marked as cut", len(c.text), c.truncated, maxOutput)
	}
	c = collector{}
	c.checked(make([]*actionv1.Check, 2*maxChecks))
	if len(c.checks) != maxChecks || len(c.evidence) != 1 {
		t.Errorf("%d checks, evidence %v; want %d checks and a word about the rest", len(c.checks), c.evidence, maxChecks)
	}
}

// TestLargeStates: what an agent reads around its effects may be more than one message can carry; the result fits all the same and says
// what is missing. A result that does not fit would end every session that it is sent on.
func TestLargeStates(t *testing.T) {
	const message = 4 << 20
	var values []*actionv1.ConfigValue
	for range maxChanges {
		values = append(values, &actionv1.ConfigValue{Key: "key", Value: strings.Repeat("v", maxValue)})
	}
	state := &actionv1.State{State: &actionv1.State_Config{Config: &actionv1.ConfigState{Values: values}}}
	c := &course{rec: &storagev1.JournalTask{}, result: collector{text: strings.Repeat("o", maxOutput)}}
	for range maxPlanEffects {
		record := &actionv1.RecordedEffect{Before: state, After: state, Changed: true, Inverse: actionv1.Inverse_INVERSE_EXACT}
		c.effects = append(c.effects, &storagev1.JournalEffect{Effect: record})
		c.result.undone = append(c.result.undone, &actionv1.Undo{State: state, Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_DONE})
	}
	for range maxFindings {
		c.result.found(&actionv1.Finding{Message: strings.Repeat("m", maxText)})
	}
	res := c.finish(outcome{}, failed("it did not hold"))
	if size := proto.Size(res); size > maxResult || size > message {
		t.Errorf("the result has %d bytes, want at most %d", size, maxResult)
	}
	said := res.GetEvidence()[len(res.GetEvidence())-1].GetValue()
	if len(res.GetEffects()) != maxPlanEffects || len(res.GetFindings()) != maxFindings || !strings.Contains(said, "states around the effects") {
		t.Errorf("%d effects, %d findings, %q; want all of them, and a word that the states are left out", len(res.GetEffects()), len(res.GetFindings()), said)
	}
	if c.effects[0].GetEffect().GetBefore() == nil || c.result.undone[0].GetState() == nil {
		t.Error("the states are gone from the run's own records, want them left out of the result alone")
	}
}

// TestManyWords: a flood of progress is cut, and evidence reaches the result.
func TestManyWords(t *testing.T) {
	inBench(t, func(b *bench) {
		p := b.plugins["restart"]
		plan := p.plan
		p.plan = func(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
			for range 10_000 {
				calls.Progress(&actionv1.Progress{Message: "still here"})
				calls.Evidence(&actionv1.Evidence{Name: "n", Value: "v"})
			}
			return plan(ctx, start, calls)
		}
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, succeeded)
		if n := b.server.count(&b.server.progress); n != maxProgress {
			t.Errorf("%d lines of progress were passed on, want %d", n, maxProgress)
		}
		last := res.GetEvidence()[len(res.GetEvidence())-1]
		if len(res.GetEvidence()) != maxEvidence+1 || !strings.Contains(last.GetValue(), "left out") {
			t.Errorf("%d pieces of evidence, the last is %v; want %d and a word about the rest", len(res.GetEvidence()), last, maxEvidence)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for tries, want := range map[uint32]time.Duration{0: firstRetry, 1: 2 * firstRetry, 3: 8 * firstRetry, 10: lastRetry, 4_000_000_000: lastRetry} {
		if got := retryAfter(tries); got != want {
			t.Errorf("after %d tries the next is in %s, want %s", tries, got, want)
		}
	}
}

func TestDurationIsCapped(t *testing.T) {
	r := New(Config{MaxDuration: time.Hour})
	for asked, want := range map[time.Duration]time.Duration{0: defaultDuration, time.Minute: time.Minute, 24 * time.Hour: time.Hour} {
		c := &course{r: r, action: &actionv1.Action{MaxDuration: durationpb.New(asked)}}
		if got := c.duration(); got != want {
			t.Errorf("an action that asks for %s gets %s, want %s", asked, got, want)
		}
	}
}
