package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
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

// world is what an engine is among. Its faults, jobs and guided tasks are fakes that a test changes by hand; its store is a real one.
type world struct {
	told  notices
	t     *testing.T
	mu    sync.Mutex
	store *dying
	now   time.Time
	*Engine

	catalogue  *catalogue.Catalogue
	site       *fleetv1.Site
	terminals  int
	offline    map[string]bool
	disruptive map[string]bool
	around     *actionv1.Surroundings

	faults map[string]*fleetv1.Fault
	due    map[string]time.Time
	hint   chan struct{}
	// jobs by id, and the ids by request.
	jobs     map[string]*fleetv1.Job
	requests map[string]string
	made     []string
	specs    map[string]*fleetv1.JobSpec
	remedies map[string]jobs.Remedy
	refuse   error
	guided   []guided.Order
	breakers []*fleetv1.Breaker
	// failDecide fails the writing of decisions.
	failDecide error
}

// dying is a store that dies at a set write.
type dying struct {
	store.Store
	// left is how many writes still work; negative means all. after says that the last one is kept, and not told.
	left  int
	after bool
}

var errDead = fmt.Errorf("the server was killed")

func (d *dying) Update(ctx context.Context, fn func(store.Writer) error) error {
	switch {
	case d.left < 0:
		return d.Store.Update(ctx, fn)
	case d.left == 0 && d.after:
		d.left = -2
		return fmt.Errorf("%w: %w", errDead, d.Store.Update(ctx, fn))
	case d.left == 0:
		return errDead
	}
	d.left--
	return d.Store.Update(ctx, fn)
}

