package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/selector"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/rollout"
	"github.com/bandfleet/bandfleet/server/store"
)

// Create makes a job of frozen targets and starts it. The same request_id answers with the same job.
func (e *Engine) Create(ctx context.Context, p *access.Principal, r *fleetv1.CreateJobRequest) (*fleetv1.Job, error) {
	request, err := requests.New(p.Name.String(), "job.create", r)
	if err != nil {
		return nil, err
	}
	if job, err := e.answered(ctx, p, request); job != nil || err != nil {
		return job, err
	}
	return e.make(ctx, p, &asking{spec: r.GetSpec(), targetsDigest: r.GetTargetsDigest(), request: request})
}

// asking is what a job is made from.
type asking struct {
	spec *fleetv1.JobSpec
	// targetsDigest is of the targets that were shown; empty when none were.
	targetsDigest string
	request       *requests.Request
	// before is the job that it tries again; nil when none.
	before *fleetv1.Job
	// schedule is what asks for it; empty when a person does.
	schedule string
}

// make makes a job and starts it.
func (e *Engine) make(ctx context.Context, p *access.Principal, o *asking) (*fleetv1.Job, error) {
	d, err := e.draft(ctx, p, o.spec)
	if err != nil {
		return nil, err
	}
	if want := o.targetsDigest; want != "" && want != d.digest {
		return nil, refusal.New(refusal.Precondition, "TARGETS_CHANGED", "the selection now means other terminals than it did").
			At("targets_digest").Then("look at the targets again, then ask again")
	}
	rec, err := e.record(p, o.spec, d)
	if err != nil {
		return nil, err
	}
	all, err := e.members(ctx, rec.GetJob())
	if err != nil {
		return nil, err
	}
	if o.before != nil {
		rec.Job.RetryOf, rec.Job.Attempt = o.before.GetId(), 1+max(1, o.before.GetAttempt())
	}
	rec.Job.Schedule = o.schedule
	if rec.SecretsSha256, err = e.stampSecrets(ctx, d); err != nil {
		return nil, err
	}
	d.freezeApproval(rec)
	tasks := d.tasks(rec.GetJob().GetId(), e.now())
	if err := e.store(ctx, p, rec, tasks, o.request); err != nil {
		// What was written of it must not stay: nobody was told of this job.
		if undo := discard(context.WithoutCancel(ctx), e.st, rec.GetJob().GetId()); undo != nil {
			e.log.Error("a job whose creation failed is removed at the next start", "job", rec.GetJob().GetId(), "error", undo)
		}
		if errors.Is(err, errAnswered) {
			return e.answered(ctx, p, o.request)
		}
		return nil, err
	}
	if err := e.do(context.WithoutCancel(ctx), func() { e.adopt(e.asItIs(rec), tasks, &permits{}, all) }); err != nil {
		return nil, err
	}
	// A secret may have been put again while nobody looked at this job.
	if err := e.lookAtSecrets(context.WithoutCancel(ctx), func(j *job) bool { return j.id == rec.GetJob().GetId() }); err != nil {
		return nil, err
	}
	return e.Get(ctx, p, rec.GetJob().GetId())
}

// asItIs reads a job that was just stored once more, in the loop: since then it can be seen, and may have been cancelled or paused.
func (e *Engine) asItIs(made *storagev1.JobRecord) *storagev1.JobRecord {
	rec := made
	err := e.st.View(context.Background(), func(s store.Snapshot) (err error) {
		rec, err = readJob(s, made.GetJob().GetId())
		return err
	})
	if err != nil {
		e.log.Error("a job that was just made cannot be read", "job", made.GetJob().GetId(), "error", err)
		return made
	}
	return rec
}

