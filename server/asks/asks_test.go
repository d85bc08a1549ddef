package asks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const job = "01JD0000000000000000000000"

// world is all that a desk asks, in memory: the host T-0001 of lyon and the user terminals T-0002 to T-0005.
type world struct {
	mu        sync.Mutex
	terminals []*storagev1.TerminalRecord
	site      *fleetv1.Site
	online    map[string]bool
	params    map[string]string
	told      map[string][]*agentv1.ConnectResponse
	// tell is called with each order to probe.
	tell  func(id string, o *agentv1.ProbeOrder)
	reads int
	block chan struct{}
}

func (w *world) Running(_ context.Context, id string, key *agentv1.TaskKey) (map[string]string, error) {
	if key.GetJobId() != job || id != "T-0001" {
		return nil, refusal.New(refusal.Denied, "NOT_RUNNING", "job %q: does not run on terminal %q", key.GetJobId(), id)
	}
	return w.params, nil
}

func (w *world) Terminal(ctx context.Context, id string) (*storagev1.TerminalRecord, error) {
	if w.block != nil {
		select {
		case <-w.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for _, t := range w.terminals {
		if t.GetTerminal().GetId() == id {
			return t, nil
		}
	}
	return nil, access.NotFound(access.Terminal, id)
}

func (w *world) Site(context.Context, string) (*fleetv1.Site, error) { return w.site, nil }

func (w *world) AtSite(context.Context, string) ([]*storagev1.TerminalRecord, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	return w.terminals, nil
}

func (w *world) Sealed(_ context.Context, id, name string) (*agentv1.SealedSecret, error) {
	return &agentv1.SealedSecret{Name: name + " of " + id}, nil
}

func (w *world) Coverage(_ context.Context, terminals []*storagev1.TerminalRecord, roots []string, _ func(string) bool) (*actionv1.Coverage, error) {
	if len(roots) == 0 {
		return nil, errors.New("no roots")
	}
	return &actionv1.Coverage{Users: uint32(len(terminals))}, nil
}

func (w *world) Send(id string, _ uint64, m *agentv1.ConnectResponse) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[id] = append(w.told[id], m)
	return true
}

func (w *world) Tell(id string, m *agentv1.ConnectResponse) bool {
	if w.tell == nil || !w.Online(id) {
		return false
	}
	go w.tell(id, m.GetProbeOrder())
	return true
}

func (w *world) Online(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.online[id]
}

// answers are what an agent was told, and forgets them.
func (w *world) answers(id string) (all []*agentv1.Told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.told[id] {
		all = append(all, m.GetTold())
	}
	delete(w.told, id)
	return all
}

func newWorld() (*world, *Desk) {
	w := &world{online: map[string]bool{}, told: map[string][]*agentv1.ConnectResponse{}, params: map[string]string{"pfx": "secret:nes.pfx", "note": "nes2.pfx"}}
	add := func(id, name string, role fleetv1.TerminalRole, line string) {
		w.terminals = append(w.terminals, &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{
			Id: id, Name: name, Site: "lyon", Role: role, Labels: map[string]string{"line": line}, Facts: &agentv1.Facts{Hostname: "NES-1", Addresses: []string{"10.0.0.7"}},
		}})
		w.online[id] = true
	}
	add("T-0001", "nes-1", fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, "")
	for n, line := range []string{"1", "1", "2", "2"} {
		add(fmt.Sprintf("T-%04d", n+2), fmt.Sprint("lyon-", n+2), fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, line)
	}
	w.site = &fleetv1.Site{Name: "lyon", Settings: &fleetv1.SiteSettings{
		NesHosts: []*fleetv1.NESHost{
			{Host: "NES-1", Url: "https://nes.lyon.example/nes", UsedBy: "label.line=1"}, {Host: "other.example", Url: "https://other.example/nes"},
		},
		ApprovedRoots: []*fleetv1.ApprovedRoot{{Name: "plant", Sha256: strings.Repeat("ab", 32), Certificate: []byte("der")}},
		KnownHosts:    []*fleetv1.KnownHost{{Label: "ad", Address: "dc1.lyon.example:636"}},
		NymiAgent:     fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL, NymiAgentUrl: "wss://agent.example/",
	}}
	d := New(Config{Tasks: w, Inventory: w, Secrets: w, Scans: w, Link: w, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	return w, d
}

func bubble(t *testing.T, test func(t *testing.T, w *world, d *Desk)) {
	synctest.Test(t, func(t *testing.T) {
		w, d := newWorld()
		test(t, w, d)
		d.Close()
	})
}

func key() *agentv1.TaskKey { return &agentv1.TaskKey{JobId: job, Attempt: 1} }

// ask asks as the host and returns the one answer.
func (w *world) ask(t *testing.T, d *Desk, a *agentv1.Ask) *agentv1.Told {
	t.Helper()
	a.Id = 7
	if a.GetKey() == nil {
		a.Key = key()
	}
	d.Ask(t.Context(), "T-0001", 1, a)
	synctest.Wait()
	all := w.answers("T-0001")
	if len(all) != 1 || all[0].GetId() != 7 {
		t.Fatalf("told %v, want one answer with the question's id", all)
	}
	return all[0]
}

func TestTheSiteAsTheServerKnowsIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		s := w.ask(t, d, &agentv1.Ask{Ask: &agentv1.Ask_Site{Site: &actionv1.SiteQuery{}}}).GetSite()
		own, other := s.GetNesHosts()[0], s.GetNesHosts()[1]
		if !own.GetSelf() || own.GetUsed() || own.GetUsers() != 2 || other.GetSelf() || other.GetUsers() != 4 {
			t.Errorf("hosts %v; want the first to be this terminal with 2 users, and the other another's with 4", s.GetNesHosts())
		}
		if string(s.GetApprovedRoots()[0].GetCertificate()) != "der" || s.GetKnownHosts()[0].GetAddress() != "dc1.lyon.example:636" || !s.GetCentralAgent() {
			t.Errorf("surroundings %v; want the root with its certificate, the known host and the central agent", s)
		}
		w.ask(t, d, &agentv1.Ask{Ask: &agentv1.Ask_Site{Site: &actionv1.SiteQuery{}}})
		if w.reads != 1 {
			t.Errorf("the site's terminals were read %d times for two questions at the same time, want once", w.reads)
		}
	})
}

