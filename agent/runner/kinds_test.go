package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

const (
	rolledBack = actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK
	undone     = actionv1.UndoOutcome_UNDO_OUTCOME_DONE
	conflicts  = actionv1.UndoOutcome_UNDO_OUTCOME_CONFLICT

	oldConfig = "# keep me\r\nagent_url = \"ws://127.0.0.1:9120/\"\r\nrssi_tap_threshold =  0 # odd\r\n"
	newConfig = "# keep me\r\nagent_url = \"ws://127.0.0.1:9120/\"\r\nrssi_tap_threshold =  -42 # odd\r\n"
	nesKey    = `SOFTWARE\Nymi\NES`
)

func editEffect(path, key string, before, after *string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_ConfigEdit{ConfigEdit: &actionv1.ConfigEdit{
		Root: host.EndpointRoot, Path: path, Format: actionv1.ConfigFormat_CONFIG_FORMAT_TOML,
		Changes: []*actionv1.ConfigChange{{Key: key, Before: before, After: after}},
	}}}
}

func tapEffect() *actionv1.Effect {
	return editEffect("nbe.toml", "rssi_tap_threshold", new("0"), new("-42"))
}

// twoKeys changes the threshold and the address.
func twoKeys() *actionv1.Effect {
	e := tapEffect()
	e.GetConfigEdit().Changes = append(e.GetConfigEdit().GetChanges(), &actionv1.ConfigChange{
		Key: "agent_url", Before: new(`"ws://127.0.0.1:9120/"`), After: new(`"ws://127.0.0.1:9121/"`),
	})
	return e
}

func copyEffect(from, to, content string, keep ...string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_FileCopy{FileCopy: &actionv1.FileCopy{
		Root: host.EndpointRoot, From: from, To: to, FromSha256: hashOf([]byte(content)), KeepKeys: keep,
	}}}
}

func removeEffect(path, content string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_FileRemove{FileRemove: &actionv1.FileRemove{Root: host.EndpointRoot, Path: path, Sha256: hashOf([]byte(content))}}}
}

func registryEffect(before, after *string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_RegistrySet{RegistrySet: &actionv1.RegistrySet{Key: nesKey, Value: "URL", Before: before, After: after}}}
}

// newChanger is a plugin that has some effects, calls meanwhile, and finds in the end whether all of them hold.
func newChanger(b *bench, meanwhile func(), effects ...*actionv1.Effect) *fakePlugin {
	p := newRestarter()
	p.action.Resources, p.action.Capabilities = []string{everything}, nil
	var plan []*actionv1.PlannedEffect
	for i, e := range effects {
		plan = append(plan, planned(fmt.Sprintf("e%d", i+1), e))
		p.action.Capabilities = append(p.action.Capabilities, rights.OfEffect(e)...)
	}
	p.plan = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) { return ready(plan...), nil }
	p.apply = func(ctx context.Context, _ *actionv1.Start, calls Calls) (*actionv1.Finish, error) {
		for _, e := range plan {
			rec, err := calls.Effect(ctx, &actionv1.EffectRequest{PlanId: e.GetId(), Effect: e.GetEffect()})
			if err != nil {
				return nil, err
			}
			if rec.GetError() != "" {
				return finishApplied(false, rec.GetError()), nil
			}
		}
		meanwhile()
		return finishApplied(true, ""), nil
	}
	p.verify = func(_ context.Context, start *actionv1.Start, _ Calls) (*actionv1.Finish, error) {
		return finishVerdict(b.holding(start.GetEffects(), plan)...), nil
	}
	return p
}

// holding checks that each effect is there.
func (b *bench) holding(records []*actionv1.RecordedEffect, plan []*actionv1.PlannedEffect) []*actionv1.Check {
	checks := []*actionv1.Check{{Name: "done", Expected: fmt.Sprint(len(plan)), Observed: fmt.Sprint(len(records)), Ok: len(records) >= len(plan)}}
	for _, record := range records {
		if record.GetBefore().GetService() != nil {
			continue // the last look of every run sees to it that it runs
		}
		d, err := work{r: b.runner}.begun(record)
		if err != nil {
			b.t.Fatal(err)
		}
		now, err := look(context.Background(), d)
		if err == nil {
			err = d.reached(now)
		}
		checks = append(checks, &actionv1.Check{Name: record.GetPlanId(), Expected: "as wanted", Observed: fmt.Sprint(err), Ok: err == nil})
	}
	return checks
}

