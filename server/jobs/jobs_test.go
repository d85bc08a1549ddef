package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// restart is the action that the test's terminals offer.
func restart() *actionv1.Action {
	return &actionv1.Action{
		Name: "ble-restart", Version: "1.0.0", Roles: []string{"user-terminal"}, MaxDuration: durationpb.New(2 * time.Minute),
		Params: []*actionv1.Param{{
			Name: "stop_timeout", Type: actionv1.ParamType_PARAM_TYPE_DURATION, DefaultValue: "10s", Min: "5s", Max: "60s",
		}},
	}
}

// fleet is an inventory of terminals T-0000, T-0001, …
type fleet struct {
	terminals []*storagev1.TerminalRecord
	actions   map[string]*actionv1.Action // by plugin hash
	mu        sync.Mutex
	settings  map[string]*fleetv1.SiteSettings
	// rolledBack are the terminals that were put into quarantine; refuse fails that.
	rolledBack []string
	refuse     error
}

func newFleet(sites ...string) *fleet {
	f := &fleet{actions: map[string]*actionv1.Action{"aa": restart()}, settings: map[string]*fleetv1.SiteSettings{}}
	for i, site := range sites {
		f.terminals = append(f.terminals, &storagev1.TerminalRecord{
			Terminal: &fleetv1.Terminal{
				Id: terminalID(i), Name: fmt.Sprintf("line-%d", i), Site: site, Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL,
			},
			PluginSha256: []string{"aa"},
		})
	}
	return f
}

func terminalID(i int) string { return fmt.Sprintf("T-%04d", i) }

func (f *fleet) Select(_ context.Context, p *access.Principal, right access.Right, sel *fleetv1.Selection) ([]*storagev1.TerminalRecord, error) {
	var found []*storagev1.TerminalRecord
	for _, t := range f.terminals {
		site := t.GetTerminal().GetSite()
		if p.May(right, site) && (len(sel.GetSites()) == 0 || slices.Contains(sel.GetSites(), site)) {
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return nil, refusal.New(refusal.NotFound, "NOTHING_MATCHES", "nothing matches")
	}
	return found, nil
}

func (f *fleet) ActionFor(_ context.Context, rec *storagev1.TerminalRecord, action string) (*actionv1.Action, *agentv1.Plugin, bool, error) {
	for _, hash := range rec.GetPluginSha256() {
		if a := f.actions[hash]; a.GetName() == action {
			return a, &agentv1.Plugin{Sha256: hash, Manifest: &actionv1.Manifest{Name: "endpoint"}}, true, nil
		}
	}
	return nil, nil, false, nil
}

func (f *fleet) Actions(context.Context, *access.Principal) ([]*fleetv1.OfferedAction, error) {
	return []*fleetv1.OfferedAction{{Action: restart()}}, nil
}

func (f *fleet) Site(_ context.Context, name string) (*fleetv1.Site, error) {
	return &fleetv1.Site{Name: name, Settings: f.settingsOf(name)}, nil
}

// set gives a site other settings, of which nobody is told.
func (f *fleet) set(site string, s *fleetv1.SiteSettings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings[site] = s
}

func (f *fleet) settingsOf(site string) *fleetv1.SiteSettings {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.settings[site]
}

func (f *fleet) AtSite(_ context.Context, site string) (found []*storagev1.TerminalRecord, _ error) {
	for _, t := range f.terminals {
		if t.GetTerminal().GetSite() == site {
			found = append(found, t)
		}
	}
	return found, nil
}

func (f *fleet) JournalRolledBack(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rolledBack = append(f.rolledBack, id)
	if f.refuse != nil {
		return f.refuse
	}
	return nil
}

func (f *fleet) Terminal(_ context.Context, id string) (*storagev1.TerminalRecord, error) {
	for _, t := range f.terminals {
		if t.GetTerminal().GetId() == id {
			return t, nil
		}
	}
	return nil, access.NotFound(access.Terminal, id)
}

// wire is a Link that records what is sent to each terminal.
type wire struct {
	mu   sync.Mutex
	sent map[string][]*agentv1.ConnectResponse
	up   map[string]uint64 // the number of the session
}

func (w *wire) Send(id string, session uint64, m *agentv1.ConnectResponse) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up[id] == session {
		w.sent[id] = append(w.sent[id], m)
	}
	return w.up[id] == session
}

// open lets a terminal have a session of which nobody has told the engine; 0 takes it away.
func (w *wire) open(id string, session uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[id] = session
}

func (w *wire) Online(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up[id] > 0
}

