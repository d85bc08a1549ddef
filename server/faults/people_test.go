package faults_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Each call of a person has one audit record in that person's name; what changes nothing has none.
func TestWhatPeopleDoIsAudited(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	report := &fleetv1.ReportFaultRequest{Terminal: "press-T-0001", Entry: "nbe-missing", Note: "no light on the adapter", RequestId: "r-1"}
	made, err := f.ReportByPerson(ctx, ada(), report)
	if err != nil || made.GetReportedBy() != "ada" || made.GetState() != open {
		t.Fatalf("report: %v, %v; want a fault reported by ada", made, err)
	}
	if again, err := f.ReportByPerson(ctx, ada(), report); err != nil || again.GetId() != made.GetId() || again.GetCount() != 1 {
		t.Errorf("the same request again: %v, %v; want the same fault, counted once", again, err)
	}
	for range 2 {
		if got, err := f.Ack(ctx, ada(), &fleetv1.AckFaultRequest{Id: "f-1"}); err != nil || got.GetState() != fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED {
			t.Errorf("ack: %v, %v", got.GetState(), err)
		}
		if got, err := f.Assign(ctx, ada(), &fleetv1.AssignFaultRequest{Id: "F-1", Assignee: "site-desk"}); err != nil || got.GetAssignee() != "site-desk" {
			t.Errorf("assign: %q, %v", got.GetAssignee(), err)
		}
	}
	for range 2 {
		if got, err := f.Resolve(ctx, ada(), &fleetv1.ResolveFaultRequest{Id: "F-1", Reason: "cable was out"}); err != nil || got.GetResolvedBy() != "ada: cable was out" {
			t.Errorf("resolve: %v, %v", got, err)
		}
	}
	counts := f.audited()
	for verb, want := range map[string]int{"fault.report": 1, "fault.ack": 2, "fault.assign": 1, "fault.resolve": 1} {
		if got := counts[verb+" by operator/ada"]; got != want {
			t.Errorf("%d audit records of %s by ada, want %d", got, verb, want)
		}
	}
	f.sound()
}

func TestWhatPeopleMayNotDo(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	f.tell("T-0001", f.saw("nbe-missing", ""), gone("nbe-missing", ""), f.saw("ble-adapter-missing", ""))
	for name, c := range map[string]struct {
		do   func() (*fleetv1.Fault, error)
		kind refusal.Kind
	}{
		"a fault that is not there": {func() (*fleetv1.Fault, error) { return f.Ack(ctx, ada(), &fleetv1.AckFaultRequest{Id: "F-99"}) }, refusal.NotFound},
		"an id that is none":        {func() (*fleetv1.Fault, error) { return f.Ack(ctx, ada(), &fleetv1.AckFaultRequest{Id: "F-01"}) }, refusal.NotFound},
		"one that is resolved":      {func() (*fleetv1.Fault, error) { return f.Ack(ctx, ada(), &fleetv1.AckFaultRequest{Id: "F-1"}) }, refusal.Precondition},
		"resolved without a reason": {func() (*fleetv1.Fault, error) {
			return f.Resolve(ctx, ada(), &fleetv1.ResolveFaultRequest{Id: "F-2", Reason: " "})
		}, refusal.Invalid},
		"a reason of two lines": {func() (*fleetv1.Fault, error) {
			return f.Resolve(ctx, ada(), &fleetv1.ResolveFaultRequest{Id: "F-2", Reason: "a\nb"})
		}, refusal.Invalid},
		"an assignee with escapes": {func() (*fleetv1.Fault, error) {
			return f.Assign(ctx, ada(), &fleetv1.AssignFaultRequest{Id: "F-2", Assignee: "\x1b[2J"})
		}, refusal.Invalid},
		"an entry that is not there": {func() (*fleetv1.Fault, error) {
			return f.ReportByPerson(ctx, ada(), &fleetv1.ReportFaultRequest{Terminal: "T-0001", Entry: "x"})
		}, refusal.Invalid},
		"an entry of another machine": {func() (*fleetv1.Fault, error) {
			return f.ReportByPerson(ctx, ada(), &fleetv1.ReportFaultRequest{Terminal: "T-0001", Entry: "console-iis-stopped"})
		}, refusal.Invalid},
		"a terminal that is not there": {func() (*fleetv1.Fault, error) {
			return f.ReportByPerson(ctx, ada(), &fleetv1.ReportFaultRequest{Terminal: "T-0999", Entry: "nbe-missing"})
		}, refusal.NotFound},
	} {
		_, err := c.do()
		var no *refusal.Error
		if !errors.As(err, &no) || no.Kind != c.kind {
			t.Errorf("%s: %v; want a refusal of kind %d", name, err, c.kind)
		}
	}
	if got := f.fault("F-2"); got.GetState() != open || len(got.GetHistory()) != 1 {
		t.Errorf("what was refused has changed the fault: %v", got)
	}
}

