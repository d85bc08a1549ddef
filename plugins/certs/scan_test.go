package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestExpiryLevels(t *testing.T) {
	now := bubbleTime()
	for _, c := range []struct {
		left  time.Duration
		level actionv1.FindingLevel
		words string
	}{
		{61 * day, levelGood, "valid"}, {60*day + time.Second, levelGood, "valid"}, {60 * day, levelWarning, "ends within 60 days"},
		{31 * day, levelWarning, "ends within 60 days"}, {30 * day, levelWarning, "ends within 30 days"}, {14 * day, levelWarning, "ends within 14 days"},
		{7 * day, levelProblem, "ends within 7 days"}, {day, levelProblem, "ends within 1 day"}, {time.Second, levelProblem, "ends within 1 day"},
		{0, levelProblem, "expired"}, {-day, levelProblem, "expired"},
	} {
		cert := &actionv1.Certificate{NotBefore: timestamppb.New(now.Add(-365 * day)), NotAfter: timestamppb.New(now.Add(c.left))}
		if level, words := expiry(cert, now); level != c.level || words != c.words {
			t.Errorf("%s before its end: %s %q, want %s %q", c.left, level, words, c.level, c.words)
		}
	}
	cert := &actionv1.Certificate{NotBefore: timestamppb.New(now.Add(day)), NotAfter: timestamppb.New(now.Add(365 * day))}
	if level, words := expiry(cert, now); level != levelProblem || words != "not yet valid" {
		t.Errorf("before its time: %s %q, want a problem", level, words)
	}
}

// finding returns the findings of a rule about a subject with these words.
func finding(o *runnertest.Outcome, rule, subject string) []*actionv1.Finding {
	return slices.DeleteFunc(slices.Clone(o.GetFindings()), func(f *actionv1.Finding) bool {
		return f.GetRule() != rule || !strings.Contains(f.GetSubject(), subject)
	})
}

// TestScanOfANESHost: one fault at a time, against a host on which all is well.
func TestScanOfANESHost(t *testing.T) {
	names := []string{hosttest.NESHostname}
	for name, c := range map[string]struct {
		arrange func(f *fleet, m *hosttest.Memory)
		rule    string
		subject string
		level   actionv1.FindingLevel
		value   string
	}{
		"all is well":          {nil, ruleExpiry, hosttest.NESHostname, levelGood, "valid"},
		"the binding is good":  {nil, ruleBinding, webSite, levelGood, ""},
		"the chain is trusted": {nil, ruleChain, hosttest.NESHostname, levelGood, "trusted"},
		"the root is trusted":  {nil, ruleRoot, "lyon-root-2", levelGood, "trusted"},
		"it ends in 21 days": {func(f *fleet, m *hosttest.Memory) {
			m.Bind(f.issue(sample.Wanted{Names: names, NotAfter: bubbleTime().Add(21 * day)}))
		}, ruleExpiry, hosttest.NESHostname, levelWarning, "ends within 30 days"},
		"the root is missing": {func(f *fleet, m *hosttest.Memory) { m.Drop(storeRoot, f.authority.SHA256()) },
			ruleRoot, "lyon-root-2", levelWarning, "not trusted"},
		"the chain is not trusted": {func(f *fleet, m *hosttest.Memory) { m.Drop(storeRoot, f.authority.SHA256()) },
			ruleChain, hosttest.NESHostname, levelProblem, "unknown authority"},
		"one is bound nowhere": {func(f *fleet, m *hosttest.Memory) { m.Hold(storeMy, f.fresh.Certificate, true) },
			ruleUnbound, hosttest.NESHostname, levelWarning, "bound nowhere"},
		"one has no key": {func(f *fleet, m *hosttest.Memory) { m.Hold(storeMy, f.fresh.Certificate, false) },
			ruleKey, hosttest.NESHostname, levelWarning, "no private key"},
		"what is bound has no key": {func(f *fleet, m *hosttest.Memory) { m.Hold(storeWebHosting, f.old.Certificate, false) },
			ruleKey, hosttest.NESHostname, levelProblem, "no private key"},
		"what is bound is gone": {func(f *fleet, m *hosttest.Memory) { m.Drop(storeWebHosting, f.old.SHA256()) },
			ruleBinding, webSite, levelProblem, "not in the store"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.approve("lyon-root-2", f.authority.Certificate)
			if c.arrange != nil {
				f.arrange = func(m *hosttest.Memory) { c.arrange(f, m) }
			}
			runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
				o := b.Run("cert-scan", nil).Want(succeeded)
				found := finding(o, c.rule, c.subject)
				fits := func(x *actionv1.Finding) bool {
					return x.GetLevel() == c.level && strings.Contains(x.GetValue(), c.value)
				}
				if !slices.ContainsFunc(found, fits) {
					t.Errorf("findings of %s about %s are %v, want one that is %s with %q", c.rule, c.subject, found, c.level, c.value)
				}
				for _, x := range o.GetFindings() {
					if (x.GetLevel() == levelWarning || x.GetLevel() == levelProblem) && x.GetMessage() == "" {
						t.Errorf("finding %v does not say what to do", x)
					}
				}
				if len(b.Machine.Calls()) > 0 {
					t.Errorf("a scan has done %v, want nothing", b.Machine.Calls())
				}
			})
		})
	}
}