func (b *bench) file(path string) string {
	b.t.Helper()
	content, _, err := b.machine.Host().Files.Read(context.Background(), host.EndpointRoot, path, maxKept)
	if errors.Is(err, host.ErrNotExist) {
		return "(none)"
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(content)
}

func (b *bench) wantFile(path, want string) {
	b.t.Helper()
	if got := b.file(path); got != want {
		b.t.Errorf("file %s holds %q, want %q", path, got, want)
	}
}

// value is a registry value with the levels of its key, as text.
func (b *bench) value() string {
	h := b.machine.Host()
	data, err := h.Registry.Get(context.Background(), nesKey, "URL")
	levels, _ := h.Registry.Levels(context.Background(), nesKey)
	if err != nil {
		data = "(none)"
	}
	return fmt.Sprintf("%s below %d levels", data, levels)
}

// TestUndoOfExactKinds: what is the course's own is put back to the byte, what somebody has changed meanwhile is left alone.
func TestUndoOfExactKinds(t *testing.T) {
	template := "rssi_tap_threshold = -50\nagent_url = \"ws://127.0.0.1:1/\"\n"
	for name, tc := range map[string]struct {
		effects   []*actionv1.Effect
		meanwhile func(m *hosttest.Memory)
		want      actionv1.TaskStatus
		outcome   actionv1.UndoOutcome
		// file is what nbe.toml holds in the end, oldConfig when empty; other is what nbe.bak holds, if anything.
		file, other string
		value       string
	}{
		"edit": {effects: []*actionv1.Effect{tapEffect()}, want: rolledBack, outcome: undone},
		"edit of two keys in two effects": {
			effects: []*actionv1.Effect{tapEffect(), editEffect("nbe.toml", "added", nil, new("1")), editEffect("nbe.toml", "rssi_tap_threshold", new("-42"), new("-43"))},
			want:    rolledBack, outcome: undone,
		},
		"edit, another key changed meanwhile": {
			effects: []*actionv1.Effect{tapEffect()}, want: rolledBack, outcome: undone, file: oldConfig + "mine = 1\n",
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.toml", newConfig+"mine = 1\n") },
		},
		"edit, its key changed meanwhile": {
			effects: []*actionv1.Effect{tapEffect()}, want: conflict, outcome: conflicts, file: "rssi_tap_threshold = -99\n",
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.toml", "rssi_tap_threshold = -99\n") },
		},
		"edit of two keys, one of them changed meanwhile": {
			effects: []*actionv1.Effect{twoKeys()}, want: conflict, outcome: conflicts,
			file: strings.Replace(oldConfig, "127.0.0.1:9120", "192.0.2.9:9", 1),
			meanwhile: func(m *hosttest.Memory) {
				m.SetFile(host.EndpointRoot, "nbe.toml", strings.Replace(newConfig, "127.0.0.1:9120", "192.0.2.9:9", 1))
			},
		},
		"edit, put back by somebody meanwhile": {
			effects: []*actionv1.Effect{tapEffect()}, want: rolledBack, outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED,
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.toml", oldConfig) },
		},
		"edit, file removed meanwhile": {
			effects: []*actionv1.Effect{tapEffect()}, want: conflict, outcome: conflicts, file: "(none)",
			meanwhile: func(m *hosttest.Memory) { m.RemoveFile(host.EndpointRoot, "nbe.toml") },
		},
		"edit, file broken meanwhile": {
			effects: []*actionv1.Effect{tapEffect()}, want: conflict, outcome: conflicts, file: "= =",
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.toml", "= =") },
		},
		"copy over a file": {effects: []*actionv1.Effect{copyEffect("template.toml", "nbe.toml", template)}, want: rolledBack, outcome: undone},
		"copy over a file, keeping a key": {
			effects: []*actionv1.Effect{copyEffect("template.toml", "nbe.toml", template, "agent_url")}, want: rolledBack, outcome: undone,
		},
		"copy over a file that is edited after it": {
			effects: []*actionv1.Effect{copyEffect("template.toml", "nbe.toml", template), editEffect("nbe.toml", "rssi_tap_threshold", new("-50"), new("-51"))},
			want:    rolledBack, outcome: undone,
		},
		"copy to a new file": {effects: []*actionv1.Effect{copyEffect("nbe.toml", "nbe.bak", oldConfig)}, want: rolledBack, outcome: undone, other: "(none)"},
		"copy, changed meanwhile": {
			effects: []*actionv1.Effect{copyEffect("nbe.toml", "nbe.bak", oldConfig)}, want: conflict, outcome: conflicts, other: "mine",
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.bak", "mine") },
		},
		"removal": {effects: []*actionv1.Effect{removeEffect("nbe.toml", oldConfig)}, want: rolledBack, outcome: undone},
		"removal, made anew meanwhile": {
			effects: []*actionv1.Effect{removeEffect("nbe.toml", oldConfig)}, want: conflict, outcome: conflicts, file: "mine",
			meanwhile: func(m *hosttest.Memory) { m.SetFile(host.EndpointRoot, "nbe.toml", "mine") },
		},
		"registry value of a new key": {effects: []*actionv1.Effect{registryEffect(nil, new("https://nes/"))}, want: rolledBack, outcome: undone, value: "(none) below 1 levels"},
		"registry value, changed meanwhile": {
			effects: []*actionv1.Effect{registryEffect(nil, new("https://nes/"))}, want: conflict, outcome: conflicts, value: "https://other/ below 3 levels",
			meanwhile: func(m *hosttest.Memory) { m.SetRegistry(nesKey, "URL", "https://other/") },
		},
		"one conflict and one that can be put back": {
			effects: []*actionv1.Effect{tapEffect(), registryEffect(nil, new("https://nes/"))}, want: conflict, outcome: conflicts, value: "https://other/ below 3 levels",
			meanwhile: func(m *hosttest.Memory) { m.SetRegistry(nesKey, "URL", "https://other/") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.machine.SetFile(host.EndpointRoot, "template.toml", template)
				p := newChanger(b, func() {
					if tc.meanwhile != nil {
						tc.meanwhile(b.machine)
					}
				}, tc.effects...)
				p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
					return finishVerdict(&actionv1.Check{Name: "helps", Expected: "yes", Observed: "no"}), nil
				}
				b.plugins["restart"] = p
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, tc.want)
				if got := undoOf(res); got != tc.outcome {
					t.Errorf("undo is %v, want %s", res.GetUndone(), tc.outcome)
				}
				if tc.file == "" {
					tc.file = oldConfig
				}
				b.wantFile("nbe.toml", tc.file)
				if tc.other != "" {
					b.wantFile("nbe.bak", tc.other)
				}
				if tc.value != "" && b.value() != tc.value {
					t.Errorf("registry value is %s, want %s", b.value(), tc.value)
				}
			})
		})
	}
}

