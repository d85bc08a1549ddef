package faults_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/faults"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

// fixture is a desk over a real store with terminals at lyon and turin, and a clock that tests move.
type fixture struct {
	*faults.Desk
	t     testing.TB
	store *store.Bolt
	inv   *inventory.Inventory
	told  notices
	// sequence is the last of each terminal's news.
	sequence map[string]uint64
	mu       sync.Mutex
	time     time.Time
	guide    *catalogue.Catalogue
	// replaced is closed when the guide is another one.
	replaced chan struct{}
}

// notices remembers what people would have been told.
type notices struct {
	mu  sync.Mutex
	all []*fleetv1.Notice
}

func (n *notices) Post(_ store.Writer, m *fleetv1.Notice) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, m)
	return nil
}

// events counts what was told, by event.
func (n *notices) events() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	counts := map[string]int{}
	for _, m := range n.all {
		counts[m.GetEvent()]++
	}
	return counts
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := desk(t, storetest.New(t), time.Now().Truncate(time.Second))
	for _, site := range []string{"lyon", "turin"} {
		f.put(store.TableSites, store.Key(site), &fleetv1.Site{Name: site, Etag: "1", Settings: &fleetv1.SiteSettings{NesHosts: []*fleetv1.NESHost{
			{Host: "nes-" + site + "-1", Url: "https://nes-" + site + "-1.example/nes"},
		}}})
	}
	f.terminal("T-0001", "lyon")
	f.terminal("T-0002", "lyon")
	f.terminal("T-0003", "turin")
	return f
}

// desk makes one over a store, as a start of the server does.
func desk(t testing.TB, st *store.Bolt, now time.Time) *fixture {
	t.Helper()
	guide, err := catalogue.Load()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: st, time: now, sequence: map[string]uint64{}, guide: guide, replaced: make(chan struct{})}
	f.inv = inventory.New(inventory.Config{Store: f.store, Now: f.now})
	f.Desk = f.deskOver(f.store)
	return f
}

func (f *fixture) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.time
}

func (f *fixture) wait(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.time = f.time.Add(d)
}

func (f *fixture) put(table store.Table, key []byte, m proto.Message) {
	f.t.Helper()
	text, err := proto.Marshal(m)
	if err == nil {
		err = f.store.Update(f.t.Context(), func(w store.Writer) error { return w.Put(table, key, text) })
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// terminal puts a user terminal into the store.
func (f *fixture) terminal(id, site string) {
	f.machine(id, "press-"+id, site, fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, fleetv1.TerminalState_TERMINAL_STATE_ACTIVE)
}

func (f *fixture) machine(id, name, site string, role fleetv1.TerminalRole, state fleetv1.TerminalState) {
	f.t.Helper()
	f.put(store.TableTerminals, store.TerminalKey(id), &storagev1.TerminalRecord{JournalId: "journal-" + id, Terminal: &fleetv1.Terminal{
		Id: id, Name: name, Site: site, State: state, Role: role,
	}})
	f.put(store.TableTerminalNames, store.Key(access.Fold(name)), &fleetv1.Terminal{Id: id})
	if err := f.store.Update(f.t.Context(), func(w store.Writer) error {
		return w.Put(store.TableTerminalSites, store.TerminalSiteKey(site, id), nil)
	}); err != nil {
		f.t.Fatal(err)
	}
}

// newJournal gives a terminal's agent another journal.
func (f *fixture) newJournal(id, journal string) {
	f.t.Helper()
	rec, err := f.inv.Terminal(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	rec.JournalId = journal
	f.put(store.TableTerminals, store.TerminalKey(id), rec)
}

// session is a terminal as its session knows it.
func session(id string) *storagev1.TerminalRecord {
	return &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: id}}
}

// tell brings news of a terminal with the next sequence, and wants it stored.
func (f *fixture) tell(id string, news ...*agentv1.News) {
	f.t.Helper()
	for _, n := range news {
		f.sequence[id]++
		n.Sequence = f.sequence[id]
	}
	upTo, err := f.Report(f.t.Context(), session(id), news)
	if err != nil || upTo != f.sequence[id] {
		f.t.Fatalf("news of %s: stored up to %d, %v; want all %d", id, upTo, err, f.sequence[id])
	}
}

// saw is a report of a fault that is there now.
func (f *fixture) saw(entry, subject string) *agentv1.News {
	now := timestamppb.New(f.now())
	return asNews(&agentv1.FaultReport{
		Entry: entry, Subject: subject, FirstSeen: now, LastSeen: now, Count: 1, Rule: "state", Confidence: agentv1.Confidence_CONFIDENCE_STATE,
		Evidence: []*agentv1.Evidence{{Name: "service", Value: "Nymi Bluetooth Endpoint: stopped"}},
	})
}

func gone(entry, subject string) *agentv1.News {
	return asNews(&agentv1.FaultReport{Entry: entry, Subject: subject, Gone: true})
}

func asNews(r *agentv1.FaultReport) *agentv1.News {
	return &agentv1.News{News: &agentv1.News_Fault{Fault: r}}
}

// fault reads a fault, which must be there.
func (f *fixture) fault(id string) *fleetv1.Fault {
	f.t.Helper()
	got, err := f.Get(f.t.Context(), id)
	if err != nil {
		f.t.Fatalf("fault %s: %v", id, err)
	}
	return got
}

// due are the ids of what is due, in order.
func (f *fixture) due() (ids []string) {
	f.t.Helper()
	all, err := f.Due(f.t.Context(), 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, d := range all {
		ids = append(ids, d.GetId())
	}
	return ids
}

// sound checks that indexes, counts and audit chains agree.
func (f *fixture) sound() {
	f.t.Helper()
	if _, err := faults.Verify(f.t.Context(), f.store); err != nil {
		f.t.Errorf("the store does not agree with itself: %v", err)
	}
	if err := audit.Verify(f.t.Context(), f.store); err != nil {
		f.t.Error(err)
	}
}

// audited counts the audit records by verb.
func (f *fixture) audited() map[string]int {
	f.t.Helper()
	counts := map[string]int{}
	err := f.store.View(f.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, text []byte) bool {
			r := &storagev1.AuditRecord{}
			_ = proto.Unmarshal(text, r)
			counts[r.GetVerb()]++
			counts[r.GetVerb()+" by "+r.GetActor()]++
			return true
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return counts
}

// task puts the one task of a remedy into the store.
func (f *fixture) task(job, terminal string, result *actionv1.TaskResult) {
	f.put(store.TableTasks, store.TaskKey(job, 0), &storagev1.TaskRecord{Task: &fleetv1.Task{
		JobId: job, TerminalId: terminal, State: fleetv1.TaskState_TASK_STATE_DONE, Status: result.GetStatus(), Result: result,
	}})
}

// person is an operator who holds a role at sites.
func person(name string, role fleetv1.OperatorRole, sites ...string) *access.Principal {
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: name}, Operator: &fleetv1.Operator{
		Name: name, Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}},
	}}
}