func TestOnlySecretsThatTheTaskNames(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		for name, want := range map[string]string{"nes.pfx": "nes.pfx of T-0001", "nes2.pfx": "", "": "", "secret:nes.pfx": ""} {
			told := w.ask(t, d, &agentv1.Ask{Ask: &agentv1.Ask_Secret{Secret: &agentv1.SecretAsk{Name: name}}})
			if told.GetSecret().GetName() != want || (want == "") != (told.GetProblem() != "") {
				t.Errorf("secret %q: told %v, want %q", name, told, want)
			}
		}
	})
}

func TestNothingIsAnsweredButForARunningTask(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		a := &agentv1.Ask{Key: &agentv1.TaskKey{JobId: "01JD0000000000000000000001", Attempt: 1}, Ask: &agentv1.Ask_Secret{Secret: &agentv1.SecretAsk{Name: "nes.pfx"}}}
		if told := w.ask(t, d, a); told.GetSecret() != nil || !strings.Contains(told.GetProblem(), "does not run") {
			t.Errorf("told %v, want that the job does not run there", told)
		}
		if told := w.ask(t, d, &agentv1.Ask{}); !strings.Contains(told.GetProblem(), "does not know this question") {
			t.Errorf("told %v, want that the server does not know the question", told)
		}
	})
}

func TestCoverageIsOfThoseWhoUseThisHost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		q := &agentv1.Ask{Ask: &agentv1.Ask_Coverage{Coverage: &actionv1.CoverageQuery{RootSha256: []string{"aa"}}}}
		if c := w.ask(t, d, q).GetCoverage(); c.GetUsers() != 2 {
			t.Errorf("coverage %v, want that of the 2 terminals of line 1", c)
		}
		w.site.Settings.NesHosts = nil
		if told := w.ask(t, d, q); !strings.Contains(told.GetProblem(), "no NES host of site lyon; name it with") {
			t.Errorf("told %v, want what to do about a host that no settings name", told)
		}
		if told := w.ask(t, d, &agentv1.Ask{Ask: &agentv1.Ask_Coverage{}}); told.GetProblem() == "" {
			t.Error("a question without roots was answered")
		}
	})
}