// TestEffectsAreDoneOnlyWhereTheyWerePlannedFor: compare and swap. What is not as in the plan is left as it is.
func TestEffectsAreDoneOnlyWhereTheyWerePlannedFor(t *testing.T) {
	for name, tc := range map[string]struct {
		effect *actionv1.Effect
		reason string
	}{
		"edit of another value":     {editEffect("nbe.toml", "rssi_tap_threshold", new("-7"), new("-42")), "rssi_tap_threshold"},
		"edit of a file not there":  {editEffect("other.toml", "a", nil, new("1")), "does not exist"},
		"edit of a malformed file":  {editEffect("bad.toml", "a", nil, new("1")), "line 2"},
		"edit of a long value":      {editEffect("long.toml", "a", new(`"x"`), new("1")), "line 1: the value has"},
		"copy of another source":    {copyEffect("nbe.toml", "nbe.bak", "something else"), "not what it was"},
		"copy of nothing":           {copyEffect("none.toml", "nbe.bak", "something else"), "not what it was"},
		"removal of another file":   {removeEffect("nbe.toml", "something else"), "not what it was"},
		"registry, another value":   {registryEffect(new("https://x/"), new("https://nes/")), "not what it was"},
		"start of the machine late": {rebootEffect("boot-0"), "since the plan"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.machine.SetFile(host.EndpointRoot, "long.toml", "a = \""+strings.Repeat("x", maxValue+1)+"\"\n")
				b.machine.SetFile(host.EndpointRoot, "bad.toml", "a = 1\nb = = 2\n")
				p := newChanger(b, func() {}, tc.effect)
				p.action.MaxDuration = durationpb.New(time.Hour)
				b.plugins["restart"] = p
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want %q in it", res.GetReason(), tc.reason)
				}
				if calls := b.machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
				b.wantFile("nbe.toml", oldConfig)
			})
		})
	}
}

