package guided_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ada  = operator("ada", "lyon")
	jane = operator("jane", "lyon")
	// far works elsewhere.
	far = operator("far", "turin")
)

func operator(name string, sites ...string) *access.Principal {
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: name},
		Operator: &fleetv1.Operator{Name: name, Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: sites}}},
	}
}

// desk is a desk over a real store, with a small catalogue, machines and bands that tests name, and a clock that they move.
type desk struct {
	*guided.Desk
	t     *testing.T
	store *store.Bolt
	now   time.Time

	mu      sync.Mutex
	entries map[string]*catalogue.Entry
	faults  map[string]*fleetv1.Fault
	told    []string
	notices []*fleetv1.Notice
	jobs    *questions
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{
		t: t, store: storetest.New(t), now: time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC), faults: map[string]*fleetv1.Fault{},
		jobs: &questions{asked: make(chan struct{}, 1), stored: map[string]*fleetv1.Task{}},
	}
	d.entries = map[string]*catalogue.Entry{}
	for _, e := range entries() {
		d.entries[e.ID] = e
	}
	d.open()
	return d
}

// open makes the desk anew over the same store, as a start of the server does.
func (d *desk) open() {
	d.Desk = guided.New(guided.Config{
		Store: d.store, Inventory: d, Catalogue: func() guided.Catalogue { return d }, Faults: d, Questions: d.jobs, Notices: d,
		TellBand: func(_ store.Writer, serial, by, note string) error {
			d.told = append(d.told, serial+" by "+by+": "+note)
			return nil
		},
		Now: func() time.Time { return d.now }, Log: slog.New(slog.DiscardHandler),
	})
}

func entries() []*catalogue.Entry {
	person := func(p catalogue.Person) *catalogue.Person { return &p }
	return []*catalogue.Entry{
		{ID: "band-dead", Title: "A band does not wake up", Verify: "it wakes", Person: person(catalogue.Person{
			Assignee: "site-desk", Due: 8 * time.Hour, Escalate: "inventory-manager", Steps: []catalogue.PersonStep{
				{Do: "Put band {band} on its charger."}, {Do: "Charge it.", Timer: 2 * time.Hour}, {Do: "Else restart it.", Optional: true},
			},
		})},
		{ID: "band-lost", Title: "A band is lost", Person: person(catalogue.Person{
			Assignee: "nes-administrator", Priority: "urgent", Due: 30 * time.Minute, Escalate: "it-operations", OtherPerson: true,
			Names: "the administrator who deactivated the band in NES", Steps: []catalogue.PersonStep{{Do: "Deactivate it."}},
		})},
		{ID: "band-lockout", Title: "A band has locked its user out", Person: person(catalogue.Person{
			Assignee: "site-desk", Steps: []catalogue.PersonStep{{Do: "Tell the user that it lasts {lockout}."}},
		})},
		{ID: "ble-adapter-missing", Title: "The adapter is missing", Detect: catalogue.Detect{State: []catalogue.Condition{{For: 30 * time.Second}}},
			Person: person(catalogue.Person{Assignee: "site-desk", Steps: []catalogue.PersonStep{{Do: "Plug it in."}}})},
		{ID: "band-error-2000", Title: "Error 2000", Detect: catalogue.Detect{Reported: true},
			Person: person(catalogue.Person{Assignee: "site-desk", Priority: "low", Steps: []catalogue.PersonStep{{Do: "Read the code again."}}})},
		{ID: "firmware-log-fetch", Title: "The log of a band", Remedy: catalogue.Remedy{Steps: []catalogue.Step{{Action: "firmware-logs-fetch"}}},
			Person: person(catalogue.Person{Assignee: "site-desk", Steps: []catalogue.PersonStep{{Do: "Put the band on the charger."}, {Do: "Give the file away."}}})},
		{ID: "machine-only", Title: "No person is needed"},
	}
}

func (d *desk) Entry(id string) *catalogue.Entry { return d.entries[id] }

func (d *desk) Entries() []*catalogue.Entry {
	var all []*catalogue.Entry
	for _, id := range slices.Sorted(maps.Keys(d.entries)) {
		all = append(all, d.entries[id])
	}
	return all
}