func TestQuestionsAreBoundedAndEndWithTheirSession(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		w.block = make(chan struct{})
		ctx, leave := context.WithCancel(t.Context())
		for range maxPerTerminal + 3 {
			d.Ask(ctx, "T-0001", 1, &agentv1.Ask{Id: 1, Key: key(), Ask: &agentv1.Ask_Site{}})
		}
		synctest.Wait()
		if all := w.answers("T-0001"); len(all) != 3 || !strings.Contains(all[0].GetProblem(), "too much is asked") {
			t.Errorf("told %v, want 3 that are too many", all)
		}
		leave()
		synctest.Wait()
		if all := w.answers("T-0001"); len(all) != 0 || len(d.open) != 0 || d.total != 0 {
			t.Errorf("after the session told %v, %d questions are open; want none", all, d.total)
		}
	})
}

const (
	wanted = "11"
	stale  = "22"
)

func serving(sha256 string) *agentv1.ProbeVerdict {
	return &agentv1.ProbeVerdict{Result: &actionv1.NetProbeResult{
		Connected: true, Handshake: true, Trusted: true, Chain: []*actionv1.Certificate{{Sha256: strings.Repeat(sha256, 32)}},
	}}
}

func peerProbe(count uint32) *agentv1.Ask {
	return &agentv1.Ask{Id: 7, Key: key(), Ask: &agentv1.Ask_PeerProbe{PeerProbe: &actionv1.PeerProbe{
		Count: count, Target: &actionv1.ProbeTarget{Host: "nes.lyon.example", Port: 443, Tls: true}, CertificateSha256: strings.Repeat(wanted, 32),
		Timeout: durationpb.New(20 * time.Second),
	}}}
}

// probe asks for a probe and returns each verdict in words.
func (w *world) probe(t *testing.T, d *Desk, a *agentv1.Ask) string {
	t.Helper()
	d.Ask(t.Context(), "T-0001", 1, a)
	time.Sleep(25 * time.Second)
	synctest.Wait()
	all := w.answers("T-0001")
	if len(all) != 1 {
		t.Fatalf("told %v, want one answer", all)
	}
	if all[0].GetProblem() != "" {
		return "problem: " + all[0].GetProblem()
	}
	var words []string
	for _, v := range all[0].GetPeers().GetVerdicts() {
		words = append(words, fmt.Sprintf("%s %t %s", v.GetTerminal(), v.GetOk(), v.GetReason()))
	}
	return strings.Join(words, "; ")
}

func TestPeersThatUseTheHostProbeIt(t *testing.T) {
	untrusted, unreachable := serving(wanted), &agentv1.ProbeVerdict{Result: &actionv1.NetProbeResult{ConnectProblem: "connection refused"}}
	untrusted.Result.Trusted, untrusted.Result.TrustProblem = false, "its root is not trusted here"
	could := &agentv1.ProbeVerdict{Problem: "the agent is too busy"}
	for name, c := range map[string]struct {
		two, three *agentv1.ProbeVerdict
		count      uint32
		offline    string
		want       string
	}{
		"both are good":              {serving(wanted), serving(wanted), 2, "", "lyon-2 true ; lyon-3 true "},
		"another certificate":        {serving(stale), serving(wanted), 2, "", "lyon-2 false it was served certificate " + strings.Repeat(stale, 32) + ", want " + strings.Repeat(wanted, 32) + "; lyon-3 true "},
		"not trusted":                {untrusted, serving(wanted), 2, "", "lyon-2 false its root is not trusted here; lyon-3 true "},
		"not reached":                {unreachable, serving(wanted), 2, "", "lyon-2 false connection refused; lyon-3 true "},
		"no answer":                  {nil, serving(wanted), 2, "", "lyon-2 false no answer within 20s; lyon-3 true "},
		"another for one who sleeps": {nil, serving(wanted), 1, "", "lyon-3 true "},
		"another for one who cannot": {could, serving(wanted), 1, "", "lyon-3 true "},
		"more than there are":        {serving(wanted), nil, 2, "T-0003", " false 1 more of the terminals that use it should have been asked, and no other is online; lyon-2 true "},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, d *Desk) {
				delete(w.online, c.offline)
				w.tell = func(id string, o *agentv1.ProbeOrder) {
					v := map[string]*agentv1.ProbeVerdict{"T-0002": c.two, "T-0003": c.three}[id]
					if o.GetTarget().GetPort() != 443 || o.GetTimeout().AsDuration() <= 0 || id > "T-0003" {
						t.Errorf("terminal %s has order %v", id, o)
					}
					if v != nil {
						v.Id = o.GetId()
						// Somebody else's word for it must not count.
						d.Verdict("T-0004", &agentv1.ProbeVerdict{Id: o.GetId(), Problem: "forged"})
						d.Verdict(id, v)
						d.Verdict(id, v)
					}
				}
				if got := w.probe(t, d, peerProbe(c.count)); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				if len(d.waiting) != 0 {
					t.Errorf("%d orders are still waited for", len(d.waiting))
				}
			})
		})
	}
}

