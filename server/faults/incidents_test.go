package faults_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/store"
)

const netDown = "nba-nes-network-down"

// crowd puts terminals to lyon that use its NES host, and the host itself.
func crowd(f *fixture, n int) (ids []string) {
	f.machine("T-9000", "nes-lyon-1", "lyon", fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
	for i := range n {
		id := fmt.Sprintf("T-%04d", 1000+i)
		f.terminal(id, "lyon")
		ids = append(ids, id)
	}
	return ids
}

// A whole site loses its NES host: one incident, in which all are held, and one fault that is to be remedied, that of the host.
func TestFiveHundredTerminalsLoseOneNESHost(t *testing.T) {
	f := newFixture(t)
	ids := crowd(f, 500)
	var agents sync.WaitGroup
	for shard := range slices.Chunk(ids, 50) {
		agents.Go(func() {
			for i, id := range shard {
				n := f.saw(netDown, []string{"nes-lyon-1.example:443", "NES-Lyon-1.example", ""}[i%3])
				n.Sequence = 1
				if _, err := f.Report(t.Context(), session(id), []*agentv1.News{n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	agents.Wait()
	f.wait(time.Minute)
	if due := f.due(); len(due) != 0 {
		t.Errorf("%d faults are due while the incident is open, want none: each would be a job", len(due))
	}
	if all, err := f.Decidable(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%d faults are decided on when a policy changes meanwhile (%v), want none", len(all), err)
	}
	got := f.incidents()
	if len(got) != 1 || got[0].GetOpenMembers() != 500 || got[0].GetMembers() != 500 || got[0].GetSubject() != "nes-lyon-1.example" {
		t.Fatalf("incidents: %v; want one with all 500", got)
	}
	if told := f.told.events(); told["incident.opened"] != 1 || told["fault.opened"] >= 30 {
		t.Errorf("people were told %v; want one incident, and only of the faults before it", told)
	}
	f.sound()

	f.tell("T-9000", f.saw("console-iis-stopped", ""))
	if due := f.due(); !slices.Equal(due, []string{"F-501"}) {
		t.Errorf("due: %v; want the cause at the host, at once and alone", due)
	}
	if got := f.incidents(); got[0].GetCauseFault() != "F-501" {
		t.Errorf("cause: %q, want F-501", got[0].GetCauseFault())
	}
	f.tell("T-9000", gone("console-iis-stopped", ""))
	for i, id := range ids {
		f.sequence[id] = 1
		f.tell(id, gone(netDown, []string{"nes-lyon-1.example:443", "NES-Lyon-1.example", ""}[i%50%3]))
	}
	if got := f.incidents(); len(got) != 0 {
		t.Errorf("incidents after all are gone: %v, want none that is open", got)
	}
	if n := f.told.events()["incident.resolved"]; n != 1 {
		t.Errorf("people were told %d times that it is over, want once", n)
	}
	f.sound()
}

func TestThreeOfAFewAndFivePercentOfMany(t *testing.T) {
	f := newFixture(t)
	ids := crowd(f, 100)
	need := 6 // of 102 user terminals at lyon
	for i, id := range ids[:need] {
		if got := f.incidents(); len(got) != 0 {
			t.Fatalf("an incident with %d terminals, want %d", i, need)
		}
		// Two entries of the same terminal count once.
		f.tell(id, f.saw(netDown, "nes-lyon-1.example"), f.saw("lock-nes-unreachable", "nes-lyon-1.example"))
	}
	if got := f.incidents(); len(got) != 1 || got[0].GetOpenMembers() != uint32(2*need) {
		t.Errorf("incidents: %v; want one with both faults of %d terminals", got, need)
	}
	f.tell(ids[50], f.saw(netDown, "nes-lyon-1.example"))
	if got := f.fault(idOf(2*need + 1)); got.GetIncident() != "I-1" {
		t.Errorf("a late member is of %q, want I-1", got.GetIncident())
	}
	f.sound()
}

func TestFaultsThatComeSlowlyAreNoIncident(t *testing.T) {
	f := newFixture(t)
	for _, id := range crowd(f, 4) {
		f.tell(id, f.saw(netDown, "nes-lyon-1.example"))
		f.wait(6 * time.Minute)
	}
	if got := f.incidents(); len(got) != 0 {
		t.Errorf("incidents: %v; want none when never three came within ten minutes", got)
	}
	if due := f.due(); len(due) != 4 {
		t.Errorf("due: %v; want each decided on by itself", due)
	}
	f.tell("T-0001", f.saw(netDown, "nes-lyon-1.example"))
	f.tell("T-0002", f.saw(netDown, "nes-lyon-1.example"))
	if got := f.incidents(); len(got) != 1 || got[0].GetMembers() != 6 {
		t.Errorf("incidents: %v; want one, with those that were alone before", got)
	}
	if due := f.due(); len(due) != 0 {
		t.Errorf("due: %v; want those that were alone held from now on", due)
	}
	f.sound()
}

func TestAFaultOfTheWholeSiteWaitsBeforeItIsRemediedAlone(t *testing.T) {
	f := newFixture(t)
	f.tell("T-0001", f.saw(netDown, "nes-lyon-1.example"))
	if due := f.due(); len(due) != 0 {
		t.Errorf("due at once: %v; want a moment for others to come", due)
	}
	if all, err := f.Decidable(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("decided on when a policy changes in that moment: %v (%v); want none", all, err)
	}
	f.wait(time.Minute)
	if due := f.due(); len(due) != 1 {
		t.Errorf("due after a minute: %v; want it", due)
	}
}

func TestALocalNymiAgentIsNothingInCommon(t *testing.T) {
	f := newFixture(t)
	for _, id := range crowd(f, 10) {
		f.tell(id, f.saw("nymi-agent-missing", "127.0.0.1:9120"))
	}
	if got := f.incidents(); len(got) != 0 {
		t.Errorf("incidents: %v; want none, for each has its own agent", got)
	}
	site, err := f.inv.Site(t.Context(), "lyon")
	if err != nil {
		t.Fatal(err)
	}
	site.Etag, site.Settings.NymiAgent = "2", fleetv1.NymiAgentPlacement_NYMI_AGENT_PLACEMENT_CENTRAL
	site.Settings.NymiAgentUrl = "wss://agent.lyon.example:9120/socket/websocket"
	f.put(store.TableSites, store.Key("lyon"), site)
	for i := range 5 {
		f.tell(fmt.Sprintf("T-%04d", 1000+i), gone("nymi-agent-missing", "127.0.0.1:9120"), f.saw("nymi-agent-missing", "agent.lyon.example:9120"))
	}
	if got := f.incidents(); len(got) != 1 || got[0].GetKind() != "nymi-agent" {
		t.Errorf("incidents: %v; want one of the central agent", got)
	}
	f.sound()
}

// What is left of an incident when all others are well again has another cause.
func TestStragglersAreRemediedByThemselves(t *testing.T) {
	f := newFixture(t)
	ids := crowd(f, 5)
	for _, id := range ids {
		f.tell(id, f.saw(netDown, "nes-lyon-1.example"))
	}
	for _, id := range ids[1:] {
		f.tell(id, gone(netDown, "nes-lyon-1.example"))
	}
	f.look()
	if due := f.due(); len(due) != 0 {
		t.Errorf("due: %v; want the last one held for a while", due)
	}
	f.wait(11 * time.Minute)
	f.look()
	if got := f.incidents(); len(got) != 0 || !slices.Equal(f.due(), []string{"F-1"}) {
		t.Errorf("incidents %v, due %v; want none, and the straggler", got, f.due())
	}
	f.tell(ids[0], gone(netDown, "nes-lyon-1.example"))
	f.sound()
}

// A server that was killed between an incident's opening and the taking in of those before it goes on with that.
func TestTakingInIsGoneOnWith(t *testing.T) {
	f := newFixture(t)
	ids := crowd(f, 5)
	full := &cutStore{Store: f.store}
	cut := f.deskOver(full)
	for i, id := range ids[:3] {
		n := f.saw(netDown, "nes-lyon-1.example")
		n.Sequence = 1
		full.left = 1
		if _, err := cut.Report(t.Context(), session(id), []*agentv1.News{n}); err != nil {
			t.Fatalf("report %d: %v", i, err)
		}
	}
	f.wait(time.Minute)
	if got := f.incidents(); len(got) != 1 || got[0].GetMembers() != 1 {
		t.Fatalf("incidents: %v; want one that has taken in only the last", got)
	}
	if due := f.due(); len(due) != 0 {
		t.Errorf("due: %v; want also those held that were not taken in yet", due)
	}
	f.sound()
	f.look()
	if got := f.incidents(); len(got) != 1 || got[0].GetMembers() != 3 || got[0].GetOpenMembers() != 3 {
		t.Errorf("incidents: %v; want all three in it", got)
	}
	f.sound()
}

func idOf(n int) string { return fmt.Sprintf("F-%d", n) }

// incidents are those that are open.
func (f *fixture) incidents() []*fleetv1.Incident {
	f.t.Helper()
	answer, err := f.Incidents(f.t.Context(), ada(), &fleetv1.ListIncidentsRequest{})
	if err != nil {
		f.t.Fatal(err)
	}
	return answer.GetIncidents()
}

var _ faults.Notices = (*notices)(nil)
