package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	naming "github.com/bandfleet/bandfleet/proto/orders"
	"github.com/bandfleet/bandfleet/server/audit"
)

func nesHosts() []*actionv1.NESHost {
	return []*actionv1.NESHost{{Host: "nes-1", Url: "https://nes.lyon.example/nes/", Used: true}, {Host: "nes-2", Url: "https://other.example/nes/"}}
}

func TestDefaultsAreMadeOnce(t *testing.T) {
	w := newWorld(t)
	before, err := w.List(t.Context(), admin())
	if err != nil || len(before) != 5 || before[0].GetName() != "start-stopped-services" || before[4].GetName() != "ask-for-the-rest" {
		t.Fatalf("policies %v, error %v: want five in their order", before, err)
	}
	if err := w.Delete(t.Context(), admin(), &fleetv1.DeletePolicyRequest{Name: "read-and-collect"}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if after, _ := w.List(t.Context(), admin()); len(after) != 4 {
		t.Errorf("%d policies after a restart, want 4: what was deleted stays so", len(after))
	}
}

func TestWhichPolicyDecides(t *testing.T) {
	w := newWorld(t)
	user, host := fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
	w.set(&fleetv1.Policy{Name: "quiet-turin", Order: 5, Mode: fleetv1.PolicyMode_POLICY_MODE_OBSERVE, Sites: []string{"turin"}})
	w.set(&fleetv1.Policy{Name: "off", Order: 1, Mode: fleetv1.PolicyMode_POLICY_MODE_OBSERVE, Disabled: true})
	for _, c := range []struct {
		entry, site string
		role        fleetv1.TerminalRole
		want        string
	}{
		{"nbe-missing", "lyon", user, "start-stopped-services"},
		{"nbe-missing", "Turin", user, "quiet-turin"},
		{"enroll-service-status", "lyon", host, "read-and-collect"},
		{"nba-nes-url-wrong", "lyon", user, "fix-settings-without-interruption"},
		{"ble-adapter-missing", "lyon", user, "guided-by-people"},
		{"lock-usb-suspend", "lyon", user, "ask-for-the-rest"},
		{"band-error-3010", "lyon", user, "ask-for-the-rest"},
	} {
		if got := w.book.current().choose(w.catalogue.Entry(c.entry), c.site, c.role).GetName(); got != c.want {
			t.Errorf("entry %s at %s: policy %q, want %q", c.entry, c.site, got, c.want)
		}
	}
}

func TestBadPoliciesChangeNothing(t *testing.T) {
	w := newWorld(t)
	good := func() *fleetv1.Policy { return &fleetv1.Policy{Name: "p", Mode: fleetv1.PolicyMode_POLICY_MODE_AUTO} }
	for name, c := range map[string]struct {
		change func(*fleetv1.Policy)
		field  string
	}{
		"name":         {func(p *fleetv1.Policy) { p.Name = "Bad Name" }, "policy.name"},
		"no mode":      {func(p *fleetv1.Policy) { p.Mode = 0 }, "policy.mode"},
		"unknown mode": {func(p *fleetv1.Policy) { p.Mode = 9 }, "policy.mode"},
		"entry":        {func(p *fleetv1.Policy) { p.Entries = []string{"no-such-entry"} }, "policy.entries"},
		"loop":         {func(p *fleetv1.Policy) { p.Entries = []string{"nes-verbose-left-on"} }, "policy.entries"},
		"site":         {func(p *fleetv1.Policy) { p.Sites = []string{"rome"} }, "policy.sites"},
		"action":       {func(p *fleetv1.Policy) { p.Actions = []string{"format-disk"} }, "policy.actions"},
		"kind":         {func(p *fleetv1.Policy) { p.Kinds = []string{"magic"} }, "policy.kinds"},
		"breaker":      {func(p *fleetv1.Policy) { p.SiteBreakerPercent = 101 }, "policy.site_breaker_percent"},
		"approvals":    {func(p *fleetv1.Policy) { p.Approvals = 3 }, "policy.approvals"},
		"reflex":       {func(p *fleetv1.Policy) { p.Mode, p.Reflex = fleetv1.PolicyMode_POLICY_MODE_ASK, true }, "policy.reflex"},
		"attempts":     {func(p *fleetv1.Policy) { p.Guardrails = &agentv1.Guardrails{MaxAttempts: 1000} }, "policy.guardrails.max_attempts"},
		"period":       {func(p *fleetv1.Policy) { p.Guardrails = &agentv1.Guardrails{Period: durationpb.New(time.Second)} }, "policy.guardrails.period"},
		"cooldown": {func(p *fleetv1.Policy) {
			p.Guardrails = &agentv1.Guardrails{Period: durationpb.New(time.Hour), Cooldown: durationpb.New(2 * time.Hour)}
		}, "policy.guardrails.cooldown"},
		"terminal escape": {func(p *fleetv1.Policy) { p.Description = "\x1b[2J" }, "policy.description"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good()
			c.change(p)
			_, err := w.Set(t.Context(), admin(), &fleetv1.SetPolicyRequest{Policy: p})
			no := refused(t, err, "BAD_POLICY")
			if len(no.Violations) != 1 || no.Violations[0].Field != c.field {
				t.Errorf("violations %v, want one of %s", no.Violations, c.field)
			}
			if all, _ := w.List(t.Context(), admin()); len(all) != 5 {
				t.Errorf("%d policies, want the 5 there were", len(all))
			}
		})
	}
}

