package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what a scheduler is among: jobs that are made at once and stay active until a test ends them.
type world struct {
	t     *testing.T
	store store.Store
	now   time.Time
	// jobs by request: the id that each got.
	jobs map[string]string
	// made are the jobs in order, as "schedule by owner".
	made   []string
	active map[string]bool
	// refuse is what the creation of a job answers.
	refuse error
	// changes is whether the action changes something.
	changes bool
	revoked map[string]bool
	*Scheduler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, store: storetest.New(t), now: at(t, "2026-11-24T00:00:00Z"), jobs: map[string]string{}, active: map[string]bool{}, revoked: map[string]bool{},
	}
	w.restart()
	return w
}

// restart is what a killed server leaves: the store.
func (w *world) restart() {
	w.Scheduler = New(Config{
		Store: w.store, Jobs: w, Operators: w, Now: func() time.Time { return w.now },
		Jitter: func(d time.Duration) time.Duration { return d / 2 }, Log: slog.New(slog.DiscardHandler),
	})
}

func (w *world) Outline(_ context.Context, _ *access.Principal, spec *fleetv1.JobSpec) ([]string, bool, error) {
	if spec.GetAction() == "no-such-action" {
		return nil, false, refusal.New(refusal.NotFound, "ACTION_NOT_FOUND", "action %q: not found", spec.GetAction())
	}
	return []string{"lyon"}, w.changes, nil
}

func (w *world) CreateScheduled(_ context.Context, p *access.Principal, schedule string, r *fleetv1.CreateJobRequest) (*fleetv1.Job, error) {
	if w.refuse != nil {
		return nil, w.refuse
	}
	key := schedule + "/" + r.GetRequestId()
	if id, ok := w.jobs[key]; ok && r.GetRequestId() != "" {
		return &fleetv1.Job{Id: id}, nil
	}
	id := fmt.Sprintf("j-%d", len(w.made)+1)
	w.jobs[key], w.active[id] = id, true
	w.made = append(w.made, schedule+" by "+p.Name.ID)
	return &fleetv1.Job{Id: id}, nil
}

func (w *world) Active(_ context.Context, id string) (bool, error) { return w.active[id], nil }

func (w *world) Principal(_ context.Context, name string) (*access.Principal, error) {
	if w.revoked[name] {
		return nil, refusal.New(refusal.Denied, "OPERATOR_REVOKED", "operator %q: is revoked", name)
	}
	return person(name), nil
}

func person(name string) *access.Principal {
	b := &fleetv1.RoleBinding{Role: fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, Sites: []string{"lyon"}}
	return &access.Principal{
		Name: identity.Name{Kind: identity.KindOperator, ID: name}, Operator: &fleetv1.Operator{Name: name, Bindings: []*fleetv1.RoleBinding{b}},
	}
}

// create makes a schedule that comes every day at 02:30.
func (w *world) create(name string, change func(*fleetv1.CreateScheduleRequest)) *fleetv1.Schedule {
	w.t.Helper()
	r := &fleetv1.CreateScheduleRequest{Name: name, Cron: "30 2 * * *", Spec: &fleetv1.JobSpec{Action: "cert-scan"}}
	if change != nil {
		change(r)
	}
	s, err := w.Create(w.t.Context(), person("ada"), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// until lets time pass and looks at its end.
func (w *world) until(text string) {
	w.t.Helper()
	w.now = at(w.t, text)
	if _, err := w.look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// history returns what came of a schedule's times, newest first, as "time job|problem".
func (w *world) history(name string) (lines []string) {
	w.t.Helper()
	answer, err := w.Runs(w.t.Context(), &fleetv1.ListScheduleRunsRequest{Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range answer.GetRuns() {
		lines = append(lines, r.GetTime().AsTime().Format(time.DateTime)+" "+r.GetJobId()+r.GetProblem())
	}
	return lines
}
