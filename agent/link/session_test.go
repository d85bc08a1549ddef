package link

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/identity/identitytest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

func key(job string) *agentv1.TaskKey { return &agentv1.TaskKey{JobId: job, Attempt: 1} }

func TestSessionHandsOnWhatEachSideSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		runner.open = []*agentv1.OpenTask{{Key: key("j-0"), State: agentv1.TaskState_TASK_STATE_STARTED}}
		l := startLink(t, f, runner)
		c := <-f.sessions
		hello := c.welcome(t)
		want := &agentv1.Hello{
			ProtocolVersion: 1, JournalId: "journal-1", Facts: &agentv1.Facts{Hostname: "press-1"},
			PluginSha256: []string{"aa", "bb"}, OpenTasks: runner.open, JournalSequence: 7,
			SealingKey: hello.GetSealingKey(), SealingKeyProof: hello.GetSealingKeyProof(),
		}
		if !proto.Equal(hello, want) {
			t.Errorf("hello is %v, want %v", hello, want)
		}
		certificate, err := l.config.Identity.TLS().GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sealed.CheckSignature(certificate.Leaf.PublicKey, terminalID, hello.GetSealingKey(), hello.GetSealingKeyProof()); err != nil {
			t.Errorf("the sealing key of the hello is not proved: %v", err)
		}
		runner.want(t, "started")
		if runner.name != "press-1" || runner.epoch != 3 || !runner.at.Equal(time.Now()) {
			t.Errorf("the runner learnt terminal %q, epoch %d and time %v, want what the welcome said: names reach actions, and expiry is judged by the server's clock", runner.name, runner.epoch, runner.at)
		}

		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{Task: &agentv1.Task{Key: key("j-1")}}}})
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Permit{Permit: &agentv1.Permit{Key: key("j-1")}}})
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Hold{Hold: &agentv1.Hold{Key: key("j-1"), Reason: "paused"}}})
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Cancel{Cancel: &agentv1.Cancel{Key: key("j-1"), Reason: "enough"}}})
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ResultAck{ResultAck: &agentv1.ResultAck{Key: key("j-1")}}})
		c.send(t, &agentv1.ConnectResponse{}) // of a newer server
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{
			Task: &agentv1.Task{Key: key("j-4")}, PermitValidFor: durationpb.New(30 * time.Second),
		}}})
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_PluginsRequest{PluginsRequest: &agentv1.PluginsRequest{Sha256: []string{"bb", "cc"}}}})
		runner.want(t, "dispatch j-1", "permit j-1", "hold j-1 paused", "cancel j-1 enough", "acknowledge j-1", "dispatch j-4 permitted for 30s")
		if got := c.receive(t).GetPlugins().GetPlugins(); len(got) != 1 || got[0].GetManifest().GetName() != "certs" {
			t.Errorf("plugins report is %v, want the one asked for that is pinned here", got)
		}

		l.Accepted(key("j-2"))
		l.Started(key("j-2"), time.Now())
		l.Progress(key("j-2"), "apply", "stopping")
		l.PermitRequest(key("j-3"), agentv1.HoldReason_HOLD_REASON_LOCK, "ble")
		l.Blocked(key("j-3"), agentv1.HoldReason_HOLD_REASON_IN_USE, "in use by alice, active")
		l.Result(&agentv1.Result{Key: key("j-2")})
		l.SetFacts(&agentv1.Facts{Hostname: "press-2"})
		if got := c.receive(t).GetAccepted().GetKey().GetJobId(); got != "j-2" {
			t.Errorf("accepted %q, want j-2", got)
		}
		if got := c.receive(t).GetStarted(); !got.GetStarted().AsTime().Equal(time.Now()) || got.GetJournalSequence() != 7 {
			t.Errorf("started at %v with the journal's sequence %d, want now and 7", got.GetStarted().AsTime(), got.GetJournalSequence())
		}
		if got := c.receive(t).GetProgress(); got.GetPhase() != "apply" || got.GetMessage() != "stopping" {
			t.Errorf("progress is %v, want what was reported", got)
		}
		if got := c.receive(t).GetPermitRequest(); got.GetWaitedFor() != "ble" || got.GetReason() != agentv1.HoldReason_HOLD_REASON_LOCK {
			t.Errorf("permit request is %v, want why the permit was not used: whoever waits is shown it", got)
		}
		if got := c.receive(t).GetBlocked(); got.GetWaitedFor() != "in use by alice, active" || got.GetReason() != agentv1.HoldReason_HOLD_REASON_IN_USE {
			t.Errorf("blocked is %v, want why the task has not started", got)
		}
		if got := c.receive(t).GetResult(); got.GetKey().GetJobId() != "j-2" || got.GetJournalSequence() != 7 {
			t.Errorf("result of %q with the journal's sequence %d, want j-2 and 7", got.GetKey().GetJobId(), got.GetJournalSequence())
		}
		if got := c.receive(t).GetFacts().GetHostname(); got != "press-2" {
			t.Errorf("facts of %q, want the new ones", got)
		}
	})
}

func TestResultsAreSentUntilAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		runner.open = []*agentv1.OpenTask{
			{Key: key("j-1"), State: agentv1.TaskState_TASK_STATE_ACCEPTED},
			{Key: key("j-2"), State: agentv1.TaskState_TASK_STATE_FINISHED},
		}
		runner.unsent = []*agentv1.Result{{Key: key("j-2"), Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED}}}
		startLink(t, f, runner)
		for range 3 {
			c := <-f.sessions
			c.welcome(t)
			if got := c.receive(t).GetAccepted().GetKey().GetJobId(); got != "j-1" {
				t.Errorf("accepted %q, want j-1: the server may have missed it", got)
			}
			if got := c.receive(t).GetResult().GetKey().GetJobId(); got != "j-2" {
				t.Errorf("result of %q, want j-2: it was not acknowledged", got)
			}
			c.over <- status.Error(codes.Unavailable, "restarting")
			runner.want(t, "started", "ended")
		}
		c := <-f.sessions
		c.welcome(t)
		c.receive(t)
		c.receive(t)
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ResultAck{ResultAck: &agentv1.ResultAck{Key: key("j-2")}}})
		runner.want(t, "started", "acknowledge j-2")
		c.over <- nil
		c = <-f.sessions
		c.welcome(t)
		c.receive(t)
		synctest.Wait()
		if len(runner.unsent) != 0 {
			t.Error("the acknowledged result is still to be sent")
		}
	})
}

// TestLeaseNewsIsToldUntilAcknowledged at each session, after the results, and at once during one.
func TestLeaseNewsIsToldUntilAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		runner.unsent = []*agentv1.Result{{Key: key("j-1"), Result: &actionv1.TaskResult{}}}
		runner.news = []*agentv1.LeaseNews{{Key: key("j-1"), Lease: &actionv1.LeaseState{Id: "l-1", Ended: true}}}
		l := startLink(t, f, runner)
		for range 2 {
			c := <-f.sessions
			c.welcome(t)
			runner.want(t, "started")
			if got := c.receive(t).GetResult().GetKey().GetJobId(); got != "j-1" {
				t.Errorf("the session began with the result of %q, want j-1's before the news of its lease", got)
			}
			if got := c.receive(t).GetLeaseNews().GetLease().GetId(); got != "l-1" {
				t.Errorf("then came news of lease %q, want l-1: it was not acknowledged", got)
			}
			c.over <- status.Error(codes.Unavailable, "cut")
			runner.want(t, "ended")
		}
		c := <-f.sessions
		c.welcome(t)
		runner.want(t, "started")
		c.receive(t)
		c.receive(t)
		ack := &agentv1.LeaseNewsAck{Id: "l-1", Ended: true}
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_LeaseNewsAck{LeaseNewsAck: ack}})
		runner.want(t, "lease news of l-1 acknowledged, ended true")
		l.LeaseNews(&agentv1.LeaseNews{Key: key("j-2"), Lease: &actionv1.LeaseState{Id: "l-2"}})
		if got := c.receive(t).GetLeaseNews().GetLease().GetId(); got != "l-2" {
			t.Errorf("news of lease %q, want l-2's at once", got)
		}
	})
}