// A wrong clock is a finding, and certificates are judged by the server's.
func TestScanWithAWrongClock(t *testing.T) {
	for offset, want := range map[time.Duration]actionv1.FindingLevel{
		-5 * time.Minute: levelGood, 5*time.Minute + time.Second: levelProblem, -day: levelProblem, 400 * day: levelProblem,
	} {
		f := newFleet(t)
		runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
			b.Runner.SetServerTime(time.Now().Add(-offset)) // this machine's clock is ahead by offset
			o := b.Run("cert-scan", nil).Want(succeeded)
			if found := finding(o, ruleClock, "clock"); len(found) != 1 || found[0].GetLevel() != want {
				t.Errorf("a clock that is off by %s: findings %v, want one that is %s", offset, found, want)
			}
			if found := finding(o, ruleExpiry, hosttest.NESHostname)[0]; offset == 400*day && !strings.Contains(found.GetValue(), "not yet valid") {
				t.Errorf("by the server's clock the certificate is not valid yet; the finding is %v", found)
			}
		})
	}
}

func TestReportOfANESHost(t *testing.T) {
	f := newFleet(t)
	f.approve("lyon-root-2", f.authority.Certificate)
	f.site.ApprovedRoots = append(f.site.ApprovedRoots, &actionv1.ApprovedRoot{Name: "other", Sha256: strings.ToUpper(hash("d"))})
	runnertest.In(t, f.setup(), func(b *runnertest.Bench) {
		report := b.Run("cert-scan", nil).Want(succeeded).GetCertificates()
		if roots := report.GetRoots(); len(roots) != 2 || !roots[f.authority.SHA256()] || roots[hash("d")] {
			t.Errorf("roots are %v, want both approved ones, of which one is trusted", roots)
		}
		if len(report.GetStores()) != 4 || len(report.GetBindings()) != 1 || !report.GetScanned().AsTime().Equal(time.Now()) {
			t.Errorf("report %v, want four stores, one binding and the time", report)
		}
		for _, want := range []string{f.old.SHA256(), f.authority.SHA256()} {
			if !slices.ContainsFunc(report.GetCertificates(), func(c *actionv1.Certificate) bool { return c.GetSha256() == want && c.GetStore() != "" }) {
				t.Errorf("certificate %s is not in the report, with its store", want)
			}
		}
	})
}

// A terminal has no web server, and may have no server to ask: what could be read is reported all the same.
func TestReportOfATerminal(t *testing.T) {
	f := newFleet(t)
	f.offline = true
	s := f.setup()
	s.Terminal, s.Machine = nil, hosttest.NewMemory
	runnertest.In(t, s, func(b *runnertest.Bench) {
		o := b.Run("cert-scan", nil).Want(succeeded)
		if len(o.GetCertificates().GetStores()) == 0 {
			t.Error("no store is in the report")
		}
		if found := finding(o, ruleRoot, ""); len(found) != 1 || found[0].GetLevel() != levelUnknown {
			t.Errorf("findings about roots are %v, want that they are not known", found)
		}
		if found := finding(o, ruleBinding, ""); len(found) > 0 {
			t.Errorf("findings about bindings are %v, want none: it is no NES host", found)
		}
		if roots := o.GetCertificates().GetRoots(); len(roots) > 0 {
			t.Errorf("roots are %v, want none: the server did not say which are approved", roots)
		}
	})
}

// A machine with hundreds of roots reports those that matter.
func TestReportIsBounded(t *testing.T) {
	s := &scan{now: bubbleTime(), report: &actionv1.CertificateReport{}, needed: map[string]bool{}, stores: map[string][]*actionv1.Certificate{}}
	for i := range 1000 {
		c := leaf("e")
		c.Sha256 = fmt.Sprintf("%064x", i)
		if i < 900 {
			c.NotAfter = timestamppb.New(bubbleTime())
		}
		s.stores[storeRoot] = append(s.stores[storeRoot], c)
	}
	s.list()
	n, size := len(s.report.GetCertificates()), proto.Size(s.report)
	if n == 0 || n+s.unlisted != 900 || size > maxReportBytes+10_000 {
		t.Errorf("%d certificates with %d bytes are listed and %d are not; want as many as fit of the 900 that end", n, size, s.unlisted)
	}
	for range 1000 {
		s.find(ruleUnbound, levelGood, strings.Repeat("s", 100), "", "", "")
	}
	s.find(ruleKey, levelProblem, "the last one", "", "", "")
	worst := s.worst()
	if len(worst) == 0 || len(worst) > maxFound || worst[0].GetRule() != ruleKey {
		t.Errorf("%d findings are told, the first of rule %q; want at most %d, the problem first", len(worst), worst[0].GetRule(), maxFound)
	}
	if room := 240 << 10; size+maxFoundBytes > room {
		t.Errorf("a report of %d bytes with findings of %d is more than an agent takes in one phase, want at most %d", size, maxFoundBytes, room)
	}
}
