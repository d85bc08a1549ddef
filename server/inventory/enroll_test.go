package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// A token that leaks is raced. However that goes, it lets in one machine for each of its uses.
func TestRacedTokenLetsInAsManyAsItHasUses(t *testing.T) {
	f := newFixture(t)
	for _, uses := range []uint32{1, 3} {
		token := f.token("lyon", uses)
		var all sync.WaitGroup
		var let, refused atomic.Int32
		for i := range 100 {
			req := enrolRequest(t, token, fmt.Sprintf("m-%d-%d", uses, i))
			all.Go(func() {
				if _, err := f.Enroll(t.Context(), req, f.ca.IssueAgent); err != nil {
					wantRefusal(t, err, "TOKEN_USED_UP")
					refused.Add(1)
					return
				}
				let.Add(1)
			})
		}
		all.Wait()
		if let.Load() != int32(uses) || refused.Load() != 100-int32(uses) {
			t.Errorf("a token with %d uses let in %d and refused %d", uses, let.Load(), refused.Load())
		}
	}
	if s, err := f.Site(t.Context(), "lyon"); err != nil || s.GetTerminals() != 4 {
		t.Errorf("lyon counts %d terminals, %v, want 4", s.GetTerminals(), err)
	}
}

func TestRacedNameIsGivenOnce(t *testing.T) {
	f := newFixture(t)
	token := f.token("lyon", 50)
	var all sync.WaitGroup
	var let atomic.Int32
	for range 50 {
		req := enrolRequest(t, token, "Press-1")
		all.Go(func() {
			if _, err := f.Enroll(t.Context(), req, f.ca.IssueAgent); err == nil {
				let.Add(1)
			} else {
				wantRefusal(t, err, "NAME_TAKEN")
			}
		})
	}
	all.Wait()
	tokens, _, err := f.Tokens(t.Context(), admin, pageOf(10))
	if err != nil || let.Load() != 1 || tokens[0].GetUsed() != 1 {
		t.Errorf("%d machines got the name and %d uses were counted, want 1 and 1: a refused machine must not use up a token", let.Load(), tokens[0].GetUsed())
	}
}

func TestRepeatedEnrolmentGetsTheSameTerminal(t *testing.T) {
	f := newFixture(t)
	req := enrolRequest(t, f.token("lyon", 1), "press-1")
	first, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
	if err != nil {
		t.Fatal(err)
	}
	before := f.records()
	again, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
	if err != nil {
		t.Fatalf("the same token and key again: %v; the first answer may have been lost", err)
	}
	if id := first.Terminal.GetTerminal().GetId(); id != "T-0001" || again.Terminal.GetTerminal().GetId() != id || f.records() != before {
		t.Errorf("terminals %q and %q, %d further audit records", id, again.Terminal.GetTerminal().GetId(), f.records()-before)
	}
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: "press-1"}); err != nil {
		t.Fatal(err)
	}
	_, err = f.Enroll(t.Context(), req, f.ca.IssueAgent)
	wantRefusal(t, err, "TOKEN_USED_UP")
}