// dispatchWord says whether a dispatch permits.
func dispatchWord(d *agentv1.Dispatch) string {
	if d.GetPermitValidFor() == nil {
		return "dispatch"
	}
	return "dispatch for " + d.GetPermitValidFor().AsDuration().String()
}

// answerWord says what a person answered.
func answerWord(a *agentv1.Answer) string {
	return fmt.Sprintf("answer %s %v by %s", a.GetPlanId(), a.GetConfirmed(), a.GetBy())
}

// take returns what was sent to a terminal since the last call, in words.
func (w *wire) take(id string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var words []string
	for _, m := range w.sent[id] {
		switch m := m.GetMessage().(type) {
		case *agentv1.ConnectResponse_Dispatch:
			words = append(words, dispatchWord(m.Dispatch))
		case *agentv1.ConnectResponse_Permit:
			words = append(words, "permit")
		case *agentv1.ConnectResponse_Cancel:
			words = append(words, "cancel")
		case *agentv1.ConnectResponse_Hold:
			words = append(words, "hold")
		case *agentv1.ConnectResponse_Answer:
			words = append(words, answerWord(m.Answer))
		}
	}
	w.sent[id] = nil
	return words
}

// brokenStore fails every update while it is broken.
type brokenStore struct {
	store.Store
	mu     sync.Mutex
	broken bool
}

func (b *brokenStore) set(broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = broken
}

func (b *brokenStore) Update(ctx context.Context, fn func(store.Writer) error) error {
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	if broken {
		return errors.New("no space left on device")
	}
	return b.Store.Update(ctx, fn)
}

// rig is an engine on a real store, in a bubble of synthetic time.
type rig struct {
	t       *testing.T
	fleet   *fleet
	wire    *wire
	path    string
	store   *store.Bolt
	disk    *brokenStore
	engine  *Engine
	session uint64
	stop    context.CancelFunc
	ended   chan error
	secrets vault
	scans   scans
	board   board
	// freezes are by site.
	freezes freezes
	// shift is how far the server's clock is ahead of time.
	shift atomic.Int64
}

// clock is the server's clock.
func (r *rig) clock() time.Time { return time.Now().Add(time.Duration(r.shift.Load())) }

// ahead sets the server's clock forward, or back.
func (r *rig) ahead(d time.Duration) { r.shift.Add(int64(d)) }