// TestUndoStartsServicesAgainThatRunWithTheChange: a service that was started with a change does not go on with it when the change is
// put back, in whatever order the two were done.
func TestUndoStartsServicesAgainThatRunWithTheChange(t *testing.T) {
	for name, effects := range map[string][]*actionv1.Effect{
		"stop, change, start": {stopEffect(service), tapEffect(), startEffect(service)},
		"change, stop, start": {tapEffect(), stopEffect(service), startEffect(service)},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				var startedWith []string
				b.machine.Interpose(func(call string) error {
					if strings.HasPrefix(call, "start") {
						startedWith = append(startedWith, b.file("nbe.toml"))
					}
					return nil
				})
				p := newChanger(b, func() {}, effects...)
				p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
					return finishVerdict(&actionv1.Check{Name: "helps", Expected: "yes", Observed: "no"}), nil
				}
				b.plugins["restart"] = p
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				b.wantFile("nbe.toml", oldConfig)
				b.wantRunning()
				if len(startedWith) != 2 || startedWith[1] != oldConfig {
					t.Errorf("the service was started with %q, want it to be started once more with the file as before", startedWith)
				}
			})
		})
	}
}

// TestObligationOfAFile: a file that cannot be put back at once is put back later, over a restart of the agent.
func TestObligationOfAFile(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
		p := newChanger(b, func() {
			b.machine.Interpose(func(string) error { return errors.New("the disk is full") })
		}, tapEffect())
		p.verify = func(context.Context, *actionv1.Start, Calls) (*actionv1.Finish, error) {
			return finishVerdict(&actionv1.Check{Name: "helps", Expected: "yes", Observed: "no"}), nil
		}
		b.plugins["restart"] = p
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, rollbackFailed)
		if !strings.Contains(res.GetNextStep(), "keeps trying") {
			t.Errorf("next step is %q, want it to say that the agent keeps trying", res.GetNextStep())
		}
		pass(time.Minute)
		b.restart()
		b.machine.Interpose(nil)
		pass(10 * time.Minute)
		b.wantFile("nbe.toml", oldConfig)
		if left, _ := b.journal.Obligations(); len(left) > 0 {
			t.Errorf("obligations are %v, want none when the file is back", left)
		}
	})
}

func rebootEffect(boot string) *actionv1.Effect {
	return &actionv1.Effect{Effect: &actionv1.Effect_Reboot{Reboot: &actionv1.Reboot{
		Delay: durationpb.New(3 * time.Minute), BootId: boot, BackWithin: durationpb.New(15 * time.Minute), Message: "restart",
	}}}
}

// TestStartOfTheMachine: the task goes on at Verify in the process after it, and what it had done before stands.
func TestStartOfTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
		p := newChanger(b, func() {}, tapEffect(), rebootEffect("boot-1"))
		p.action.MaxDuration = durationpb.New(time.Hour)
		b.plugins["restart"] = p
		b.start()
		up := make(chan struct{})
		b.machine.OnReboot(func() {
			if err := b.stop(); err != nil {
				t.Error(err)
			}
		}, func() {
			b.boot = "boot-2"
			b.start()
			close(up)
		})
		task := b.task("j", "restart")
		b.dispatch(task)
		b.permit(task)
		<-up
		res := b.result(task)
		b.wantStatus(res, succeeded)
		b.wantFile("nbe.toml", newConfig)
		if !res.GetRecovered() || res.GetRuns() != 1 || p.begun(actionv1.Phase_PHASE_APPLY) != 1 {
			t.Errorf("result is %v, want one run that was taken up after the start", res)
		}
		if boot := res.GetEffects()[1]; boot.GetError() != "" || boot.GetAfter().GetBoot().GetBootId() != "boot-2" {
			t.Errorf("the record of the start is %v, want the boot after it and no error", boot)
		}
		if err := b.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMachineThatIsNotStartedAgain: it is told as a failure, by the process that asked for it or by one after it.
