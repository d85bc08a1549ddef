package sessions

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

func TestASessionOpensTalksAndEnds(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		if r.registry.Online("T-0001") || r.registry.Send("T-0001", 1, permit()) {
			t.Error("a terminal without session is online")
		}
		p := r.connected()
		expectEvents(t, r.world.take(), "plugins of T-0001 [aa], facts of T-0001 1 services=0, connected T-0001 1 open=0 journal=j")
		if !r.registry.Online("T-0001") || !r.registry.Send("T-0001", 1, permit()) {
			t.Error("a terminal with a session is not online")
		}
		if (<-p.toAgent).GetPermit() == nil {
			t.Error("what was sent did not arrive")
		}
		p.hangUp(t)
		synctest.Wait()
		expectEvents(t, r.world.take(), "disconnected T-0001 1, closed T-0001")
		if r.registry.Online("T-0001") {
			t.Error("a terminal whose session has ended is online")
		}
	})
}

func TestMessagesReachTheirPlace(t *testing.T) {
	key := &agentv1.TaskKey{JobId: job, Attempt: 1}
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		r.world.take()
		for _, m := range []*agentv1.ConnectRequest{
			{Message: &agentv1.ConnectRequest_Accepted{Accepted: &agentv1.Accepted{Key: key}}},
			{Message: &agentv1.ConnectRequest_PermitRequest{PermitRequest: &agentv1.PermitRequest{Key: key, WaitedFor: "ble"}}},
			{Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{Key: key}}},
			{Message: &agentv1.ConnectRequest_Progress{Progress: &agentv1.TaskProgress{Key: key, Phase: "plan"}}},
			question(func(*agentv1.Question) {}),
			{Message: &agentv1.ConnectRequest_Ask{Ask: &agentv1.Ask{Id: 3, Key: key}}},
			{Message: &agentv1.ConnectRequest_ProbeVerdict{ProbeVerdict: &agentv1.ProbeVerdict{Id: 4}}},
			{Message: &agentv1.ConnectRequest_Facts{Facts: &agentv1.Facts{}}},
			{Message: &agentv1.ConnectRequest_Plugins{Plugins: &agentv1.PluginsReport{Plugins: []*agentv1.Plugin{{}}}}},
			{},
			result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED),
		} {
			p.toServer <- m
		}
		synctest.Wait()
		expectEvents(t, r.world.take(), `permit requested "ble", started, progress plan, question "cable in?", ask 3 of T-0001 1, verdict 4 of T-0001, facts, facts of T-0001 1 services=0, plugins 1, plugins of T-0001 [aa], result`)
		p.hangUp(t)
	})
}

func question(change func(*agentv1.Question)) *agentv1.ConnectRequest {
	q := &agentv1.Question{Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, PlanId: "1", Prompt: "cable in?", Deadline: timestamppb.Now()}
	change(q)
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Question{Question: q}}
}

// People are shown what an agent asks: it is bounded before it is kept.
func TestBadQuestionsEndTheSession(t *testing.T) {
	for name, change := range map[string]func(*agentv1.Question){
		"no key":          func(q *agentv1.Question) { q.Key = nil },
		"no effect":       func(q *agentv1.Question) { q.PlanId = "" },
		"a long effect":   func(q *agentv1.Question) { q.PlanId = strings.Repeat("x", maxPlanID+1) },
		"no prompt":       func(q *agentv1.Question) { q.Prompt = "" },
		"a long prompt":   func(q *agentv1.Question) { q.Prompt = strings.Repeat("x", maxPrompt+1) },
		"no deadline":     func(q *agentv1.Question) { q.Deadline = nil },
		"a wild deadline": func(q *agentv1.Question) { q.Deadline.Seconds = 1 << 60 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.connected()
				r.world.take()
				p.toServer <- question(change)
				expectRefusal(t, <-p.returned, "MALFORMED_MESSAGE")
				synctest.Wait()
				expectEvents(t, r.world.take(), "disconnected T-0001 1, closed T-0001")
			})
		})
	}
}