func TestSetIsGuardedByEtagAndRight(t *testing.T) {
	w := newWorld(t)
	p := &fleetv1.Policy{Name: "p", Mode: fleetv1.PolicyMode_POLICY_MODE_OBSERVE, Sites: []string{"LYON"}}
	made, err := w.Set(t.Context(), admin(), &fleetv1.SetPolicyRequest{Policy: p, Reason: "try"})
	if err != nil || made.GetEtag() == "" || made.GetSites()[0] != "lyon" || made.GetChangedBy() != "ada" {
		t.Fatalf("policy %v, error %v", made, err)
	}
	p.Order = 7
	_, err = w.Set(t.Context(), admin(), &fleetv1.SetPolicyRequest{Policy: p, Etag: "old"})
	wantRefusal(t, err, "ETAG_MISMATCH")
	lyon := person(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "leo", "lyon")
	if _, err := w.Set(t.Context(), lyon, &fleetv1.SetPolicyRequest{Policy: p, Etag: made.GetEtag()}); err != nil {
		t.Errorf("an administrator of its only site is refused: %v", err)
	}
	p.Sites = nil
	_, err = w.Set(t.Context(), lyon, &fleetv1.SetPolicyRequest{Policy: p})
	wantRefusal(t, err, "NO_RIGHT")
	turin := person(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "tim", "turin")
	wantRefusal(t, w.Delete(t.Context(), turin, &fleetv1.DeletePolicyRequest{Name: "p"}), "NOT_FOUND")
	wantRefusal(t, w.Delete(t.Context(), turin, &fleetv1.DeletePolicyRequest{Name: "ask-for-the-rest"}), "NO_RIGHT")
	_, err = w.Get(t.Context(), turin, "p")
	wantRefusal(t, err, "NOT_FOUND")
	if all, err := w.List(t.Context(), turin); err != nil || len(all) != 5 {
		t.Errorf("who works at turin is shown the policies %v (%v), want the five for all sites and not that of lyon", all, err)
	}
	wantRefusal(t, w.Delete(t.Context(), admin(), &fleetv1.DeletePolicyRequest{Name: "none"}), "NOT_FOUND")
	if err := audit.Verify(t.Context(), w.store); err != nil {
		t.Error(err)
	}
}