func TestMachineThatIsNotStartedAgain(t *testing.T) {
	for name, restart := range map[string]bool{"same process": false, "another process": true} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SetFile(host.EndpointRoot, "nbe.toml", oldConfig)
				b.host.System = deafSystem{b.host.System}
				b.restart()
				p := newChanger(b, func() {}, tapEffect(), rebootEffect("boot-1"))
				p.action.MaxDuration = durationpb.New(time.Hour)
				b.plugins["restart"] = p
				begun := time.Now()
				task := b.task("j", "restart")
				b.dispatch(task)
				b.permit(task)
				if restart {
					pass(time.Minute)
					b.restart()
				}
				res := b.result(task)
				b.wantStatus(res, failedStatus)
				if !strings.Contains(res.GetReason(), "not started again") {
					t.Errorf("reason is %q, want that the machine was not started again", res.GetReason())
				}
				if took := time.Since(begun); took < 18*time.Minute || took > 20*time.Minute {
					t.Errorf("it took %s, want the delay and the time to be back, 18m", took)
				}
				b.wantFile("nbe.toml", oldConfig)
			})
		})
	}
}

// deafSystem takes orders to start the machine again and does nothing.
type deafSystem struct{ host.System }

func (deafSystem) Reboot(context.Context, time.Duration, string) error { return nil }

// TestPlansThatNoMachineMayHave lists what is wrong with an effect whatever the machine is like.
func TestPlansThatNoMachineMayHave(t *testing.T) {
	for name, tc := range map[string]struct {
		effects []*actionv1.Effect
		arrange func(a *actionv1.Action)
		reason  string
	}{
		"start of the machine before the end": {effects: []*actionv1.Effect{rebootEffect("boot-1"), tapEffect()}, reason: "not the last"},
		"start of the machine beside others": {
			effects: []*actionv1.Effect{rebootEffect("boot-1")}, reason: "does not claim",
			arrange: func(a *actionv1.Action) { a.Resources = []string{"ble"} },
		},
		"start of the machine of any boot": {effects: []*actionv1.Effect{rebootEffect("")}, reason: "which boot"},
		"start of the machine in no time": {
			effects: []*actionv1.Effect{rebootEffect("boot-1")}, reason: "max_duration",
			arrange: func(a *actionv1.Action) { a.MaxDuration = durationpb.New(10 * time.Minute) },
		},
		"edit of nothing":         {effects: []*actionv1.Effect{{Effect: &actionv1.Effect_ConfigEdit{ConfigEdit: &actionv1.ConfigEdit{Root: "endpoint", Path: "a"}}}}, reason: "0 keys"},
		"edit with a long value":  {effects: []*actionv1.Effect{editEffect("a", "k", nil, new(strings.Repeat("1", maxValue+1)))}, reason: "at most"},
		"edit out of the folder":  {effects: []*actionv1.Effect{editEffect("../a", "k", nil, new("1"))}, reason: "outside"},
		"copy without a hash":     {effects: []*actionv1.Effect{{Effect: &actionv1.Effect_FileCopy{FileCopy: &actionv1.FileCopy{Root: "endpoint", From: "a", To: "b"}}}}, reason: "which hash"},
		"copy out of the folder":  {effects: []*actionv1.Effect{copyEffect("../a", "b", "")}, reason: "outside"},
		"registry value, no name": {effects: []*actionv1.Effect{{Effect: &actionv1.Effect_RegistrySet{RegistrySet: &actionv1.RegistrySet{Key: "k"}}}}, reason: "no value"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				p := newChanger(b, func() {}, tc.effects...)
				p.action.MaxDuration = durationpb.New(time.Hour)
				if tc.arrange != nil {
					tc.arrange(p.action)
				}
				b.plugins["restart"] = p
				res := b.do(b.task("j", "restart"))
				b.wantStatus(res, failedStatus)
				if !strings.Contains(res.GetReason(), tc.reason) {
					t.Errorf("reason is %q, want %q in it", res.GetReason(), tc.reason)
				}
				if calls := b.machine.Calls(); len(calls) > 0 {
					t.Errorf("the machine was told to %v, want nothing", calls)
				}
			})
		})
	}
}
