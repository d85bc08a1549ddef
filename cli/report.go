package cli

import (
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/cli/client"
	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// report is the record of a job. Its tasks go through it one by one and are not kept.
type report struct {
	job *fleetv1.Job
	// generated is the server's time when it was begun, by whom it was asked for, from which server of which version.
	generated             time.Time
	by                    string
	server, serverVersion string
	// totals counts the tasks that went through.
	totals *fleetv1.JobCounts
}

// reportForm writes a report in one form: head, a row for each task, foot.
type reportForm interface {
	head(*report) error
	row(*report, *fleetv1.Task) error
	foot(*report) error
}

func newReport(ctx context.Context, a *app, c *client.Client, id string) (*report, error) {
	resp, err := c.Jobs.GetJob(ctx, &fleetv1.GetJobRequest{Id: id})
	if err != nil {
		return nil, err
	}
	who, err := c.Access.WhoAmI(ctx, &fleetv1.WhoAmIRequest{})
	if err != nil {
		return nil, err
	}
	return &report{
		job: resp.GetJob(), generated: who.GetServerTime().AsTime(), by: who.GetOperator().GetName(),
		server: a.serverAddress(), serverVersion: who.GetServerVersion(), totals: &fleetv1.JobCounts{},
	}, nil
}

// write writes all of it. An error leaves half a report behind.
func (r *report) write(form reportForm, tasks iter.Seq2[*fleetv1.Task, error]) error {
	if err := form.head(r); err != nil {
		return err
	}
	for t, err := range tasks {
		if err != nil {
			return err
		}
		r.countIn(t)
		if err := form.row(r, t); err != nil {
			return err
		}
	}
	if err := r.agrees(); err != nil {
		return err
	}
	return form.foot(r)
}

// countIn adds a task to the totals.
func (r *report) countIn(t *fleetv1.Task) {
	r.totals.Total++
	switch t.GetState() {
	case fleetv1.TaskState_TASK_STATE_DONE:
		if n := statusCount(r.totals, t.GetStatus()); n != nil {
			*n++
		}
	case fleetv1.TaskState_TASK_STATE_RUNNING:
		r.totals.Running++
	default:
		r.totals.Waiting++
	}
}

// statusCount is where a status is counted; nil for one of a newer server.
func statusCount(c *fleetv1.JobCounts, s actionv1.TaskStatus) *uint32 {
	return map[actionv1.TaskStatus]*uint32{
		actionv1.TaskStatus_TASK_STATUS_SUCCEEDED: &c.Succeeded, actionv1.TaskStatus_TASK_STATUS_NO_CHANGE: &c.NoChange,
		actionv1.TaskStatus_TASK_STATUS_FAILED: &c.Failed, actionv1.TaskStatus_TASK_STATUS_ROLLED_BACK: &c.RolledBack,
		actionv1.TaskStatus_TASK_STATUS_ROLLBACK_FAILED: &c.RollbackFailed, actionv1.TaskStatus_TASK_STATUS_EXPIRED: &c.Expired,
		actionv1.TaskStatus_TASK_STATUS_REFUSED: &c.Refused, actionv1.TaskStatus_TASK_STATUS_CANCELLED: &c.Cancelled,
		actionv1.TaskStatus_TASK_STATUS_UNKNOWN: &c.Unknown, actionv1.TaskStatus_TASK_STATUS_CONFLICT: &c.Conflict,
	}[s]
}

// hidden is how many targets are not in the report, because they are at sites that the caller may not see.
func (r *report) hidden() int { return int(r.job.GetCounts().GetTotal()) - int(r.totals.GetTotal()) }

// done tells whether every target had a result when the report was begun.
func (r *report) done() bool { return r.job.GetState() == fleetv1.JobState_JOB_STATE_DONE }

// agrees compares the tasks of a job that is done with the job's own counts: a report that does not account for every target must
// not be filed.
func (r *report) agrees() error {
	if r.hidden() < 0 || (r.done() && r.hidden() == 0 && !proto.Equal(r.totals, r.job.GetCounts())) {
		return fmt.Errorf("its tasks (%s) are not those that the job counts (%s)",
			countsWord(&fleetv1.Job{Counts: r.totals}), countsWord(r.job))
	}
	return nil
}

// caveats say in what the report is less than the whole truth; none when it is all of it.
func (r *report) caveats() []string {
	lines := r.standing()
	if n := r.hidden(); n > 0 {
		lines = append(lines, output.Count(n, "target")+" not in this report: at sites that "+r.by+" may not see.")
	}
	return lines
}

// standing are the caveats that are known from the start.
func (r *report) standing() []string {
	if r.done() {
		return nil
	}
	return []string{"The job is not done: this is how it was at " + r.generated.UTC().Format(time.RFC3339) + "."}
}

// verdict gives the exit code of a report that was written.
func (r *report) verdict() error {
	switch n := r.hidden(); {
	case n > 0:
		return exit.Errorf(exit.Denied, "job %s: the report lacks %s at sites that you may not see", r.job.GetId(), output.Count(n, "target")).
			Then("have it written by somebody who may see %s", list(r.job.GetSites()))
	case !r.done():
		return exit.Errorf(exit.StillRunning, "job %s: is not done; the report is as of now", r.job.GetId()).
			Then("wait for its end with `fleetctl job watch %s`, then write it again", r.job.GetId())
	default:
		return nil
	}
}