func (e *Engine) record(p *access.Principal, spec *fleetv1.JobSpec, d *draft) (*storagev1.JobRecord, error) {
	now := e.now()
	id, err := e.ids.next(now)
	if err != nil {
		return nil, err
	}
	selection, err := frozenSelection(spec.GetSelection())
	if err != nil {
		return nil, err
	}
	return &storagev1.JobRecord{
		Job: &fleetv1.Job{
			Id: id, Action: spec.GetAction(), Params: d.params, Selection: selection, Sites: d.sites(),
			DryRun: spec.GetDryRun(), Reason: spec.GetReason(), Requester: p.Name.ID,
			Created: timestamppb.New(now), Expires: timestamppb.New(expiry(spec, now)), NotBefore: notBefore(spec, now),
			State: fleetv1.JobState_JOB_STATE_PREPARING, Counts: &fleetv1.JobCounts{Total: uint32(len(d.targets))},
			Rollout: d.rollout, Progress: &fleetv1.RolloutProgress{Wave: 1}, BreakGlass: spec.GetBreakGlass(), InUse: inUse(spec),
			Attempt: 1, ActionVersion: d.action.GetVersion(),
		},
		MaxDuration: durationpb.New(d.maxDuration), TargetsDigest: d.digest,
		Servable: uint32(d.servable()), Changes: d.changes, Disruptive: d.disruptive,
	}, nil
}

// expiry is when nothing of a job starts any more.
func expiry(spec *fleetv1.JobSpec, now time.Time) time.Time {
	after := defaultExpiry
	if spec.GetExpiresIn() != nil {
		after = spec.GetExpiresIn().AsDuration()
	}
	if from := notBefore(spec, now); from != nil {
		now = from.AsTime()
	}
	return now.Add(after)
}

// notBefore is when something of a job starts at the earliest; nil when that is at once.
func notBefore(spec *fleetv1.JobSpec, now time.Time) *timestamppb.Timestamp {
	if at := spec.GetNotBefore(); at != nil && at.AsTime().After(now) {
		return at
	}
	return nil
}

func inUse(spec *fleetv1.JobSpec) fleetv1.InUse {
	if spec.GetInUse() == fleetv1.InUse_IN_USE_UNSPECIFIED {
		return fleetv1.InUse_IN_USE_WAIT
	}
	return spec.GetInUse()
}

// frozenSelection is the selection as the record keeps it: with its expression in canonical form, which is one printable line.
func frozenSelection(given *fleetv1.Selection) (*fleetv1.Selection, error) {
	kept := proto.CloneOf(given)
	if from := kept.GetFromJob(); from != nil {
		from.JobId = strings.ToUpper(from.GetJobId())
	}
	if kept.GetExpression() == "" {
		return kept, nil
	}
	e, err := selector.Parse(kept.GetExpression())
	if err != nil {
		return nil, err
	}
	kept.Expression = e.String()
	return kept, nil
}

// tasks makes the task records in frozen order. What is known to be refused is done from the start.
func (d *draft) tasks(id string, now time.Time) []*storagev1.TaskRecord {
	tasks := make([]*storagev1.TaskRecord, len(d.targets))
	for i, t := range d.targets {
		task := &fleetv1.Task{
			JobId: id, TerminalId: t.rec.GetTerminal().GetId(), TerminalName: t.rec.GetTerminal().GetName(),
			Site: t.rec.GetTerminal().GetSite(), Index: uint32(i), State: fleetv1.TaskState_TASK_STATE_WAITING, Attempt: attempt,
		}
		tasks[i] = &storagev1.TaskRecord{Task: task}
		if t.problem == "" {
			continue
		}
		tasks[i].Settled = true
		task.State, task.Status = fleetv1.TaskState_TASK_STATE_DONE, actionv1.TaskStatus_TASK_STATUS_REFUSED
		task.Result = &actionv1.TaskResult{Status: task.Status, Reason: t.problem, NextStep: t.next}
		task.Finished = timestamppb.New(now)
	}
	return tasks
}

