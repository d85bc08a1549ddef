package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	active = actionv1.UserActivity_USER_ACTIVITY_ACTIVE
	idling = actionv1.UserActivity_USER_ACTIVITY_IDLE
	away   = actionv1.UserActivity_USER_ACTIVITY_AWAY
)

// considerate makes a task that waits while somebody is active.
func (b *bench) considerate(job string) *agentv1.Task {
	task := b.task(job, "restart")
	task.WaitWhileInUse = true
	return task
}

// TestWhoIsDisturbed: who is signed in, and whether a task that waits for a quiet moment starts at once.
func TestWhoIsDisturbed(t *testing.T) {
	for name, tc := range map[string]struct {
		arrange func(b *bench, task *agentv1.Task)
		// waits is what the server is told when the permit lapses; empty when the task starts.
		waits string
	}{
		"nobody": {func(*bench, *agentv1.Task) {}, ""},
		"active": {func(b *bench, _ *agentv1.Task) { b.machine.SignIn("alice", active) }, "in use by alice, active"},
		"idle":   {func(b *bench, _ *agentv1.Task) { b.machine.SignIn("alice", idling) }, ""},
		"away":   {func(b *bench, _ *agentv1.Task) { b.machine.SignIn("alice", away) }, ""},
		"one of several": {func(b *bench, _ *agentv1.Task) {
			b.machine.SignIn("alice", away)
			b.machine.SignIn("zoe", active)
		}, "in use by zoe, active"},
		"several": {func(b *bench, _ *agentv1.Task) {
			for _, user := range []string{"alice", "bob", "zoe"} {
				b.machine.SignIn(user, active)
			}
		}, "in use by alice and 2 more, active"},
		"nobody can tell":           {func(b *bench, _ *agentv1.Task) { b.machine.HideUsers(errors.New("logind does not answer")) }, "cannot tell whether somebody is signed in: logind does not answer"},
		"the host panics":           {func(b *bench, _ *agentv1.Task) { b.host.Users = nil }, "cannot tell whether somebody is signed in: panic"},
		"there is nobody to ask":    {func(b *bench, _ *agentv1.Task) { b.machine.HideUsers(fmt.Errorf("here: %w", host.ErrNotSupported)) }, ""},
		"the requester goes on":     {func(b *bench, t *agentv1.Task) { b.machine.SignIn("alice", active); t.WaitWhileInUse = false }, ""},
		"a dry run disturbs nobody": {func(b *bench, t *agentv1.Task) { b.machine.SignIn("alice", active); t.DryRun = true }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				task := b.considerate("j")
				tc.arrange(b, task)
				b.dispatchPermitted(task)
				if tc.waits == "" {
					b.wantStatus(b.result(task), succeeded)
					return
				}
				pass(30 * time.Minute)
				want := "IN_USE j/1 " + tc.waits
				if len(b.server.requests) != 1 || !strings.HasPrefix(b.server.requests[0], want) || len(b.server.started) > 0 {
					t.Errorf("permit requests %q, started %q; want one request %q and no start", b.server.requests, b.server.started, want)
				}
			})
		})
	}
}

// TestTheQuietMoment: the task starts a few seconds after the person has become idle, on the permit that it has, and its result
// says who was signed in.
func TestTheQuietMoment(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SignIn("alice", active)
		task := b.considerate("j")
		b.dispatchPermitted(task)
		pass(20 * time.Second)
		if len(b.server.started) > 0 {
			t.Fatal("the task was started while somebody is active")
		}
		b.machine.SignIn("alice", idling)
		quiet := time.Now()
		b.server.until(time.Minute, func() bool { return len(b.server.started) > 0 })
		if waited := time.Since(quiet); waited > lookEvery {
			t.Errorf("it started %v after the person had become idle, want at most %v: quiet moments are short", waited, lookEvery)
		}
		res := b.result(task)
		b.wantStatus(res, succeeded)
		if len(b.server.requests) != 0 {
			t.Errorf("permit requests are %q, want none: the permit was still good", b.server.requests)
		}
		if want := []string{"IN_USE j/1 in use by alice, active"}; !slices.Equal(b.server.blocked, want) {
			t.Errorf("the server was told %q, want %q at once and once: whoever waits wants to know why", b.server.blocked, want)
		}
		if s := res.GetUserSessions(); len(s) != 1 || s[0].GetUser() != "alice" || s[0].GetActivity() != idling {
			t.Errorf("user sessions of the result are %v, want alice, idle", s)
		}
	})
}

// TestNobodyIsDisturbedAfterTheLock: a look that was made while the task waited for its lock does not count.
func TestNobodyIsDisturbedAfterTheLock(t *testing.T) {
	inBench(t, func(b *bench) {
		b.permit(b.block(20*time.Second, "ble"))
		synctest.Wait()
		first := b.considerate("first")
		first.Action = "look"
		b.plugins["look"] = newBlocker("look", 100*time.Millisecond, "other")
		task := b.considerate("j")
		b.dispatchPermitted(task)
		pass(19*time.Second + 500*time.Millisecond)
		b.dispatchPermitted(first) // it has the machine looked at
		b.result(first)
		b.machine.SignIn("alice", active)
		pass(5 * time.Second)
		if slices.Contains(b.server.started, "j/1") {
			t.Error("the task was started on a look from before its lock was free")
		}
	})
}