// TestQuestionsAreAskedAtEachSession while they are open, and what people say is handed on.
func TestQuestionsAreAskedAtEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		l := startLink(t, f, runner)
		q := &agentv1.Question{Key: key("j-1"), PlanId: "ask", Prompt: "is the band on its charger?"}
		l.Question(q) // nobody hears it: there is no session yet
		runner.setQuestions(q)
		for range 2 {
			c := <-f.sessions
			c.welcome(t)
			runner.want(t, "started")
			if got := c.receive(t).GetQuestion(); !proto.Equal(got, q) {
				t.Errorf("the session began with the question %v, want %v: a person must hear it however often the line is cut", got, q)
			}
			c.over <- status.Error(codes.Unavailable, "cut")
			runner.want(t, "ended")
		}
		c := <-f.sessions
		c.welcome(t)
		runner.want(t, "started")
		c.receive(t)
		answer := &agentv1.Answer{Key: key("j-1"), PlanId: "ask", Confirmed: true, By: "ada"}
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Answer{Answer: answer}})
		runner.want(t, "answer j-1 ask true by ada")
		runner.setQuestions()
		l.Question(&agentv1.Question{Key: key("j-2")})
		if got := c.receive(t).GetQuestion().GetKey().GetJobId(); got != "j-2" {
			t.Errorf("question of %q, want j-2's at once", got)
		}
	})
}

// TestNoSessionWithoutTheJournal: a Hello without the open tasks would tell the server that they were never started.
func TestNoSessionWithoutTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		runner.open = []*agentv1.OpenTask{{Key: key("j-1"), State: agentv1.TaskState_TASK_STATE_STARTED}}
		runner.setUnreadable(errors.New("journal: is corrupt"))
		startLink(t, f, runner)
		time.Sleep(10 * time.Minute)
		if len(f.sessions) != 0 {
			t.Fatal("a session was opened by an agent that cannot read what it has started")
		}
		runner.setUnreadable(nil)
		if open := (<-f.sessions).welcome(t).GetOpenTasks(); len(open) != 1 {
			t.Errorf("the server is told of %v, want the task that has started", open)
		}
	})
}

// TestLastingTroubleIsLoggedOnce, and again when it becomes another or comes back after a session.
func TestLastingTroubleIsLoggedOnce(t *testing.T) {
	var log strings.Builder
	l := &Link{config: Config{Identity: enrolled(t, identitytest.New(t)), Log: slog.New(slog.NewTextHandler(&log, nil))}}
	away, busy := ending{err: errors.New("nothing listens there")}, ending{err: errors.New("busy")}
	lost := ending{err: errors.New("cut"), lasted: time.Minute}
	for _, step := range []struct {
		end    ending
		logged bool
	}{{away, true}, {away, false}, {away, false}, {busy, true}, {away, true}, {lost, true}, {away, true}, {away, false}} {
		log.Reset()
		l.logEnding(step.end, time.Second)
		if logged := log.Len() > 0; logged != step.logged {
			t.Errorf("%v is logged: %v, want %v", step.end.err, logged, step.logged)
		}
	}
}