func TestAResultIsAcknowledgedWhenItIsStored(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		p.toServer <- result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		synctest.Wait()
		if len(p.toAgent) > 0 {
			t.Error("acknowledged before it was stored: a crash now would lose the result")
		}
		r.world.stored(nil)
		if ack := (<-p.toAgent).GetResultAck(); ack.GetKey().GetJobId() != job {
			t.Errorf("got %v, want the acknowledgement", ack)
		}
		p.hangUp(t)
	})
}

func TestManyForeignResultsCutTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		for range maxForeign + 1 {
			p.toServer <- result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
			synctest.Wait()
			r.world.stored(refusal.New(refusal.Denied, "FOREIGN_TASK", "no such task"))
		}
		expectRefusal(t, <-p.returned, "FOREIGN_TASKS")
		synctest.Wait()
	})
}

// After a restoration from a backup an agent may hold many results of jobs that the store does not know.
func TestResultsOfUnknownJobsDoNotCutTheSession(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		for range 3 * maxForeign {
			p.toServer <- result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
			synctest.Wait()
			r.world.stored(refusal.New(refusal.NotFound, "NOT_FOUND", "no such job"))
		}
		if !r.registry.Online("T-0001") || len(p.toAgent) > 0 {
			t.Error("the session must go on, and nothing be acknowledged: the agent keeps what the store may have lost")
		}
		p.hangUp(t)
		synctest.Wait()
	})
}

// One agent that lies about the epoch must not shut out the others, who are told the server's.
func TestAnEpochThatTheServerGaveIsAlwaysTaken(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.epoch = 1 << 63
		p := r.dial(8)
		m := hello()
		m.GetHello().Epoch = 1 << 63
		p.toServer <- m
		if w := (<-p.toAgent).GetWelcome(); w.GetEpoch() != 1<<63 {
			t.Errorf("welcome is %v, want the server's epoch", w)
		}
		p.hangUp(t)
		synctest.Wait()
	})
}

func TestBadBeginningsAreRefused(t *testing.T) {
	with := func(change func(*agentv1.Hello)) *agentv1.ConnectRequest {
		m := hello()
		change(m.GetHello())
		return m
	}
	for name, c := range map[string]struct {
		first  *agentv1.ConnectRequest
		reason string
	}{
		"no hello":           {result(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED), "MALFORMED_MESSAGE"},
		"another tongue":     {with(func(h *agentv1.Hello) { h.ProtocolVersion = 99 }), "PROTOCOL_VERSION"},
		"an absurd epoch":    {with(func(h *agentv1.Hello) { h.Epoch = uint64(time.Now().Unix()) + 2*epochSlack }), "MALFORMED_MESSAGE"},
		"a task without key": {with(func(h *agentv1.Hello) { h.OpenTasks = []*agentv1.OpenTask{{}} }), "MALFORMED_MESSAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.dial(8)
				p.toServer <- c.first
				expectRefusal(t, <-p.returned, c.reason)
				synctest.Wait()
				expectEvents(t, r.world.take(), "")
			})
		})
	}
}

func TestMalformedMessagesCutTheSession(t *testing.T) {
	for name, m := range map[string]*agentv1.ConnectRequest{
		"second hello":          hello(),
		"result without status": result(actionv1.TaskStatus_TASK_STATUS_UNSPECIFIED),
		"ask without key":       {Message: &agentv1.ConnectRequest_Ask{Ask: &agentv1.Ask{Id: 1}}},
		"started without key":   {Message: &agentv1.ConnectRequest_Started{Started: &agentv1.Started{}}},
		"accepted without key":  {Message: &agentv1.ConnectRequest_Accepted{Accepted: &agentv1.Accepted{Key: &agentv1.TaskKey{JobId: "../x", Attempt: 1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				p := r.connected()
				p.toServer <- m
				expectRefusal(t, <-p.returned, "MALFORMED_MESSAGE")
				synctest.Wait()
			})
		})
	}
}

