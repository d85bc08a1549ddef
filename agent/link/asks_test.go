package link

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// told is how an ask ended.
type told struct {
	text string
	err  error
}

// asking asks in the background.
func asking(ctx context.Context, ask func(ctx context.Context) (string, error)) <-chan told {
	done := make(chan told, 1)
	go func() {
		text, err := ask(ctx)
		done <- told{text, err}
	}()
	return done
}

// secretOf asks for a secret and returns its name.
func secretOf(l *Link, name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		s, err := l.Secret(ctx, key("j-1"), name)
		return s.GetName(), err
	}
}

func (c *conversation) tell(t testing.TB, answer *agentv1.Told) {
	t.Helper()
	c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Told{Told: answer}})
}

func (c *conversation) tellSecret(t testing.TB, id uint64, name string) {
	t.Helper()
	c.tell(t, &agentv1.Told{Id: id, Told: &agentv1.Told_Secret{Secret: &agentv1.SealedSecret{Name: name}}})
}

func TestEachQuestionGetsItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := startLink(t, f, newFakeRunner())
		c := <-f.sessions
		c.welcome(t)
		synctest.Wait()

		site := asking(t.Context(), func(ctx context.Context) (string, error) {
			s, err := l.Site(ctx, key("j-1"))
			return s.GetCentralAgentUrl(), err
		})
		first := c.receive(t).GetAsk()
		secret := asking(t.Context(), secretOf(l, "nes.pfx"))
		second := c.receive(t).GetAsk()
		if first.GetSite() == nil || second.GetSecret().GetName() != "nes.pfx" || first.GetId() == 0 || first.GetId() == second.GetId() {
			t.Fatalf("the server was asked %v and %v, want two questions with numbers of their own", first, second)
		}
		if first.GetKey().GetJobId() != "j-1" {
			t.Errorf("asked for job %q, want j-1: the server answers for tasks that run", first.GetKey().GetJobId())
		}
		c.tellSecret(t, 77, "of nobody")
		c.tellSecret(t, second.GetId(), "nes.pfx")
		c.tell(t, &agentv1.Told{Id: first.GetId(), Told: &agentv1.Told_Site{Site: &actionv1.Surroundings{CentralAgentUrl: "ws://a"}}})
		if got := <-secret; got.err != nil || got.text != "nes.pfx" {
			t.Errorf("the secret came as %q, %v", got.text, got.err)
		}
		if got := <-site; got.err != nil || got.text != "ws://a" {
			t.Errorf("the site came as %q, %v", got.text, got.err)
		}
	})
}

func TestCoverageAndPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := startLink(t, f, newFakeRunner())
		c := <-f.sessions
		c.welcome(t)
		coverage := asking(t.Context(), func(ctx context.Context) (string, error) {
			got, err := l.Coverage(ctx, key("j-1"), &actionv1.CoverageQuery{RootSha256: []string{"aa"}})
			return strings.Join(got.GetMissing(), ","), err
		})
		a := c.receive(t).GetAsk()
		c.tell(t, &agentv1.Told{Id: a.GetId(), Told: &agentv1.Told_Coverage{Coverage: &actionv1.Coverage{Missing: []string{"T-7"}}}})
		if got := <-coverage; got.err != nil || got.text != "T-7" || a.GetCoverage().GetRootSha256()[0] != "aa" {
			t.Errorf("coverage came as %q, %v to the question %v", got.text, got.err, a)
		}
		peers := asking(t.Context(), func(ctx context.Context) (string, error) {
			got, err := l.PeerProbe(ctx, key("j-1"), &actionv1.PeerProbe{Count: 2})
			return got.GetVerdicts()[0].GetTerminal(), err
		})
		a = c.receive(t).GetAsk()
		c.tell(t, &agentv1.Told{Id: a.GetId(), Told: &agentv1.Told_Peers{
			Peers: &actionv1.PeerVerdicts{Verdicts: []*actionv1.PeerVerdict{{Terminal: "T-7"}}},
		}})
		if got := <-peers; got.err != nil || got.text != "T-7" || a.GetPeerProbe().GetCount() != 2 {
			t.Errorf("the peers' verdict came as %q, %v to the question %v", got.text, got.err, a)
		}
	})
}

func TestWhatIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := startLink(t, f, newFakeRunner())
		c := <-f.sessions
		c.welcome(t)
		for want, answer := range map[string]*agentv1.Told{
			`no secret "nes.pfx"`: {Problem: `there is no secret "nes.pfx"`},
			"something else":      {Told: &agentv1.Told_Site{Site: &actionv1.Surroundings{}}},
			"update the server":   {},
		} {
			done := asking(t.Context(), secretOf(l, "nes.pfx"))
			answer.Id = c.receive(t).GetAsk().GetId()
			c.tell(t, answer)
			if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), want) {
				t.Errorf("told %v: %v, want an error with %q", answer, got.err, want)
			}
		}
	})
}

// A question outlives the session: it is asked once on each, and the answer may come on any.
func TestQuestionsAreAskedAnewOnEachSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := startLink(t, f, newFakeRunner())
		done := asking(t.Context(), secretOf(l, "nes.pfx")) // before there is a session
		synctest.Wait()
		var ids []uint64
		for range 3 {
			c := <-f.sessions
			c.welcome(t)
			ids = append(ids, c.receive(t).GetAsk().GetId())
			synctest.Wait()
			if len(ids) == 3 {
				c.tellSecret(t, ids[2], "nes.pfx")
				c.tellSecret(t, ids[2], "again")
				if got := <-done; got.err != nil || got.text != "nes.pfx" {
					t.Errorf("the answer came as %q, %v, want the first one", got.text, got.err)
				}
				l.Accepted(key("j-9"))
				if m := c.receive(t); m.GetAccepted() == nil {
					t.Errorf("the agent went on with %v: a question must be asked once a session", m)
				}
			}
			c.over <- status.Error(codes.Unavailable, "restarting")
		}
		c := <-f.sessions
		c.welcome(t)
		synctest.Wait()
		l.Accepted(key("j-10"))
		if m := c.receive(t); m.GetAccepted().GetKey().GetJobId() != "j-10" {
			t.Errorf("a new session began with %v: what was answered must not be asked again", m)
		}
	})
}

func TestQuestionsEndWithTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		l := startLink(t, f, newFakeRunner())
		c := <-f.sessions
		c.welcome(t)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		done := asking(ctx, secretOf(l, "nes.pfx"))
		id := c.receive(t).GetAsk().GetId()
		got := <-done
		if !errors.Is(got.err, context.DeadlineExceeded) || !strings.Contains(got.err.Error(), "did not answer in time") {
			t.Errorf("a server that says nothing: %v, want an error that says so after the time given", got.err)
		}
		c.tellSecret(t, id, "late")
		synctest.Wait()

		given, give := context.WithCancel(t.Context())
		done = asking(given, secretOf(l, "nes.pfx"))
		c.receive(t)
		give()
		if got := <-done; !errors.Is(got.err, context.Canceled) {
			t.Errorf("given up: %v, want context.Canceled", got.err)
		}
		if len(l.asks) != 0 {
			t.Errorf("%d questions wait although nobody does", len(l.asks))
		}
	})
}

func TestNoSessionIsSaidToBeTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Site(ctx, key("j-1")); err == nil || !strings.Contains(err.Error(), "no session") {
			t.Errorf("%v, want an error that says that there is no session", err)
		}
	})
}

// order orders a probe and returns the verdict.
func (c *conversation) order(t testing.TB, id uint64, target *actionv1.ProbeTarget, timeout time.Duration) {
	t.Helper()
	c.send(t, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ProbeOrder{
		ProbeOrder: &agentv1.ProbeOrder{Id: id, Target: target, Timeout: durationpb.New(timeout)},
	}})
}