func (d *desk) Terminal(_ context.Context, name string) (*storagev1.TerminalRecord, error) {
	if name != "T-0001" && name != "press-1" {
		return nil, access.NotFound(access.Terminal, name)
	}
	return &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{Id: "T-0001", Name: "press-1", Site: "lyon"}}, nil
}

func (d *desk) Site(_ context.Context, name string) (*fleetv1.Site, error) {
	if name != "lyon" && name != "turin" {
		return nil, access.NotFound(access.Site, name)
	}
	return &fleetv1.Site{Name: name}, nil
}

func (d *desk) Band(_ context.Context, serial string) (*fleetv1.Band, error) {
	return &fleetv1.Band{Serial: serial, Site: "lyon"}, nil
}

func (d *desk) Update(_ context.Context, id string, change func(*fleetv1.Fault) error) (*fleetv1.Fault, error) {
	f := d.faults[id]
	if f == nil {
		return nil, access.NotFound(access.Fault, id)
	}
	return f, change(f)
}

func (d *desk) Post(_ store.Writer, n *fleetv1.Notice) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notices = append(d.notices, n)
	return nil
}

// questions are those of jobs that tests make.
type questions struct {
	asked   chan struct{}
	asking  []jobs.Asking
	stored  map[string]*fleetv1.Task
	answers []bool
	refuse  error
}

func (q *questions) Asking(context.Context) ([]jobs.Asking, error) { return q.asking, nil }
func (q *questions) Asked() <-chan struct{}                        { return q.asked }

func (q *questions) TaskOf(_ context.Context, job, terminal string) (*fleetv1.Task, error) {
	if t := q.stored[job+"/"+terminal]; t != nil {
		return t, nil
	}
	return nil, refusal.New(refusal.NotFound, "NOT_FOUND", "no task")
}

func (q *questions) Confirm(_ context.Context, p *access.Principal, r *fleetv1.ConfirmTaskRequest) (*fleetv1.Task, error) {
	if q.refuse != nil {
		return nil, q.refuse
	}
	q.answers = append(q.answers, r.GetConfirmed())
	t := q.stored[r.GetJobId()+"/"+r.GetTerminal()]
	t.Answers = append(t.Answers, &fleetv1.Answer{PlanId: q.asking[0].Task.GetQuestion().GetPlanId(), Confirmed: r.GetConfirmed(), By: p.Name.ID})
	return t, nil
}

// mustCreate makes a task for an order and returns it.
func (d *desk) mustCreate(o guided.Order) *fleetv1.GuidedTask {
	d.t.Helper()
	id, err := d.Create(d.t.Context(), o)
	if err != nil {
		d.t.Fatal(err)
	}
	return d.mustGet(id)
}

func (d *desk) mustGet(id string) *fleetv1.GuidedTask {
	d.t.Helper()
	task, err := d.Get(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return task
}

// later moves the clock and does what is due then.
func (d *desk) later(by time.Duration) {
	d.t.Helper()
	d.now = d.now.Add(by)
	d.look()
}

func (d *desk) look() {
	d.t.Helper()
	if _, err := d.Look(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// sound wants every index to agree with the records.
func (d *desk) sound() {
	d.t.Helper()
	if found, err := guided.Verify(d.t.Context(), d.store); err != nil {
		d.t.Errorf("the store is not sound (%s): %v", found, err)
	}
}

// records lists the verbs of all audit records, in order.
func (d *desk) records() (verbs []string) {
	d.t.Helper()
	err := d.store.View(d.t.Context(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, text []byte) bool {
			r := &storagev1.AuditRecord{}
			if err := proto.Unmarshal(text, r); err != nil {
				d.t.Error(err)
			}
			verbs = append(verbs, r.GetVerb())
			return true
		})
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return verbs
}

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	no, ok := errors.AsType[*refusal.Error](err)
	if !ok || no.Reason != reason {
		t.Errorf("error %v, want a refusal with reason %s", err, reason)
	}
}