// Without this, an agent would refuse every task of a server whose store was restored from a backup.
func TestTheEpochGrowsBeyondWhatAnAgentHasSeen(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.dial(8)
		m := hello()
		m.GetHello().Epoch = 40
		p.toServer <- m
		if w := (<-p.toAgent).GetWelcome(); w.GetEpoch() != 41 {
			t.Errorf("welcome is %v, want an epoch after the one that the agent has seen", w)
		}
		p.hangUp(t)
		synctest.Wait()
	})
}

func TestWhoeverSaysNothingIsCut(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.dial(8)
		expectRefusal(t, <-p.returned, "NO_HELLO")
		synctest.Wait()
	})
}

func TestATerminalThatMayNotSpeakIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.refuse = refusal.New(refusal.Denied, "DECOMMISSIONED", "decommissioned")
		p := r.dial(8)
		p.toServer <- hello()
		expectRefusal(t, <-p.returned, "DECOMMISSIONED")
		synctest.Wait()
		if r.registry.Count() != 0 {
			t.Error("a refused terminal is still in the registry")
		}
	})
}

func TestTheNewestSessionWins(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		old := r.connected()
		newer := r.connected()
		expectRefusal(t, <-old.returned, "SESSION_REPLACED")
		synctest.Wait()
		events := r.world.take()
		if strings.Contains(events, "closed") {
			t.Errorf("told %s: the terminal has a session and must not be recorded as gone", events)
		}
		if r.registry.Send("T-0001", 1, permit()) {
			t.Error("what was meant for the older session was taken: a permit counts on its own session only")
		}
		if !r.registry.Send("T-0001", 2, permit()) || (<-newer.toAgent).GetPermit() == nil {
			t.Error("the newer session does not work")
		}
		newer.hangUp(t)
		synctest.Wait()
	})
}

func TestAnAgentThatDoesNotReadIsCut(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.dial(0)
		p.toServer <- hello()
		synctest.Wait()
		taken := 0
		for r.registry.Send("T-0001", 1, permit()) {
			if taken++; taken > queueSize {
				t.Fatal("the queue of a session that does not read has no bound")
			}
		}
		expectRefusal(t, <-p.returned, "SESSION_SLOW")
		synctest.Wait()
	})
}

func TestKick(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		r.registry.Kick("T-0001", "decommissioned")
		if g := (<-p.toAgent).GetGoodbye(); !g.GetFinal() || g.GetReason() != "decommissioned" {
			t.Errorf("goodbye is %v, want the reason, and final", g)
		}
		expectRefusal(t, <-p.returned, "SESSION_ENDED")
		if r.registry.Send("T-0001", 1, permit()) {
			t.Error("a session that was ended takes messages")
		}
		r.registry.Kick("T-0002", "nobody")
		synctest.Wait()
	})
}

func TestShutdownSaysGoodbyeAndLetsNobodyIn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.connected()
		r.registry.Shutdown(time.Minute)
		g := (<-p.toAgent).GetGoodbye()
		if g.GetRetryAfter().AsDuration() < time.Second {
			t.Errorf("goodbye is %v, want a time to come back at which the server is there again", g)
		}
		expectRefusal(t, <-p.returned, "STOPPING")
		late := r.dial(8)
		late.toServer <- hello()
		expectRefusal(t, <-late.returned, "STOPPING")
		synctest.Wait()
	})
}

func TestShutdownDoesNotWaitForAnAgentThatDoesNotRead(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		p := r.dial(0)
		p.toServer <- hello()
		synctest.Wait()
		before := time.Now()
		r.registry.Shutdown(time.Minute)
		if waited := time.Since(before); waited > flushPatience+time.Second {
			t.Errorf("shutdown took %s for an agent that does not read, want %s at most", waited, flushPatience)
		}
		expectRefusal(t, <-p.returned, "STOPPING")
		synctest.Wait()
	})
}