// A person says that it is gone, and the agent sees it still.
func TestTheAgentKnowsBetter(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	before := f.saw("nbe-missing", "")
	f.wait(time.Minute)
	if _, err := f.Resolve(t.Context(), ada(), &fleetv1.ResolveFaultRequest{Id: "F-1", Reason: "works"}); err != nil {
		t.Fatal(err)
	}
	f.tell("T-0001", before)
	if got := f.fault("F-1"); got.GetState() != resolved {
		t.Errorf("seen before it was resolved: %v; want it to stay resolved", got.GetState())
	}
	f.wait(time.Minute)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	if got := f.fault("F-1"); got.GetState() != open || got.GetReopened() != 1 {
		t.Errorf("seen after it: %v, reopened %d; want it open again", got.GetState(), got.GetReopened())
	}
	f.sound()
}

func TestListsShowTheCallersSites(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""), f.saw("ble-adapter-missing", ""))
	f.tell("T-0003", f.saw("nbe-missing", ""))
	f.tell("T-0002", f.saw("nbe-missing", ""), gone("nbe-missing", ""))
	lyon := person("lena", fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	now := timestamppb.New(f.now().Add(-time.Minute))
	for name, c := range map[string]struct {
		p    *access.Principal
		req  *fleetv1.ListFaultsRequest
		want string
	}{
		"all that are open":  {ada(), &fleetv1.ListFaultsRequest{}, "F-3 F-2 F-1"},
		"of the caller":      {lyon, &fleetv1.ListFaultsRequest{}, "F-2 F-1"},
		"of another's site":  {lyon, &fleetv1.ListFaultsRequest{Site: "turin"}, ""},
		"of a site":          {ada(), &fleetv1.ListFaultsRequest{Site: "Turin"}, "F-3"},
		"since":              {ada(), &fleetv1.ListFaultsRequest{Since: now}, "F-4 F-3 F-2 F-1"},
		"resolved":           {ada(), &fleetv1.ListFaultsRequest{States: []fleetv1.FaultState{resolved}}, "F-4"},
		"of a terminal":      {ada(), &fleetv1.ListFaultsRequest{Terminal: "press-T-0001"}, "F-2 F-1"},
		"of an entry":        {ada(), &fleetv1.ListFaultsRequest{Entry: "ble-adapter-missing"}, "F-2"},
		"of nobody's rights": {nil, &fleetv1.ListFaultsRequest{}, ""},
	} {
		if got := f.list(c.p, c.req); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{PageSize: 1, Since: now}); got != "F-4 F-3 F-2 F-1" {
		t.Errorf("page by page: %q; want all once", got)
	}
	for name, req := range map[string]*fleetv1.ListFaultsRequest{
		"a token": {PageToken: "x"}, "a size": {PageSize: -1}, "a state": {States: []fleetv1.FaultState{99}},
	} {
		if _, err := f.List(t.Context(), ada(), req); err == nil {
			t.Errorf("%s that is none was taken", name)
		}
	}
	if _, err := f.List(t.Context(), lyon, &fleetv1.ListFaultsRequest{Terminal: "T-0003"}); err == nil {
		t.Error("a terminal of another site was not answered as one that does not exist")
	}
}

func (f *fixture) list(p *access.Principal, req *fleetv1.ListFaultsRequest) string {
	f.t.Helper()
	var ids []string
	for {
		answer, err := f.List(f.t.Context(), p, req)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, x := range answer.GetFaults() {
			ids = append(ids, x.GetId())
			if len(x.GetHistory()) > 0 {
				f.t.Errorf("fault %s has its history in a list", x.GetId())
			}
		}
		if req.PageToken = answer.GetNextPageToken(); req.GetPageToken() == "" {
			return strings.Join(ids, " ")
		}
	}
}