// The state of a token is told only to who knows its secret; to all others every token is unknown, in the same words.
func TestTokenRefusals(t *testing.T) {
	f := newFixture(t)
	used, expired, revoked, other := f.token("lyon", 1), f.token("lyon", 1), f.token("lyon", 1), f.token("lyon", 1)
	if _, err := f.Enroll(t.Context(), enrolRequest(t, used, "press-1"), f.ca.IssueAgent); err != nil {
		t.Fatal(err)
	}
	if _, err := f.RevokeToken(t.Context(), ada, revoked.ID); err != nil {
		t.Fatal(err)
	}
	unknown := identity.NewToken(f.ca.Fingerprint())
	texts := map[string]bool{}
	for want, token := range map[string]identity.Token{"TOKEN_USED_UP": used, "TOKEN_REVOKED": revoked, "TOKEN_UNKNOWN": unknown} {
		_, err := f.Enroll(t.Context(), enrolRequest(t, token, "press-2"), f.ca.IssueAgent)
		if r := refusalOf(t, err, want); r.Next == "" || strings.Contains(r.Error(), string(token.Secret)) {
			t.Errorf("refusal %q must say what to do and not repeat the secret", r)
		}
		token.Secret = slices.Clone(other.Secret)
		_, err = f.Enroll(t.Context(), enrolRequest(t, token, "press-2"), f.ca.IssueAgent)
		texts[refusalOf(t, err, "TOKEN_UNKNOWN").Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("wrong secrets were refused in %d different ways %v: that tells which tokens exist", len(texts), texts)
	}
	f.now = f.now.Add(time.Hour)
	_, err := f.Enroll(t.Context(), enrolRequest(t, expired, "press-2"), f.ca.IssueAgent)
	wantRefusal(t, err, "TOKEN_EXPIRED")
	for _, id := range []string{"", "x", strings.Repeat("x", 5000), "a\x00b"} {
		req := enrolRequest(t, expired, "press-2")
		req.TokenId = id
		_, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
		wantRefusal(t, err, "TOKEN_UNKNOWN")
	}
}

func TestBadEnrolments(t *testing.T) {
	f := newFixture(t)
	token := f.token("lyon", 1)
	liar := endpointPlugin()
	liar.Manifest.Version = "9"
	f.enrol("turin", "press-0")
	before := f.records()
	for want, spoil := range map[string]func(*agentv1.EnrollRequest){
		"BAD_CSR":          func(r *agentv1.EnrollRequest) { r.Csr = []byte("x") },
		"BAD_SEALING_KEY":  func(r *agentv1.EnrollRequest) { r.SealingKey = nil },
		"REQUIRED":         func(r *agentv1.EnrollRequest) { r.JournalId = "" },
		"BAD_NAME":         func(r *agentv1.EnrollRequest) { r.Name = "../etc" },
		"BAD_HASH":         func(r *agentv1.EnrollRequest) { r.Plugins[0].Sha256 = "../x" },
		"TOO_LARGE":        func(r *agentv1.EnrollRequest) { r.Facts.OsVersion = strings.Repeat("x", 1<<20) },
		"TOO_MANY_PLUGINS": func(r *agentv1.EnrollRequest) { r.Plugins = make([]*agentv1.Plugin, 100) },
		"MANIFEST_DIFFERS": func(r *agentv1.EnrollRequest) { r.Plugins = []*agentv1.Plugin{liar} },
	} {
		req := enrolRequest(t, token, "press-1")
		spoil(req)
		_, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
		wantRefusal(t, err, want)
	}
	req := enrolRequest(t, token, "t-0001")
	_, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
	wantRefusal(t, err, "BAD_NAME")
	if f.records() != before {
		t.Error("a refused enrolment left something behind")
	}
	if _, err := f.Enroll(t.Context(), enrolRequest(t, token, ""), f.ca.IssueAgent); err != nil {
		t.Errorf("without a name the host's is taken: %v", err)
	}
}

// A re-imaged machine takes up its old place; whoever still has the old key is out from the moment of the decision.
func TestReEnrolment(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	if _, err := f.Label(t.Context(), admin, &fleetv1.LabelTerminalRequest{Terminal: id, Set: map[string]string{"line": "3"}}); err != nil {
		t.Fatal(err)
	}
	text, _, err := f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: "PRESS-1"})
	if err != nil {
		t.Fatal(err)
	}
	lost := f.parse(text)
	r, err := f.Terminal(t.Context(), id)
	if err != nil || len(r.GetTlsKeySha256()) != 0 || r.GetTerminal().GetState() != fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING {
		t.Errorf("state %v with key %x, %v: the old key must be out at once", r.GetTerminal().GetState(), r.GetTlsKeySha256(), err)
	}
	if text, _, err = f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id}); err != nil {
		t.Fatal(err)
	}
	_, err = f.Enroll(t.Context(), enrolRequest(t, lost, "x"), f.ca.IssueAgent)
	wantRefusal(t, err, "TOKEN_REVOKED")

	req := enrolRequest(t, f.parse(text), "another-name")
	req.JournalId = "journal-2"
	e, err := f.Enroll(t.Context(), req, f.ca.IssueAgent)
	if err != nil {
		t.Fatal(err)
	}
	got := e.Terminal.GetTerminal()
	if got.GetId() != id || got.GetName() != "press-1" || got.GetLabels()["line"] != "3" || e.Terminal.GetJournalId() != "journal-2" {
		t.Errorf("came back as %v: id, name and labels must stay", got)
	}
	if s, _ := f.Site(t.Context(), "lyon"); s.GetTerminals() != 1 {
		t.Errorf("lyon counts %d terminals after a re-enrolment, want 1", s.GetTerminals())
	}
	_, err = f.Enroll(t.Context(), enrolRequest(t, f.parse(text), "x"), f.ca.IssueAgent)
	wantRefusal(t, err, "TOKEN_USED_UP")
}