func ada() *access.Principal {
	return person("ada", fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, access.AllSites)
}

const jobID = "01JZZZZZZZZZZZZZZZZZZZZZZZ"

// change is an Update that must be taken.
func (f *fixture) change(id string, fn func(*fleetv1.Fault)) {
	f.t.Helper()
	if _, err := f.Update(f.t.Context(), id, func(x *fleetv1.Fault) error { fn(x); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// decide is a Decide that must be taken.
func (f *fixture) decide(id string, again time.Time, fn func(*fleetv1.Fault)) {
	f.t.Helper()
	if _, err := f.Decide(f.t.Context(), id, again, func(x *fleetv1.Fault) error { fn(x); return nil }); err != nil {
		f.t.Fatal(err)
	}
}

// done tells that a job is done.
func (f *fixture) done(job *fleetv1.Job) {
	f.t.Helper()
	if err := f.JobDone(f.t.Context(), job); err != nil {
		f.t.Fatal(err)
	}
}

// look has Run do what it does each minute.
func (f *fixture) look() {
	f.t.Helper()
	if err := f.Look(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// deskOver is another desk with the same clock over another store.
func (f *fixture) deskOver(st store.Store) *faults.Desk {
	return faults.New(faults.Config{
		Store: st, Inventory: f.inv, Catalogue: func() faults.Catalogue { g, _ := f.current(); return g }, Notices: &f.told, Now: f.now,
		CatalogueChanged: func() <-chan struct{} { _, replaced := f.current(); return replaced }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

func (f *fixture) current() (*catalogue.Catalogue, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.guide, f.replaced
}

// without takes an entry out of the guide.
func (f *fixture) without(id string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	guide, err := catalogue.New("without "+id, slices.DeleteFunc(slices.Clone(f.guide.Entries()), func(e *catalogue.Entry) bool { return e.ID == id }))
	if err != nil {
		f.t.Fatal(err)
	}
	f.guide = guide
	close(f.replaced)
	f.replaced = make(chan struct{})
}

// cutStore takes some updates more and then none, as the store of a server that is killed.
type cutStore struct {
	store.Store
	left int
}

var errKilled = errors.New("the server was killed")

func (s *cutStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	if s.left == 0 {
		return errKilled
	}
	s.left--
	return s.Store.Update(ctx, fn)
}
