// Package schedule has jobs created at set times: cron expressions read by a zone's clock, with jitter, and with rules for times that come
// while the last job is not done or that passed while the server was down. It owns the records of schedules and of what came of each
// time. A job is created with the rights that the schedule's owner has at that moment; everything that binds a person's job (approvals,
// windows, limits) binds it. server/api calls it for operators; server.go runs it.
//
// The store is its memory: a schedule's next time lies there, and each time is acted upon once, also when the server is killed in the
// middle, since the job is asked for under an id that is made from the schedule and the time.
package schedule

import (
	"context"
	"log/slog"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// Owner is who owns the schedules that come with the server. No operator can have this name.
	Owner = "fleetd"
	// lateAfter is how late a time may be acted upon without having been missed.
	lateAfter = 2 * time.Minute
	// lookEvery is how often is looked at the latest, whatever was heard.
	lookEvery = time.Minute
	// keptRuns is how much of its history a schedule keeps.
	keptRuns = 500
	// maxSchedules bounds how many there are: each look reads all of them.
	maxSchedules = 1000
)

// Jobs creates jobs.
type Jobs interface {
	// Outline resolves and checks a job without creating it: at which sites its targets are, and whether it changes something there.
	Outline(ctx context.Context, p *access.Principal, spec *fleetv1.JobSpec) (sites []string, changes bool, err error)
	// CreateScheduled creates a job for a schedule; the same request_id answers with the same job.
	CreateScheduled(ctx context.Context, p *access.Principal, schedule string, r *fleetv1.CreateJobRequest) (*fleetv1.Job, error)
	// Active says whether a job is not done. One that is not known is done.
	Active(ctx context.Context, id string) (bool, error)
}

// Operators knows the people.
type Operators interface {
	// Principal returns an operator with the rights that it has now; a refusal when there is none or it is revoked.
	Principal(ctx context.Context, name string) (*access.Principal, error)
}

// Config is what a scheduler is made of.
type Config struct {
	Store     store.Store
	Jobs      Jobs
	Operators Operators
	Now       func() time.Time
	// Jitter returns a share of a duration, chosen evenly; nil means at random.
	Jitter func(time.Duration) time.Duration
	Log    *slog.Logger
}

// Scheduler keeps the schedules of one store. Its methods are safe for concurrent use.
type Scheduler struct {
	cfg Config
	// wake tells Run that something has changed.
	wake chan struct{}
	// acting holds one token while a schedule is acted upon or changed, so that what Run decides is not overtaken.
	acting chan struct{}
}

// New makes a scheduler. Nothing is created before Run.
func New(cfg Config) *Scheduler {
	if cfg.Jitter == nil {
		cfg.Jitter = randomShare
	}
	return &Scheduler{cfg: cfg, wake: make(chan struct{}, 1), acting: make(chan struct{}, 1)}
}

// alone runs fn while no other call does.
func (s *Scheduler) alone(ctx context.Context, fn func() error) error {
	select {
	case s.acting <- struct{}{}:
		defer func() { <-s.acting }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poke makes Run look again.
func (s *Scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