func TestFreezesAreGuardedAndListed(t *testing.T) {
	w := newWorld(t)
	operator := person(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "oli", "lyon")
	_, err := w.Freeze(t.Context(), operator, &fleetv1.FreezeRequest{Site: "lyon"})
	wantRefusal(t, err, "NO_REASON")
	_, err = w.Freeze(t.Context(), operator, &fleetv1.FreezeRequest{Reason: "all"})
	wantRefusal(t, err, "NO_RIGHT")
	_, err = w.Freeze(t.Context(), operator, &fleetv1.FreezeRequest{Site: "turin", Reason: "not mine"})
	if err == nil {
		t.Error("a site of others could be frozen")
	}
	first, err := w.Freeze(t.Context(), operator, &fleetv1.FreezeRequest{Site: "LYON", Reason: "one"})
	if err != nil || first.GetSite() != "lyon" {
		t.Fatalf("freeze %v, error %v", first, err)
	}
	again, err := w.Freeze(t.Context(), admin(), &fleetv1.FreezeRequest{Site: "lyon", Reason: "two"})
	if err != nil || again.GetReason() != "one" || again.GetBy() != "oli" {
		t.Errorf("freeze %v, error %v: want the first one, which still holds", again, err)
	}
	if _, err := w.Freeze(t.Context(), admin(), &fleetv1.FreezeRequest{Reason: "all"}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if all := w.cfg.Freezes.List(); len(all) != 2 || all[0].GetSite() != "" || w.cfg.Freezes.Frozen("turin").GetReason() != "all" {
		t.Errorf("freezes %v after a restart, want that of everywhere first", all)
	}
	seen := w.ListFreezes(person(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "tess", "turin"))
	if len(seen) != 1 || seen[0].GetSite() != "" {
		t.Errorf("who works at turin is shown the freezes %v, want that of everywhere and not that of lyon", seen)
	}
}

func TestPeopleAreToldOfFreezes(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if _, err := w.Freeze(t.Context(), admin(), &fleetv1.FreezeRequest{Site: "lyon", Reason: "validation"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := w.Unfreeze(t.Context(), admin(), &fleetv1.UnfreezeRequest{Site: "lyon", Reason: "over"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.told) != 2 || w.told[0].GetEvent() != "freeze" || w.told[0].GetSite() != "lyon" || !strings.HasPrefix(w.told[1].GetSummary(), "no longer frozen at lyon") {
		t.Errorf("people are told %v, want the freeze and its end, once each", w.told)
	}
}

func TestFixByHand(t *testing.T) {
	w := newWorld(t)
	w.set(&fleetv1.Policy{Name: "watch", Mode: fleetv1.PolicyMode_POLICY_MODE_OBSERVE})
	w.report("F-1", "band-error-3010", "T-1", nil)
	w.look()
	oli := person(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "oli", "lyon")
	fix := func(r *fleetv1.FixFaultRequest) (*fleetv1.FixFaultResponse, error) {
		r.Id = "F-1"
		return w.Fix(t.Context(), oli, r)
	}
	_, err := fix(&fleetv1.FixFaultRequest{Step: 3})
	if no := refused(t, err, "PARAMETER_WANTED"); !strings.Contains(no.Next, "--param reason=VALUE") {
		t.Errorf("next step %q, want it to name the parameter", no.Next)
	}
	_, err = fix(&fleetv1.FixFaultRequest{Step: 4})
	wantRefusal(t, err, "NO_STEP")
	for range 2 {
		got, err := fix(&fleetv1.FixFaultRequest{Step: 3, Params: map[string]string{"reason": "frozen"}, RequestId: "r-1", Reason: "INC-1"})
		if err != nil || got.GetJob().GetId() != "J1" {
			t.Fatalf("answer %v, error %v: want the same job for the same request", got, err)
		}
	}
	if f := w.faults["F-1"]; f.GetJobId() != "J1" || f.GetState() != fleetv1.FaultState_FAULT_STATE_REMEDIATING {
		t.Errorf("fault %v: want it to name the job", f)
	}
	if r := w.remedies["J1"]; r.Policy != "" || r.Entry != "band-error-3010" {
		t.Errorf("remedy %+v: want no policy, since a person asked, and the entry all the same", r)
	}
	w.wantJobs("J1 host-reboot by operator/oli")
	w.done("J1", true)
	_, err = fix(&fleetv1.FixFaultRequest{})
	wantRefusal(t, err, "RESOLVED")
}

func TestFixWhereOnlyAPersonCanHelp(t *testing.T) {
	w := newWorld(t)
	w.set(&fleetv1.Policy{Name: "watch", Mode: fleetv1.PolicyMode_POLICY_MODE_OBSERVE})
	w.report("F-1", "ble-adapter-missing", "T-1", nil)
	w.report("F-2", "nbe-missing", "T-1", func(f *fleetv1.Fault) { f.Candidates = []string{"x"} })
	got, err := w.Fix(t.Context(), admin(), &fleetv1.FixFaultRequest{Id: "F-1"})
	if err != nil || got.GetGuidedTask() != "G-1" || w.faults["F-1"].GetGuidedTask() != "G-1" {
		t.Fatalf("answer %v, error %v: want a guided task", got, err)
	}
	_, err = w.Fix(t.Context(), admin(), &fleetv1.FixFaultRequest{Id: "F-2"})
	wantRefusal(t, err, "SEVERAL_ENTRIES")
}

func TestOrders(t *testing.T) {
	w := newWorld(t)
	w.around.NesHosts = nesHosts()
	rec, _ := w.Terminal(t.Context(), "T-1")
	o, err := w.For(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	if err := naming.Check(o); err != nil {
		t.Errorf("the agent would refuse these orders: %v", err)
	}
	if len(o.GetStates()) != 2 {
		t.Errorf("%d rules, want those of the two services of a terminal", len(o.GetStates()))
	}
	var byAgent []string
	for _, r := range o.GetReflexes() {
		if r.GetByAgent() {
			byAgent = append(byAgent, r.GetEntry()+" "+r.GetAction())
		}
		if r.GetEntry() == "nba-nes-url-wrong" && r.GetParams()["url"] != "https://nes.lyon.example/nes/" {
			t.Errorf("reflex %v: want the terminal's own NES address", r)
		}
	}
	if want := []string{"nbe-missing ble-restart", "nymi-agent-missing nymi-agent-restart"}; !slices.Equal(byAgent, want) {
		t.Errorf("the agent may do %q by itself, want %q: only what starts what is stopped", byAgent, want)
	}
	before, changed := o.GetVersion(), w.Engine.Changed()
	if _, err := w.Freeze(t.Context(), admin(), &fleetv1.FreezeRequest{Site: "lyon", Reason: "x"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("nobody was told that orders have changed")
	}
	if o, _ = w.For(t.Context(), rec); !o.GetFrozen() || o.GetVersion() == before {
		t.Errorf("orders %v of version %s: want them frozen, and of another version", o.GetFrozenReason(), o.GetVersion())
	}
}

// A site for which there is no policy is told what to look for, and remedies nothing.
func TestOrdersWithoutPolicies(t *testing.T) {
	w := newWorld(t)
	for _, d := range defaults() {
		if err := w.Delete(t.Context(), admin(), &fleetv1.DeletePolicyRequest{Name: d.GetName()}); err != nil {
			t.Fatal(err)
		}
	}
	rec, _ := w.Terminal(t.Context(), "T-1")
	o, err := w.For(t.Context(), rec)
	if err != nil || len(o.GetStates()) == 0 || len(o.GetReflexes()) != 0 {
		t.Errorf("%d rules, %d reflexes, error %v: want rules and no reflex", len(o.GetStates()), len(o.GetReflexes()), err)
	}
}

func TestBreakersAreListedAndReset(t *testing.T) {
	w := newWorld(t)
	w.breakers = []*fleetv1.Breaker{
		{TerminalId: "T-1", Site: "lyon", Entry: "nbe-missing", Action: "ble-restart", Open: true},
		{TerminalId: "T-2", Site: "turin", Entry: "nbe-missing", Action: "ble-restart", Open: true},
		{TerminalId: "T-1", Site: "lyon", Entry: "nbe-missing", Action: "host-reboot"},
	}
	oli := person(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "oli", "lyon")
	if got, err := w.ListBreakers(t.Context(), oli, &fleetv1.ListBreakersRequest{}); err != nil || len(got) != 1 {
		t.Errorf("breakers %v, error %v: want the open one of oli's site", got, err)
	}
	_, err := w.ResetBreaker(t.Context(), oli, &fleetv1.ResetBreakerRequest{Terminal: "T-1", Entry: "no-such"})
	wantRefusal(t, err, "NO_BREAKER")
	if _, err := w.ResetBreaker(t.Context(), oli, &fleetv1.ResetBreakerRequest{Terminal: "T-1", Entry: "nbe-missing", Action: "ble-restart"}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Resets(t.Context(), "T-1"); err != nil || len(got) != 1 || got[0].GetBy() != "oli" {
		t.Errorf("resets %v, error %v: want one of oli, until the agent has told that it is closed", got, err)
	}
}

func TestVerifyAndSweep(t *testing.T) {
	w := newWorld(t)
	w.report("F-1", "nbe-missing", "T-1", nil)
	w.look()
	w.done("J1", true)
	w.look()
	if found, err := Verify(t.Context(), w.store); err != nil || found != "5 policies, 0 freezes, 1 remedies" {
		t.Errorf("found %q, error %v", found, err)
	}
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, _ := Verify(t.Context(), w.store); !strings.HasSuffix(found, "1 remedies") {
		t.Errorf("found %q: want the record kept for a day, since the fault may come back", found)
	}
	w.now = w.now.Add(26 * time.Hour)
	if err := w.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found, _ := Verify(t.Context(), w.store); !strings.HasSuffix(found, "0 remedies") {
		t.Errorf("found %q: want it forgotten after a day", found)
	}
}