func TestPausesBetweenSessions(t *testing.T) {
	for name, tc := range map[string]struct {
		end         func(t *testing.T, c *conversation)
		least, most time.Duration
	}{
		"cut line": {
			func(_ *testing.T, c *conversation) { c.over <- status.Error(codes.Unavailable, "cut") }, 0, time.Second,
		},
		"goodbye": {
			func(t *testing.T, c *conversation) { goodbye(t, c, 20*time.Second, false) }, 20 * time.Second, 30 * time.Second,
		},
		"final goodbye": {
			func(t *testing.T, c *conversation) { goodbye(t, c, 0, true) }, 15 * time.Minute, 30 * time.Minute,
		},
		"decommissioned": {
			func(_ *testing.T, c *conversation) {
				c.over <- status.Error(codes.PermissionDenied, "terminal is decommissioned")
			}, 15 * time.Minute, 30 * time.Minute,
		},
		"certificate refused": {
			func(_ *testing.T, c *conversation) {
				c.over <- status.Error(codes.Unavailable, "remote error: tls: expired certificate")
			}, 0, time.Second,
		},
		"taken over": {
			func(_ *testing.T, c *conversation) {
				c.over <- status.Error(codes.Aborted, "another session took over")
			},
			30 * time.Second, time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, runner := newFleet(t), newFakeRunner()
				startLink(t, f, runner)
				c := <-f.sessions
				c.welcome(t)
				runner.want(t, "started")
				ended := time.Now()
				tc.end(t, c)
				runner.want(t, "ended")
				<-f.sessions
				if wait := time.Since(ended); wait < tc.least || wait > tc.most {
					t.Errorf("came back after %v, want between %v and %v", wait, tc.least, tc.most)
				}
			})
		})
	}
}

func goodbye(t *testing.T, c *conversation, after time.Duration, final bool) {
	t.Helper()
	c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Goodbye{Goodbye: &agentv1.Goodbye{
		Reason: "because", RetryAfter: durationpb.New(after), Final: final,
	}}})
}

func TestSilentServerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		begun := time.Now()
		startLink(t, f, runner)
		c := <-f.sessions
		c.receive(t)
		<-f.sessions
		if waited := time.Since(begun); waited < 30*time.Second || waited > 35*time.Second {
			t.Errorf("left the silent server after %v, want about 30s: a server that hangs must not hold agents", waited)
		}
	})
}

func TestTaskThatCannotBeJournalledEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		runner.refuse = errors.New("disk full")
		startLink(t, f, runner)
		c := <-f.sessions
		c.welcome(t)
		c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{Task: &agentv1.Task{Key: key("j-1")}}}})
		runner.want(t, "started", "dispatch j-1", "ended")
		<-f.sessions
	})
}

func TestFullOutbox(t *testing.T) {
	var cause error
	box := newOutbox(func(err error) { cause = err })
	progress := &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Progress{Progress: &agentv1.TaskProgress{}}}
	for range outboxSize + 10 {
		box.put(progress)
	}
	if cause != nil {
		t.Errorf("progress cut the session (%v), want it dropped: it may be lost", cause)
	}
	box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{}}})
	if !errors.Is(cause, errSlow) {
		t.Errorf("cut with %v, want %v: a result must not be lost silently", cause, errSlow)
	}
}

func TestGrow(t *testing.T) {
	for attempt, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		if got := grow(time.Second, time.Minute, attempt); got != want*time.Second {
			t.Errorf("attempt %d: up to %v, want %v", attempt, got, want*time.Second)
		}
	}
	if got := grow(time.Second, time.Minute, 1<<30); got != time.Minute {
		t.Errorf("attempt 2^30: %v, want the cap: a machine may be cut off for years", got)
	}
}

// plain is a message whose handling the fake runner shows.
func plain(reason string) *agentv1.ConnectResponse {
	return &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Cancel{Cancel: &agentv1.Cancel{Key: key("j-9"), Reason: reason}}}
}

func TestMessageOverTheLimitEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		l := startLink(t, f, runner)
		c := <-f.sessions
		c.welcome(t)
		runner.want(t, "started")
		synctest.Wait()
		l.Result(&agentv1.Result{Key: key("j-1"), Result: &actionv1.TaskResult{Output: strings.Repeat("x", maxMessage)}})
		runner.want(t, "ended")
		(<-f.sessions).welcome(t)
		runner.want(t, "started")
	})
}