// fakeProber lets probes last until they are let go or their time is over.
type fakeProber struct {
	begun chan time.Duration
	let   chan struct{}
}

func (p *fakeProber) Probe(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error) {
	p.begun <- timeout
	select {
	case <-p.let:
		return &actionv1.NetProbeResult{Connected: true, Addresses: []string{target.GetHost()}}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestProbesForOtherTerminals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, prober := newFleet(t), &fakeProber{begun: make(chan time.Duration, 16), let: make(chan struct{})}
		startLink(t, f, newFakeRunner(), func(l *Link) { l.config.Prober = prober })
		c := <-f.sessions
		c.welcome(t)
		target := &actionv1.ProbeTarget{Host: "nes-lyon-1", Port: 443, Tls: true}
		for i, timeout := range []time.Duration{0, 5 * time.Second, time.Hour, 10 * time.Second} {
			c.order(t, uint64(i+1), target, timeout)
			if got, want := <-prober.begun, []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 10 * time.Second}[i]; got != want {
				t.Errorf("an order of %s is tried for %s, want %s", timeout, got, want)
			}
		}
		c.order(t, 5, target, time.Second)
		if v := c.receive(t).GetProbeVerdict(); v.GetId() != 5 || !strings.Contains(v.GetProblem(), "ask again") {
			t.Errorf("the fifth at once is answered by %v, want that it is one too many", v)
		}
		prober.let <- struct{}{}
		if v := c.receive(t).GetProbeVerdict(); v.GetProblem() != "" || v.GetResult().GetAddresses()[0] != "nes-lyon-1" {
			t.Errorf("verdict %v, want what was found", v)
		}
		// The others end with their time, the longest after 30 s.
		begun := time.Now()
		for range 3 {
			if v := c.receive(t).GetProbeVerdict(); v.GetProblem() == "" || v.GetResult() != nil {
				t.Errorf("verdict %v, want that it could not be tried in time", v)
			}
		}
		if took := time.Since(begun); took > mostProbe {
			t.Errorf("the last verdict came after %s, want it within %s", took, mostProbe)
		}
	})
}

func TestOrdersThatAreNotFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, prober := newFleet(t), &fakeProber{begun: make(chan time.Duration, 16)}
		startLink(t, f, newFakeRunner(), func(l *Link) { l.config.Prober = prober })
		c := <-f.sessions
		c.welcome(t)
		for want, target := range map[string]*actionv1.ProbeTarget{
			"is no host":        {Port: 443},
			"host \"a/b\"":      {Host: "a/b", Port: 443},
			"host \"u:p@a\"":    {Host: "u:p@a", Port: 443},
			"port 0":            {Host: "a"},
			"port 65536":        {Host: "a", Port: 65536},
			"must begin with /": {Host: "a", Port: 443, HttpPath: "x"},
		} {
			c.order(t, 1, target, time.Second)
			if v := c.receive(t).GetProbeVerdict(); !strings.Contains(v.GetProblem(), want) {
				t.Errorf("target %v: verdict %v, want a problem with %q", target, v, want)
			}
		}
		if len(prober.begun) > 0 {
			t.Error("a probe was made that must not be")
		}
	})
}

// A session that ends takes its probes along.
func TestProbesEndWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, prober := newFleet(t), &fakeProber{begun: make(chan time.Duration, 1)}
		startLink(t, f, newFakeRunner(), func(l *Link) { l.config.Prober = prober })
		c := <-f.sessions
		c.welcome(t)
		c.order(t, 1, &actionv1.ProbeTarget{Host: "a", Port: 443}, 30*time.Second)
		<-prober.begun
		begun := time.Now()
		c.over <- status.Error(codes.Unavailable, "restarting")
		(<-f.sessions).welcome(t)
		if took := time.Since(begun); took >= 20*time.Second {
			t.Errorf("the next session began after %s: a probe held the old one", took)
		}
	})
}