func newRig(t *testing.T, sites ...string) *rig {
	r := &rig{t: t, fleet: newFleet(sites...), wire: &wire{sent: map[string][]*agentv1.ConnectResponse{}, up: map[string]uint64{}},
		path: filepath.Join(t.TempDir(), "store.db")}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(r.path); err != nil {
		r.t.Fatal(err)
	}
	r.disk = &brokenStore{Store: r.store}
	r.engine, err = Open(r.t.Context(), Config{
		Store: r.disk, Inventory: r.fleet, Link: r.wire, Secrets: &r.secrets, Scans: &r.scans, Notices: &r.board, Freezes: &r.freezes, Epoch: func() uint64 { return 1 }, Now: r.clock, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan error, 1)
	go func() { r.ended <- r.engine.Run(ctx) }()
}

// halt stops the engine and closes the store: every session is gone with it.
func (r *rig) halt() {
	r.t.Helper()
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Errorf("the engine ended with %v", err)
	}
	if err := audit.Verify(context.Background(), r.store); err != nil {
		r.t.Errorf("the audit chains do not hold: %v", err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
	r.wire.mu.Lock()
	clear(r.wire.up)
	clear(r.wire.sent)
	r.wire.mu.Unlock()
}

func (r *rig) restart() { r.t.Helper(); r.halt(); r.start() }

func admin() *access.Principal {
	return operator("ada", &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{access.AllSites}})
}

func operator(name string, bindings ...*fleetv1.RoleBinding) *access.Principal {
	return &access.Principal{
		Name:     identity.Name{Kind: identity.KindOperator, ID: name},
		Operator: &fleetv1.Operator{Name: name, Bindings: bindings},
	}
}

func (r *rig) create(change func(*fleetv1.CreateJobRequest)) *fleetv1.Job {
	r.t.Helper()
	job, err := r.tryCreate(change)
	if err != nil {
		r.t.Fatalf("create: %v", err)
	}
	synctest.Wait()
	return job
}

func (r *rig) tryCreate(change func(*fleetv1.CreateJobRequest)) (*fleetv1.Job, error) {
	q := &fleetv1.CreateJobRequest{Spec: &fleetv1.JobSpec{Action: "ble-restart", Selection: &fleetv1.Selection{}, Rollout: rollout.AllAtOnce()}}
	if change != nil {
		change(q)
	}
	return r.engine.Create(r.t.Context(), admin(), q)
}

func (r *rig) connect(i int, open ...*agentv1.OpenTask) { r.reconnect(i, "journal", open...) }

func (r *rig) reconnect(i int, journal string, open ...*agentv1.OpenTask) {
	r.t.Helper()
	r.session++
	r.wire.open(terminalID(i), r.session)
	if err := r.engine.Connected(r.t.Context(), terminalID(i), r.session, open, journal); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) disconnect(i int) {
	r.t.Helper()
	r.wire.open(terminalID(i), 0)
	if err := r.engine.Disconnected(r.t.Context(), terminalID(i), r.sessionOf(i)); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) sessionOf(i int) uint64 {
	var n uint64
	if err := r.engine.do(r.t.Context(), func() { n = r.engine.terminal(terminalID(i)).session }); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func key(job *fleetv1.Job) *agentv1.TaskKey { return &agentv1.TaskKey{JobId: job.GetId(), Attempt: 1} }

func open(job *fleetv1.Job, s agentv1.TaskState) *agentv1.OpenTask {
	return &agentv1.OpenTask{Key: key(job), State: s}
}

// result sends a result and returns whether it was acknowledged, with the refusal if it was not.
func (r *rig) result(i int, job *fleetv1.Job, status actionv1.TaskStatus) error {
	r.t.Helper()
	answer := make(chan error, 1)
	res := &agentv1.Result{Key: key(job), Result: &actionv1.TaskResult{Status: status, Plugin: "endpoint"}}
	if err := r.engine.Result(r.t.Context(), terminalID(i), res, func(err error) { answer <- err }); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
	select {
	case err := <-answer:
		return err
	default:
		return errors.New("no answer to the result")
	}
}

func (r *rig) job(job *fleetv1.Job) *fleetv1.Job {
	r.t.Helper()
	got, err := r.engine.Get(r.t.Context(), admin(), job.GetId())
	if err != nil {
		r.t.Fatal(err)
	}
	checkSum(r.t, got.GetCounts())
	return got
}

func (r *rig) task(i int, job *fleetv1.Job) *fleetv1.Task {
	r.t.Helper()
	list, err := r.engine.Tasks(r.t.Context(), admin(), &fleetv1.ListTasksRequest{JobId: job.GetId(), Terminal: terminalID(i)})
	if err != nil || len(list.GetTasks()) != 1 {
		r.t.Fatalf("tasks of %s on %s: %v, %v", job.GetId(), terminalID(i), list, err)
	}
	return list.GetTasks()[0]
}

func checkSum(t *testing.T, c *fleetv1.JobCounts) {
	t.Helper()
	sum := c.GetWaiting() + c.GetRunning() + c.GetSucceeded() + c.GetNoChange() + c.GetFailed() + c.GetRolledBack() +
		c.GetRollbackFailed() + c.GetExpired() + c.GetRefused() + c.GetCancelled() + c.GetUnknown() + c.GetConflict()
	if sum != c.GetTotal() {
		t.Errorf("the counts %v do not account for every target", c)
	}
}

// audited counts the audit records with a verb.
func (r *rig) audited(verb string) int {
	r.t.Helper()
	return len(r.audit(verb))
}

// change is the new value of a name in the last audit record of a verb.
func (r *rig) change(verb, name string) string {
	r.t.Helper()
	value := ""
	for _, rec := range r.audit(verb) {
		for _, c := range rec.GetChanges() {
			if c.GetName() == name {
				value = c.GetNew()
			}
		}
	}
	return value
}

// audit returns the audit records of a verb.
func (r *rig) audit(verb string) (found []*storagev1.AuditRecord) {
	r.t.Helper()
	err := r.store.View(r.t.Context(), func(s store.Snapshot) error {
		found = nil
		return s.Scan(store.TableAudit, nil, nil, func(_, value []byte) bool {
			rec := &storagev1.AuditRecord{}
			if err := protoUnmarshal(value, rec); err != nil {
				r.t.Error(err)
			}
			if rec.GetVerb() == verb {
				found = append(found, rec)
			}
			return true
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func expectSent(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

func resultOf(job *fleetv1.Job, status actionv1.TaskStatus) *agentv1.Result {
	return &agentv1.Result{Key: key(job), Result: &actionv1.TaskResult{Status: status, Plugin: "endpoint"}}
}