func entries(t *testing.T) *catalogue.Catalogue {
	t.Helper()
	service := func(signal string) catalogue.Detect {
		return catalogue.Detect{State: []catalogue.Condition{{All: []catalogue.Is{{Signal: signal, Values: []string{"stopped"}}}, For: 10 * time.Second}}}
	}
	ensure := map[string]string{"mode": "ensure-running"}
	person := &catalogue.Person{Assignee: "site-desk", Steps: []catalogue.PersonStep{{Do: "look"}}}
	c, err := catalogue.New("1", []*catalogue.Entry{
		{ID: "nbe-missing", Title: "Endpoint stopped", Target: catalogue.Terminal, Detect: service("endpoint-service"),
			Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{{Action: "ble-restart", Params: ensure}}}, Person: person},
		{ID: "nymi-agent-missing", Title: "Agent stopped", Target: catalogue.Terminal, Detect: service("nymi-agent-service"),
			Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{{Action: "nymi-agent-restart", Params: ensure}}}, Person: person,
			Common: &catalogue.Common{Kind: "nymi-agent"}},
		{ID: "band-error-3010", Title: "Code 3010", Target: catalogue.Terminal, Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{
			{Action: "ble-restart"}, {Action: "ble-adapter-cycle", If: &catalogue.Is{Signal: "adapter", Values: []string{"problem"}}, Approval: true},
			{Action: "host-reboot", Params: map[string]string{"reason": "{ask}"}},
		}}, Person: person},
		{ID: "nba-nes-url-wrong", Title: "NES URL", Target: catalogue.Terminal,
			Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{{Action: "nes-url-set", Params: map[string]string{"url": "{site.nes_url}"}}}}},
		{ID: "lock-usb-suspend", Title: "USB suspend", Target: catalogue.Terminal,
			Remedy: catalogue.Remedy{Kind: catalogue.Approval, Steps: []catalogue.Step{{Action: "usb-suspend-disable"}}}, Person: person},
		{ID: "ble-adapter-missing", Title: "No adapter", Target: catalogue.Terminal, Remedy: catalogue.Remedy{Kind: catalogue.Guided}, Person: person},
		{ID: "enroll-service-status", Title: "Enrolment", Target: catalogue.NESHost,
			Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{{Action: "diagnose", Params: map[string]string{"profile": "nes"}}}}},
		{ID: "nes-verbose-left-on", Title: "Verbose", Target: catalogue.NESHost,
			Detect: catalogue.Detect{State: []catalogue.Condition{{All: []catalogue.Is{{Signal: "verbose-logging", Values: []string{"leased"}}}}}},
			Remedy: catalogue.Remedy{Kind: catalogue.Approval, Steps: []catalogue.Step{{Action: "verbose-logging", Params: map[string]string{"state": "on"}}}}},
		{ID: "console-iis-stopped", Target: catalogue.NESHost, Remedy: catalogue.Remedy{Kind: catalogue.Auto, Steps: []catalogue.Step{{Action: "iis-restart", Params: ensure}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, store: &dying{Store: storetest.New(t), left: -1}, now: time.Date(2026, 11, 24, 3, 12, 0, 0, time.UTC), catalogue: entries(t),
		site: &fleetv1.Site{Name: "lyon", Settings: &fleetv1.SiteSettings{}}, terminals: 10, offline: map[string]bool{}, around: &actionv1.Surroundings{},
		disruptive: map[string]bool{"ble-restart": true, "nymi-agent-restart": true, "host-reboot": true, "ble-adapter-cycle": true},
		faults:     map[string]*fleetv1.Fault{}, due: map[string]time.Time{}, hint: make(chan struct{}), jobs: map[string]*fleetv1.Job{},
		requests: map[string]string{}, specs: map[string]*fleetv1.JobSpec{}, remedies: map[string]jobs.Remedy{},
	}
	w.restart()
	return w
}

// restart is what a killed server leaves: the store, and what the others have stored.
func (w *world) restart() {
	w.t.Helper()
	w.store.left = -1
	freezes, err := OpenFreezes(w.t.Context(), w.store, w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.Engine, err = Open(w.t.Context(), Config{
		Store: w.store, Catalogue: w, Inventory: w, Faults: desk{w}, Jobs: engine{w}, Guided: w, Breakers: w, Surroundings: w, Freezes: freezes, Notices: &w.told,
		Online: func(id string) bool { return !w.offline[id] }, Now: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// notices are what people are told of.
type notices []*fleetv1.Notice

func (n *notices) Post(_ store.Writer, one *fleetv1.Notice) error {
	*n = append(*n, one)
	return nil
}

func (w *world) clock() time.Time { return w.now }

func (w *world) Current() *catalogue.Catalogue { return w.catalogue }

func (w *world) Changed() <-chan struct{} { return nil }

func (w *world) Terminal(_ context.Context, id string) (*storagev1.TerminalRecord, error) {
	if !strings.HasPrefix(id, "T-") && !strings.HasPrefix(id, "nes-") {
		return nil, access.NotFound(access.Terminal, id)
	}
	role := fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL
	if strings.HasPrefix(id, "T-9") {
		role = fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST
	}
	return &storagev1.TerminalRecord{Terminal: &fleetv1.Terminal{
		Id: id, Name: "line-" + id, Site: "lyon", Role: role, State: fleetv1.TerminalState_TERMINAL_STATE_ACTIVE,
	}}, nil
}

func (w *world) Site(_ context.Context, name string) (*fleetv1.Site, error) {
	if name != "lyon" && name != "turin" {
		return nil, access.NotFound(access.Site, name)
	}
	return w.site, nil
}

func (w *world) AtSite(context.Context, string) ([]*storagev1.TerminalRecord, error) {
	return make([]*storagev1.TerminalRecord, w.terminals), nil
}

func (w *world) ActionFor(_ context.Context, _ *storagev1.TerminalRecord, name string) (*actionv1.Action, *agentv1.Plugin, bool, error) {
	return &actionv1.Action{Name: name, Disruptive: w.disruptive[name]}, nil, true, nil
}

func (w *world) Actions(context.Context, *access.Principal) ([]*fleetv1.OfferedAction, error) {
	return nil, nil
}

func (w *world) Surroundings(context.Context, string) (*actionv1.Surroundings, error) {
	return w.around, nil
}

func (w *world) Create(_ context.Context, o guided.Order) (string, error) {
	w.guided = append(w.guided, o)
	return fmt.Sprintf("G-%d", len(w.guided)), nil
}

func (w *world) TerminalBreakers(_ context.Context, id string) (found []*fleetv1.Breaker, _ error) {
	for _, b := range w.breakers {
		if b.GetTerminalId() == id {
			found = append(found, b)
		}
	}
	return found, nil
}

func (w *world) Breakers(_ context.Context, fn func(*fleetv1.Breaker)) error {
	for _, b := range w.breakers {
		fn(b)
	}
	return nil
}

func (w *world) AskReset(_ context.Context, p *access.Principal, terminal, entry, subject, action, _ string) (*fleetv1.Breaker, error) {
	for _, b := range w.breakers {
		if b.GetTerminalId() == terminal && b.GetEntry() == entry && b.GetAction() == action {
			b.ResetBy = p.Name.ID
			return b, nil
		}
	}
	return nil, access.NotFound("breaker", subject)
}

// engine is the world as what makes jobs.
type engine struct{ w *world }

func (j engine) CreateRemedy(_ context.Context, p *access.Principal, r jobs.Remedy, spec *fleetv1.JobSpec) (*fleetv1.Job, error) {
	w := j.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return nil, w.refuse
	}
	key := p.Name.String() + "/" + r.Request
	if id, ok := w.requests[key]; ok && r.Request != "" {
		return w.jobs[id], nil
	}
	id := fmt.Sprintf("J%d", len(w.made)+1)
	w.requests[key], w.specs[id], w.remedies[id] = id, spec, r
	job := &fleetv1.Job{Id: id, Action: spec.GetAction(), State: fleetv1.JobState_JOB_STATE_ACTIVE, FaultId: r.FaultID, Policy: r.Policy, Counts: &fleetv1.JobCounts{Total: 1}}
	if spec.GetApprovals() > 0 {
		job.Approval = &fleetv1.ApprovalState{Needed: spec.GetApprovals()}
	}
	w.jobs[id] = job
	w.made = append(w.made, fmt.Sprintf("%s %s by %s", id, spec.GetAction(), p.Name))
	return job, nil
}

func (j engine) Stored(_ context.Context, id string) (*fleetv1.Job, error) {
	j.w.mu.Lock()
	defer j.w.mu.Unlock()
	if job := j.w.jobs[id]; job != nil {
		return proto.CloneOf(job), nil
	}
	return nil, access.NotFound(access.Job, id)
}

func (j engine) FreezeChanged(context.Context) error { return nil }

// desk is the world as what keeps faults.
type desk struct{ w *world }

func (d desk) Due(_ context.Context, most int) (due []*fleetv1.Fault, _ error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	for id, at := range d.w.due {
		if !at.After(d.w.now) && len(due) < most {
			due = append(due, proto.CloneOf(d.w.faults[id]))
		}
	}
	slices.SortFunc(due, func(a, b *fleetv1.Fault) int { return strings.Compare(a.GetId(), b.GetId()) })
	return due, nil
}

func (d desk) NextDue(context.Context) (next time.Time, _ error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	for _, at := range d.w.due {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, nil
}

func (d desk) Get(_ context.Context, id string) (*fleetv1.Fault, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if f := d.w.faults[id]; f != nil {
		return proto.CloneOf(f), nil
	}
	return nil, access.NotFound(access.Fault, id)
}

func (d desk) Decide(_ context.Context, id string, again time.Time, change func(*fleetv1.Fault) error) (*fleetv1.Fault, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	f := d.w.faults[id]
	if f == nil {
		return nil, access.NotFound(access.Fault, id)
	}
	if d.w.failDecide != nil {
		return nil, d.w.failDecide
	}
	delete(d.w.due, id)
	if !again.IsZero() {
		d.w.due[id] = again
	}
	return f, change(f)
}

func (d desk) JobDone(context.Context, *fleetv1.Job) error { return nil }

func (d desk) Changes() <-chan struct{} {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	return d.w.hint
}

func (d desk) List(_ context.Context, _ *access.Principal, _ *fleetv1.ListFaultsRequest) (*fleetv1.ListFaultsResponse, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	answer := &fleetv1.ListFaultsResponse{}
	for _, f := range d.w.faults {
		if f.GetState() != fleetv1.FaultState_FAULT_STATE_RESOLVED {
			answer.Faults = append(answer.Faults, proto.CloneOf(f))
		}
	}
	return answer, nil
}

func (d desk) Decidable(ctx context.Context) ([]*fleetv1.Fault, error) {
	all, err := d.List(ctx, nil, nil)
	return all.GetFaults(), err
}

// report opens a fault of an entry on a terminal.
func (w *world) report(id, entry, terminal string, change func(*fleetv1.Fault)) *fleetv1.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := &fleetv1.Fault{
		Id: id, Entry: entry, Title: "title of " + entry, TerminalId: terminal, TerminalName: "line-" + terminal, Site: "lyon",
		State: fleetv1.FaultState_FAULT_STATE_OPEN, Confidence: agentv1.Confidence_CONFIDENCE_STATE, FirstSeen: timestamppb.New(w.now),
	}
	if change != nil {
		change(f)
	}
	w.faults[id], w.due[id] = f, w.now
	close(w.hint)
	w.hint = make(chan struct{})
	return f
}

// done ends a job, and the fault with it when it has helped.
func (w *world) done(id string, helped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	job := w.jobs[id]
	job.State, job.Finished = fleetv1.JobState_JOB_STATE_DONE, timestamppb.New(w.now)
	f := w.faults[job.GetFaultId()]
	f.JobId = ""
	if helped {
		job.Counts.Succeeded = 1
		f.State, f.Resolved = fleetv1.FaultState_FAULT_STATE_RESOLVED, timestamppb.New(w.now)
	} else {
		job.Counts.Failed = 1
		f.State = fleetv1.FaultState_FAULT_STATE_OPEN
	}
	w.due[f.GetId()] = w.now
}

// back reopens a fault.
func (w *world) back(id string) {
	f := w.faults[id]
	f.State, f.Resolved, f.Reopened = fleetv1.FaultState_FAULT_STATE_OPEN, nil, f.GetReopened()+1
	w.due[id] = w.now
}

// look decides on all that is due, until nothing is.
func (w *world) look() {
	w.t.Helper()
	for range 20 {
		due, _ := desk{w}.Due(w.t.Context(), 1000)
		if len(due) == 0 {
			return
		}
		for _, f := range due {
			if err := w.decide(w.t.Context(), f.GetId()); err != nil {
				w.t.Fatalf("decide on %s: %v", f.GetId(), err)
			}
		}
	}
	w.t.Fatal("a fault stays due although it was decided on: the engine would never rest")
}

// pass lets time pass and decides on what has become due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(d)
	w.look()
}

func (w *world) wantJobs(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.made, want) {
		w.t.Fatalf("jobs made: %q, want %q", w.made, want)
	}
}

func (w *world) wantDecision(id, part string) {
	w.t.Helper()
	if got := w.faults[id].GetDecision(); !strings.Contains(got, part) {
		w.t.Fatalf("decision on %s: %q, want it to say %q", id, got, part)
	}
}

func person(role fleetv1.OperatorRole, name string, sites ...string) *access.Principal {
	b := &fleetv1.RoleBinding{Role: role, Sites: sites}
	return &access.Principal{
		Name: identity.Name{Kind: identity.KindOperator, ID: name}, Operator: &fleetv1.Operator{Name: name, Bindings: []*fleetv1.RoleBinding{b}},
	}
}

func admin() *access.Principal { return person(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "ada", "*") }

func wantRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	_ = refused(t, err, reason) // it fails the test itself
}

func refused(t *testing.T, err error, reason string) *refusal.Error {
	t.Helper()
	no, ok := errors.AsType[*refusal.Error](err)
	if !ok || no.Reason != reason {
		t.Fatalf("error %v, want the refusal %s", err, reason)
	}
	return no
}