func TestDecommission(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	text, _, err := f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: id}); err != nil {
			t.Fatalf("decommissioning may be repeated: %v", err)
		}
	}
	if s, _ := f.Site(t.Context(), "lyon"); s.GetTerminals() != 0 {
		t.Errorf("lyon counts %d terminals, want 0", s.GetTerminals())
	}
	_, err = f.Enroll(t.Context(), enrolRequest(t, f.parse(text), "x"), f.ca.IssueAgent)
	wantRefusal(t, err, "TOKEN_REVOKED")
	_, _, err = f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
	wantRefusal(t, err, "TERMINAL_DECOMMISSIONED")
	if again := f.enrol("lyon", "press-1"); again != "T-0002" {
		t.Errorf("the next machine of that name is %q, want T-0002: ids are never given twice", again)
	}
	if r, err := f.Terminal(t.Context(), "press-1"); err != nil || r.GetTerminal().GetId() != "T-0002" {
		t.Errorf("the name leads to %q, %v", r.GetTerminal().GetId(), err)
	}
}

func TestSessions(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	r, _ := f.Terminal(t.Context(), id)
	hello := &agentv1.Hello{JournalId: "journal-1", Facts: r.GetTerminal().GetFacts(), PluginSha256: r.GetPluginSha256()}
	before := f.records()
	if got, err := f.SessionOpened(f.as(id), id, hello, 0); err != nil || len(got.Unknown) > 0 {
		t.Errorf("the same hello: %v, %v", got, err)
	}
	other := endpointPlugin()
	other.Sha256 = strings.Repeat("cd", 32)
	hello.PluginSha256 = []string{other.GetSha256()}
	if got, err := f.SessionOpened(f.as(id), id, hello, 0); err != nil || !slices.Equal(got.Unknown, hello.PluginSha256) {
		t.Errorf("unknown plugins %v, %v", got, err)
	}
	wantRefusal(t, f.SavePlugins(t.Context(), id, []*agentv1.Plugin{{Sha256: strings.Repeat("ef", 32), Manifest: other.GetManifest()}}), "NOT_INSTALLED")
	if err := f.SavePlugins(t.Context(), id, []*agentv1.Plugin{other}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.SessionOpened(f.as(id), id, hello, 0); err != nil || len(got.Unknown) > 0 {
		t.Errorf("still unknown %v, %v", got, err)
	}
	hello.JournalId = "journal-2"
	if _, err := f.SessionOpened(f.as(id), id, hello, 0); err != nil {
		t.Errorf("another journal: %v", err)
	}
	if n := f.records() - before; n != 2 {
		t.Errorf("%d audit records, want one for the plugins and one for the journal", n)
	}
	r, _ = f.Terminal(t.Context(), id)
	etag := r.GetTerminal().GetEtag()
	if err := f.SessionClosed(t.Context(), id, "journal-1", 0); err != nil {
		t.Fatal(err)
	}
	if r, _ = f.Terminal(t.Context(), id); !r.GetTerminal().GetLastSeen().AsTime().Equal(f.now.UTC()) || r.GetTerminal().GetEtag() != etag {
		t.Errorf("last seen %v with etag %q, want now with etag %q", r.GetTerminal().GetLastSeen().AsTime(), r.GetTerminal().GetEtag(), etag)
	}
}

// A call that was authenticated before its terminal was taken out of service, or given to another machine, comes too late.
func TestLateCallsOfTheOldMachine(t *testing.T) {
	f := newFixture(t)
	id := f.enrol("lyon", "press-1")
	hello := &agentv1.Hello{JournalId: "journal-1"}
	old := f.as(id)
	tooLate := func(want string) {
		t.Helper()
		_, err := f.SessionOpened(old, id, hello, 0)
		wantRefusal(t, err, want)
		_, err = f.Renew(old, id, csr(t), f.ca.IssueAgent)
		wantRefusal(t, err, want)
	}
	if _, err := f.Renew(old, id, csr(t), f.ca.IssueAgent); err != nil {
		t.Fatalf("in time: %v", err)
	}
	_, err := f.Renew(t.Context(), id, csr(t), f.ca.IssueAgent)
	wantRefusal(t, err, "NO_CERTIFICATE")
	text, _, err := f.ReEnrol(t.Context(), admin, &fleetv1.ReEnrolTerminalRequest{Terminal: id})
	if err != nil {
		t.Fatal(err)
	}
	tooLate("TERMINAL_RE_ENROLLING")
	if _, err := f.Enroll(t.Context(), enrolRequest(t, f.parse(text), ""), f.ca.IssueAgent); err != nil {
		t.Fatal(err)
	}
	tooLate("KEY_REPLACED")
	old = f.as(id)
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: id}); err != nil {
		t.Fatal(err)
	}
	tooLate("TERMINAL_DECOMMISSIONED")
}