func TestBadProbesReachNobody(t *testing.T) {
	for want, change := range map[string]func(w *world, p *actionv1.PeerProbe){
		"asks for 0 terminals":      func(_ *world, p *actionv1.PeerProbe) { p.Count = 0 },
		"asks for 100 terminals":    func(_ *world, p *actionv1.PeerProbe) { p.Count = 100 },
		"names no host and port":    func(_ *world, p *actionv1.PeerProbe) { p.Target.Port = 0 },
		"which certificate must be": func(_ *world, p *actionv1.PeerProbe) { p.CertificateSha256 = "" },
		"leaves out 1001 terminals": func(_ *world, p *actionv1.PeerProbe) { p.Except = make([]string, 1001) },
		"may be asked is online":    func(_ *world, p *actionv1.PeerProbe) { p.Except = []string{"LYON-2", "lyon-3"} },
		`"bank.example" is not one`: func(_ *world, p *actionv1.PeerProbe) { p.Target.Host = "bank.example" },
		// Its agent says that this is its address, which is no reason to believe it.
		`"10.0.0.7" is not one`:   func(_ *world, p *actionv1.PeerProbe) { p.Target.Host = "10.0.0.7" },
		"none of the 2 terminals": func(w *world, _ *actionv1.PeerProbe) { clear(w.online) },
	} {
		t.Run(want, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world, d *Desk) {
				w.tell = func(id string, _ *agentv1.ProbeOrder) { t.Errorf("terminal %s was asked", id) }
				a := peerProbe(1)
				change(w, a.GetPeerProbe())
				if got := w.probe(t, d, a); !strings.HasPrefix(got, "problem: ") || !strings.Contains(got, want) {
					t.Errorf("got %q, want a problem with %q in it", got, want)
				}
			})
		})
	}
}

// A terminal that was accepted to be cut off must not be the one that decides.
func TestTerminalsThatAreLeftOutAreNotAsked(t *testing.T) {
	bubble(t, func(t *testing.T, w *world, d *Desk) {
		w.tell = func(id string, o *agentv1.ProbeOrder) {
			v := serving(wanted)
			v.Id = o.GetId()
			d.Verdict(id, v)
		}
		a := peerProbe(1)
		a.GetPeerProbe().Except = []string{"Lyon-2"}
		if got := w.probe(t, d, a); got != "lyon-3 true " {
			t.Errorf("got %q, want lyon-3 alone to be asked", got)
		}
	})
}

func TestHostsAreKnownByAllTheirNames(t *testing.T) {
	for _, host := range []string{"nes.lyon.example", "NES-1", "nes.lyon.example."} {
		bubble(t, func(t *testing.T, w *world, d *Desk) {
			w.tell = func(id string, o *agentv1.ProbeOrder) {
				v := serving(wanted)
				v.Id = o.GetId()
				d.Verdict(id, v)
			}
			a := peerProbe(2)
			a.GetPeerProbe().Target.Host = host
			if got := w.probe(t, d, a); got != "lyon-2 true ; lyon-3 true " {
				t.Errorf("host %s: %q", host, got)
			}
		})
	}
}