// TestAnOldLookDoesNotCount: a task whose permit lapsed while somebody was active is not started by the next permit on a look that
// was made for another task in between.
func TestAnOldLookDoesNotCount(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SignIn("alice", active)
		task, other := b.considerate("j"), b.considerate("other")
		other.Action = "look"
		b.plugins["look"] = newBlocker("look", time.Second, "other")
		b.dispatchPermitted(task)
		b.server.until(time.Minute, func() bool { return len(b.server.requests) > 0 })
		b.machine.SignIn("alice", idling)
		b.dispatchPermitted(other)
		b.result(other)
		b.machine.SignIn("alice", active)
		pass(10 * time.Second)
		b.permit(task)
		pass(10 * time.Second)
		if slices.Contains(b.server.started, "j/1") {
			t.Error("the task was started on a look that is ten seconds old: somebody is at work again")
		}
	})
}

// TestWhoWaitsForQuietHoldsNoLock: another task with the same lock runs meanwhile.
func TestWhoWaitsForQuietHoldsNoLock(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SignIn("alice", active)
		task, other := b.considerate("j"), b.task("other", "restart")
		b.dispatchPermitted(task)
		b.dispatchPermitted(other)
		begun := time.Now()
		b.wantStatus(b.result(other), succeeded)
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("the other task ended after %v: it waited for a person", took)
		}
		b.runner.Cancel(task.GetKey(), "enough")
		b.wantStatus(b.result(task), cancelled)
	})
}

// TestHoldOfWhoWaitsForQuiet: the server's word counts while a person is waited for too.
func TestHoldOfWhoWaitsForQuiet(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SignIn("alice", active)
		task := b.considerate("j")
		b.dispatchPermitted(task)
		pass(5 * time.Second)
		b.runner.Hold(task.GetKey(), "paused")
		b.machine.SignIn("alice", idling)
		pass(10 * time.Minute)
		if want := []string{"HELD j/1 "}; !slices.Equal(b.server.requests, want) || len(b.server.started) > 0 {
			t.Errorf("permit requests %q, started %q; want %q and no start", b.server.requests, b.server.started, want)
		}
	})
}

// countedUsers counts the looks at a machine, and makes each last.
type countedUsers struct {
	host.Users
	looks *int
	lasts time.Duration
}

func (u countedUsers) Sessions(ctx context.Context) ([]*actionv1.UserSession, error) {
	*u.looks++
	if err := sleep(ctx, u.lasts); err != nil {
		return nil, err
	}
	return u.Users.Sessions(ctx)
}

// TestLooksAreBounded: while several tasks wait for hours the machine is looked at every few seconds, once for all of them, and
// not at all when none has a permit; a look that hangs is given up and keeps nobody else.
func TestLooksAreBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		lasts       time.Duration
		least, most int
		says        string
	}{
		"quick":      {0, 95, 105, "in use by alice, active"},
		"slow":       {2 * time.Second, 55, 65, "in use by alice, active"},
		"never ends": {time.Hour, 45, 55, "cannot tell whether somebody is signed in"},
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				b.machine.SignIn("alice", active)
				looks := 0
				b.host.Users = countedUsers{b.host.Users, &looks, tc.lasts}
				for _, job := range []string{"a", "b", "c"} {
					b.handOver(&agentv1.Dispatch{Task: b.considerate(job), PermitValidFor: durationpb.New(maxPermit)})
				}
				pass(maxPermit)
				synctest.Wait()
				if looks < tc.least || looks > tc.most {
					t.Errorf("%d looks in %v, want %d to %d", looks, maxPermit, tc.least, tc.most)
				}
				if len(b.server.requests) != 3 || !strings.Contains(b.server.requests[0], tc.says) {
					t.Errorf("permit requests are %q, want each task's, with %q", b.server.requests, tc.says)
				}
				before := looks
				pass(20 * time.Minute)
				if looks > before+1 {
					t.Errorf("%d looks while no task has a permit, want none", looks-before)
				}
			})
		})
	}
}

// TestResultSaysWhoWasSignedIn, of a dry run too, and that nobody could tell.
func TestResultSaysWhoWasSignedIn(t *testing.T) {
	inBench(t, func(b *bench) {
		b.machine.SignIn("alice", active)
		dry := b.task("dry", "restart")
		dry.DryRun = true
		if s := b.do(dry).GetUserSessions(); len(s) != 1 || s[0].GetUser() != "alice" || s[0].GetActivity() != active {
			t.Errorf("user sessions of the dry run are %v, want alice, active: whoever decides about the real run wants to know", s)
		}
		b.machine.HideUsers(errors.New("logind does not answer"))
		res := b.do(b.task("j", "restart"))
		b.wantStatus(res, succeeded)
		if len(res.GetUserSessions()) != 0 || !slices.ContainsFunc(res.GetEvidence(), func(e *actionv1.Evidence) bool {
			return e.GetName() == "signed in" && strings.Contains(e.GetValue(), "logind does not answer")
		}) {
			t.Errorf("sessions %v, evidence %v; want none, and why", res.GetUserSessions(), res.GetEvidence())
		}
	})
}