func TestAWatchTellsWhatIsThereAndWhatComes(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw("nbe-missing", ""))
	f.tell("T-0003", f.saw("nbe-missing", ""))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	told := make(chan *fleetv1.WatchFaultsResponse)
	ended := make(chan error, 1)
	lyon := person("lena", fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	go func() {
		ended <- f.Watch(ctx, lyon, &fleetv1.WatchFaultsRequest{}, func(m *fleetv1.WatchFaultsResponse) error {
			select {
			case told <- m:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	if m := <-told; !m.GetReset_() {
		t.Errorf("first: %v; want that what follows is all", m)
	}
	if m := <-told; m.GetFault().GetId() != "F-1" {
		t.Errorf("then: %v; want the open fault of the caller's site", m)
	}
	if m := <-told; !m.GetCurrent() {
		t.Errorf("then: %v; want that all was sent", m)
	}
	f.tell("T-0003", gone("nbe-missing", ""))
	f.tell("T-0001", gone("nbe-missing", ""))
	if m := <-told; m.GetFault().GetId() != "F-1" || m.GetFault().GetState() != resolved {
		t.Errorf("after it is gone: %v; want it resolved", m)
	}
	stop()
	if err := <-ended; err == nil {
		t.Error("the watch ended without saying why")
	}
}

func TestUnmatchedLinesAreCountedAndBounded(t *testing.T) {
	f, ctx := newFixture(t), t.Context()
	count := func(id string, lines ...*agentv1.UnmatchedTemplate) {
		t.Helper()
		if err := f.CountUnmatched(ctx, session(id), &agentv1.UnmatchedLines{Templates: lines}); err != nil {
			t.Fatal(err)
		}
	}
	count("T-0001", &agentv1.UnmatchedTemplate{FileClass: "nem", Template: "error # in #", Count: 3})
	count("T-0002", &agentv1.UnmatchedTemplate{FileClass: "nem", Template: "error # in #", Count: 4},
		&agentv1.UnmatchedTemplate{FileClass: "nem", Template: "a\x1b[2Jb", Count: 4}, &agentv1.UnmatchedTemplate{FileClass: "../x", Template: "y", Count: 1})
	answer, err := f.UnmatchedLines(ctx, ada(), &fleetv1.ListUnmatchedLinesRequest{})
	if err != nil || len(answer.GetLines()) != 1 || answer.GetLines()[0].GetCount() != 7 || answer.GetLines()[0].GetTerminals() != 2 {
		t.Errorf("lines: %v, %v; want one, 7 times on 2 terminals", answer, err)
	}
	for i := range 12 {
		var lines []*agentv1.UnmatchedTemplate
		for j := range 100 {
			lines = append(lines, &agentv1.UnmatchedTemplate{FileClass: "nem", Template: strings.Repeat("x", i+1) + strings.Repeat("y", j), Count: 1})
		}
		count("T-0001", lines...)
	}
	answer, err = f.UnmatchedLines(ctx, ada(), &fleetv1.ListUnmatchedLinesRequest{Site: "lyon"})
	if err != nil || len(answer.GetLines()) != 1000 || answer.GetLines()[0].GetCount() != 7 {
		t.Errorf("%d kinds of lines, %v; want 1000, the most frequent first", len(answer.GetLines()), err)
	}
	if answer, err := f.UnmatchedLines(ctx, person("tom", fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "turin"), &fleetv1.ListUnmatchedLinesRequest{}); err != nil || len(answer.GetLines()) > 0 {
		t.Errorf("another site's operator sees %d lines, %v", len(answer.GetLines()), err)
	}
	f.wait(31 * 24 * time.Hour)
	if err := f.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if answer, _ := f.UnmatchedLines(ctx, ada(), &fleetv1.ListUnmatchedLinesRequest{}); len(answer.GetLines()) != 0 {
		t.Errorf("%d lines after a month in which nobody saw them, want none", len(answer.GetLines()))
	}
}

// What a job finds is a fault until a later one finds it well; what the agent sees all the time is not ended by that.
func TestFindingsAreFaults(t *testing.T) {
	f := newFixture(t)
	finding := func(rule string, level actionv1.FindingLevel, value string) *actionv1.Finding {
		return &actionv1.Finding{Rule: rule, Level: level, Subject: "nbe.toml", Value: value, Expected: "well-formed\x1b[2J"}
	}
	const bad, good = actionv1.FindingLevel_FINDING_LEVEL_PROBLEM, actionv1.FindingLevel_FINDING_LEVEL_GOOD
	f.finds("T-0001", &actionv1.TaskResult{Findings: []*actionv1.Finding{finding("nbe-file", bad, "line 3"), finding("service-endpoint", bad, "not installed"), finding("other", bad, "")}})
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "F-2 F-1" {
		t.Fatalf("faults: %q, want two", got)
	}
	if a, b := f.fault("F-1"), f.fault("F-2"); a.GetEntry() != "nbe-config-invalid" || b.GetEntry() != "nbe-not-installed" || strings.Contains(a.String(), "\x1b") {
		t.Errorf("entries %q, %q; want nbe-config-invalid, nbe-not-installed, without escapes", a.GetEntry(), b.GetEntry())
	}
	f.tell("T-0001", f.saw("nbe-config-invalid", ""))
	f.finds("T-0001", &actionv1.TaskResult{Findings: []*actionv1.Finding{finding("nbe-file", good, ""), finding("service-endpoint", good, "running")}})
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "F-1" {
		t.Errorf("open after all was found well: %q; want only what the agent sees itself", got)
	}
	f.sound()
}

func TestCertificatesThatEndAreFaults(t *testing.T) {
	f := newFixture(t)
	f.machine("T-9000", "nes-lyon-1", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	hash := strings.Repeat("ab", 32)
	scan := func(left time.Duration) {
		f.finds("T-9000", &actionv1.TaskResult{Certificates: &actionv1.CertificateReport{
			Certificates: []*actionv1.Certificate{{Sha256: hash, Store: "My", Subject: "CN=nes", NotAfter: timestamppb.New(f.now().Add(left))}},
			Bindings:     []*actionv1.Binding{{Site: "Default Web Site", CertificateSha256: hash, Store: "My"}},
		}})
	}
	scan(60 * 24 * time.Hour)
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "" {
		t.Errorf("sixty days before its end: %q, want nothing", got)
	}
	scan(10 * 24 * time.Hour)
	if got := f.fault("F-1"); got.GetEntry() != "cert-tls-check" || got.GetSubject() != hash {
		t.Errorf("ten days before its end: %v; want cert-tls-check of that certificate", got)
	}
	scan(-time.Hour)
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "F-2" || f.fault("F-2").GetEntry() != "cert-tls-replace" {
		t.Errorf("after its end: %q; want cert-tls-replace alone", got)
	}
	f.sound()
}

func TestCertificateThatIsServedNoMoreIsNoFault(t *testing.T) {
	f := newFixture(t)
	f.machine("T-9000", "nes-lyon-1", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	before, after := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	scan := func(bindings ...*actionv1.Binding) {
		f.finds("T-9000", &actionv1.TaskResult{Certificates: &actionv1.CertificateReport{
			Certificates: []*actionv1.Certificate{
				{Sha256: before, Store: "My", Subject: "CN=nes", NotAfter: timestamppb.New(f.now().Add(10 * 24 * time.Hour))},
				{Sha256: after, Store: "My", Subject: "CN=nes", NotAfter: timestamppb.New(f.now().Add(360 * 24 * time.Hour))},
			},
			Bindings: bindings,
		}})
	}
	scan(&actionv1.Binding{Site: "Default Web Site", CertificateSha256: before, Store: "My"})
	scan()
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "F-1" {
		t.Errorf("after a scan that could not read bindings: %q; want the fault as it was", got)
	}
	scan(&actionv1.Binding{Site: "Default Web Site", CertificateSha256: after, Store: "My"})
	if got := f.list(ada(), &fleetv1.ListFaultsRequest{}); got != "" {
		t.Errorf("after another certificate was bound: %q; want nothing, though the one before is still in its store", got)
	}
	f.sound()
}

// finds has a task bring a result, and the desk look at it.
func (f *fixture) finds(terminal string, r *actionv1.TaskResult) {
	f.t.Helper()
	f.task(jobID, terminal, r)
	err := f.store.Update(f.t.Context(), func(w store.Writer) error {
		return f.NoteResult(w, &fleetv1.Task{JobId: jobID, TerminalId: terminal, Result: r})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.look()
	if left := f.records(store.TableFindings); left != 0 {
		f.t.Errorf("%d results wait still to be looked at", left)
	}
}

func (f *fixture) records(t store.Table) (n int) {
	f.t.Helper()
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		n = 0
		return v.Scan(t, nil, nil, func(_, _ []byte) bool { n++; return true })
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// closed is the news that a breaker is closed now.
func closed(f *fixture, action string) *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Breaker{Breaker: &agentv1.BreakerState{Entry: "nbe-missing", Action: action, Since: timestamppb.New(f.now())}}}
}

func TestOldFaultsAreForgotten(t *testing.T) {
	f := newFixture(t)
	ids := crowd(f, 40)
	for _, id := range ids {
		f.tell(id, f.saw(netDown, "nes-lyon-1.example"))
	}
	for _, id := range ids {
		f.tell(id, gone(netDown, "nes-lyon-1.example"))
	}
	f.tell("T-0001", f.saw("nbe-missing", ""), closed(f, "ble-restart"))
	f.wait(91 * 24 * time.Hour)
	f.machine("T-0001", "press-T-0001", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED)
	if err := f.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[store.Table]int{
		store.TableFaults: 1, store.TableFaultKeys: 1, store.TableFaultEnds: 1, store.TableOpenFaults: 0, store.TableIncidents: 0, store.TableIncidentMembers: 0,
		store.TableCommons: 0, store.TableBreakers: 0,
	} {
		if got := f.records(table); got != want {
			t.Errorf("table %s holds %d records after 91 days, want %d", table, got, want)
		}
	}
	if got := f.fault("F-41"); got.GetResolvedBy() != "the terminal was decommissioned" {
		t.Errorf("fault of a terminal that was decommissioned: %v by %q; want it resolved", got.GetState(), got.GetResolvedBy())
	}
	f.sound()
}