// store writes the job, its tasks, and last the one update that makes it real.
func (e *Engine) store(ctx context.Context, p *access.Principal, rec *storagev1.JobRecord, tasks []*storagev1.TaskRecord, q *requests.Request) error {
	id := rec.GetJob().GetId()
	err := e.st.Update(ctx, func(w store.Writer) error {
		if err := w.Put(store.TableActiveJobs, store.JobKey(id), nil); err != nil {
			return err
		}
		return put(w, store.TableJobs, store.JobKey(id), rec)
	})
	if err != nil {
		return err
	}
	err = inUpdates(ctx, e.st, tasks, maxWrites, func(w store.Writer, t *storagev1.TaskRecord) error {
		return put(w, store.TableTasks, store.TaskKey(id, t.GetTask().GetIndex()), t)
	})
	if err != nil {
		return err
	}
	rec.Job.State = fleetv1.JobState_JOB_STATE_ACTIVE
	// Not to be cut short by the caller: an error must mean that it was not written.
	return e.st.Update(context.WithoutCancel(ctx), func(w store.Writer) error {
		if err := claim(w, e.now(), q, id); err != nil {
			return err
		}
		if err := put(w, store.TableJobs, store.JobKey(id), rec); err != nil {
			return err
		}
		return errors.Join(audit.Append(w, e.now(), created(p, rec, tasks)), glassBroken(w, e.now(), p, rec), e.announceWait(w, rec, tasks))
	})
}

// glassBroken makes a record of its own of a job that windows and blackouts do not bind.
func glassBroken(w store.Writer, now time.Time, p *access.Principal, rec *storagev1.JobRecord) error {
	if rec.GetJob().GetBreakGlass() == "" {
		return nil
	}
	return audit.Append(w, now, jobEntry(p.Name, "job.break-glass", rec, rec.GetJob().GetBreakGlass()))
}

// created is the audit record of a new job.
func created(p *access.Principal, rec *storagev1.JobRecord, tasks []*storagev1.TaskRecord) audit.Entry {
	refused := 0
	for _, t := range tasks {
		if t.GetSettled() {
			refused++
		}
	}
	job := rec.GetJob()
	entry := jobEntry(p.Name, "job.create", rec, job.GetReason())
	add := func(name, value string) {
		entry.Changes = append(entry.Changes, &storagev1.AuditChange{Name: name, New: value})
	}
	add("action", job.GetAction())
	for _, name := range sortedKeys(job.GetParams()) {
		add("param."+name, job.GetParams()[name])
	}
	if text := job.GetSelection().GetExpression(); text != "" {
		add("expression", text)
	}
	add("dry_run", fmt.Sprint(job.GetDryRun()))
	add("targets", fmt.Sprint(len(tasks)))
	add("targets_digest", rec.GetTargetsDigest())
	add("refused", fmt.Sprint(refused))
	add("expires", job.GetExpires().AsTime().Format(time.RFC3339))
	add("rollout", rollout.String(job.GetRollout()))
	add("in_use", strings.ToLower(strings.TrimPrefix(job.GetInUse().String(), "IN_USE_")))
	if at := job.GetNotBefore(); at != nil {
		add("not_before", at.AsTime().Format(time.RFC3339))
	}
	if why := job.GetBreakGlass(); why != "" {
		add("break_glass", why)
	}
	if job.GetSchedule() != "" {
		add("schedule", job.GetSchedule())
	}
	if job.GetRetryOf() != "" {
		add("retry_of", job.GetRetryOf())
	}
	if a := job.GetApproval(); a != nil {
		add("approvals", fmt.Sprint(a.GetNeeded()))
		add("approval_digest", a.GetDigest())
	}
	return entry
}

// errAnswered: another call with the same request_id was faster.
var errAnswered = errors.New("the request was answered already")

// answered returns the job that answered the request before, nil when none has.
func (e *Engine) answered(ctx context.Context, p *access.Principal, q *requests.Request) (*fleetv1.Job, error) {
	id := ""
	err := e.st.View(ctx, func(s store.Snapshot) (err error) {
		id, err = q.Done(s)
		return err
	})
	if err != nil || id == "" {
		return nil, err
	}
	return e.Get(ctx, p, id)
}

// claim ties the request to the job.
func claim(w store.Writer, now time.Time, q *requests.Request, id string) error {
	earlier, err := q.Done(w)
	if err != nil {
		return err
	}
	if earlier != "" {
		return errAnswered
	}
	return q.Remember(w, now, id)
}
