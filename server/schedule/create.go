package schedule

import (
	"context"
	"errors"
	"regexp"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxJitter bounds how much later than its time a job is created.
const maxJitter = 24 * time.Hour

var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func validName(name string) bool { return namePattern.MatchString(name) }

// Create makes a schedule. Its job is resolved and checked as if it were asked for now. The same request_id answers with the same schedule.
func (s *Scheduler) Create(ctx context.Context, p *access.Principal, r *fleetv1.CreateScheduleRequest) (*fleetv1.Schedule, error) {
	request, err := requests.New(p.Name.String(), "schedule.create", r)
	if err != nil {
		return nil, err
	}
	rec, err := s.draft(ctx, p, r)
	if err != nil {
		return nil, err
	}
	made := rec.GetSchedule()
	err = s.cfg.Store.Update(ctx, func(w store.Writer) error {
		earlier, err := request.Done(w)
		if err != nil {
			return err
		}
		if earlier != "" {
			before, err := read(w, earlier)
			made = before.GetSchedule()
			return err
		}
		made = rec.GetSchedule()
		return s.add(w, p, rec, request)
	})
	if err != nil {
		return nil, err
	}
	s.poke()
	return made, nil
}

// draft checks a request and makes the record.
func (s *Scheduler) draft(ctx context.Context, p *access.Principal, r *fleetv1.CreateScheduleRequest) (*storagev1.ScheduleRecord, error) {
	now := s.cfg.Now()
	if err := check(r, now); err != nil {
		return nil, err
	}
	sites, changes, err := s.cfg.Jobs.Outline(ctx, p, r.GetSpec())
	if err != nil {
		return nil, err
	}
	recs, err := s.all(ctx)
	if err != nil {
		return nil, err
	}
	if len(recs) >= maxSchedules {
		return nil, refusal.New(refusal.Exhausted, "TOO_MANY_SCHEDULES", "there are %d schedules, which is the most", len(recs)).Then("delete one that is not needed any more")
	}
	rec := &storagev1.ScheduleRecord{Schedule: &fleetv1.Schedule{
		Name: r.GetName(), Cron: r.GetCron(), TimeZone: r.GetTimeZone(), Jitter: r.GetJitter(), Overlap: r.GetOverlap(), CatchUp: r.GetCatchUp(),
		Spec: r.GetSpec(), Sites: sites, Paused: r.GetPaused(), Owner: p.Name.ID, Created: timestamppb.New(now), Reason: r.GetReason(),
	}}
	fillRules(rec.GetSchedule(), changes)
	if r.GetPaused() {
		rec.Schedule.PausedBy = p.Name.ID
	}
	return rec, s.plan(rec, now)
}

// fillRules sets the rules that were not given. What only reads may well be caught up.
func fillRules(s *fleetv1.Schedule, changes bool) {
	if s.GetOverlap() == fleetv1.OverlapRule_OVERLAP_RULE_UNSPECIFIED {
		s.Overlap = fleetv1.OverlapRule_OVERLAP_RULE_SKIP
	}
	if s.GetCatchUp() != fleetv1.CatchUpRule_CATCH_UP_RULE_UNSPECIFIED {
		return
	}
	s.CatchUp = fleetv1.CatchUpRule_CATCH_UP_RULE_ONCE
	if changes {
		s.CatchUp = fleetv1.CatchUpRule_CATCH_UP_RULE_SKIP
	}
}

// check looks at what needs neither store nor targets.
func check(r *fleetv1.CreateScheduleRequest, now time.Time) error {
	if !validName(r.GetName()) {
		return refusal.New(refusal.Invalid, "BAD_NAME", "schedule %q: want lower case letters, digits and dashes, at most 63", refusal.Shown(r.GetName())).At("name")
	}
	if _, err := newClock(r.GetCron(), r.GetTimeZone(), now); err != nil {
		return err
	}
	if j := r.GetJitter(); j != nil && (!j.IsValid() || j.AsDuration() < 0 || j.AsDuration() > maxJitter) {
		return refusal.New(refusal.Invalid, "OUT_OF_RANGE", "jitter: is %s, want 0s to %s", j.AsDuration(), maxJitter).At("jitter")
	}
	_, overlap := fleetv1.OverlapRule_name[int32(r.GetOverlap())]
	_, catchUp := fleetv1.CatchUpRule_name[int32(r.GetCatchUp())]
	if !overlap || !catchUp {
		return refusal.New(refusal.Invalid, "BAD_RULE", "schedule %q: has a rule that is not known here", r.GetName()).Then("give skip, after or allow for overlap, and skip or once for catch-up")
	}
	return errors.Join(checkSpec(r.GetSpec()), audit.CheckReason("reason", r.GetReason()))
}

// checkSpec refuses what makes sense only for a job that somebody asks for now.
func checkSpec(spec *fleetv1.JobSpec) error {
	for field, given := range map[string]bool{
		"not_before": spec.GetNotBefore() != nil, "break_glass": spec.GetBreakGlass() != "", "selection.from_job": spec.GetSelection().GetFromJob() != nil,
	} {
		if given {
			return refusal.New(refusal.Invalid, "NOT_FOR_SCHEDULES", "%s: is not for the job of a schedule", field).At("spec." + field).Then("leave it out")
		}
	}
	return nil
}

// add writes a new schedule.
func (s *Scheduler) add(w store.Writer, p *access.Principal, rec *storagev1.ScheduleRecord, request *requests.Request) error {
	name := rec.GetSchedule().GetName()
	_, err := w.Get(store.TableSchedules, store.Key(name))
	if err == nil {
		return refusal.New(refusal.Exists, "EXISTS", "schedule %q: exists already", name).At("name").Then("choose another name, or delete that one")
	}
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return errors.Join(write(w, rec), request.Remember(w, s.cfg.Now(), name),
		s.audit(w, p, "schedule.create", rec.GetSchedule(), rec.GetSchedule().GetReason(), created(rec.GetSchedule())...))
}
