package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/params"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// maxApprovals is how many others can be asked for.
const maxApprovals = 2

// maxNamedSites is how many sites are named before they are only counted.
const maxNamedSites = 5

// unapproved reports whether a job still wants something from approvers. It is asked at every event, of every such job.
func (j *job) unapproved(now time.Time) bool {
	a, given := j.rec.GetJob().GetApproval(), uint32(0)
	for _, one := range a.GetApprovals() {
		if counts(a, one, j.approvedAt(now)) {
			given++
		}
	}
	return given < a.GetNeeded()
}

// approvedAt is the moment for which approvals are looked at. At its end a job still has those that it had: they end with it.
func (j *job) approvedAt(now time.Time) time.Time {
	if last := j.expires().Add(-1); now.After(last) {
		return last
	}
	return now
}

// approvalWait says what it wants.
func (j *job) approvalWait(now time.Time) *fleetv1.Wait {
	job := j.rec.GetJob()
	given := counting(job.GetApproval(), j.approvedAt(now))
	not := append([]string{job.GetRequester()}, given...)
	return &fleetv1.Wait{Reason: fleetv1.WaitReason_WAIT_REASON_APPROVAL, Detail: fmt.Sprintf(
		"%d of %d approvals given; asks for an approver of %s who is not %s",
		len(given), job.GetApproval().GetNeeded(), sitesInWords(job.GetSites()), strings.Join(not, " or "))}
}

// sitesInWords names no site of several: not everybody who sees one of them may know of the others.
func sitesInWords(sites []string) string {
	if len(sites) == 1 {
		return "site " + sites[0]
	}
	return "every site of the job"
}

// counting returns who has given an approval that counts now.
func counting(a *fleetv1.ApprovalState, now time.Time) []string {
	var by []string
	for _, given := range a.GetApprovals() {
		if counts(a, given, now) {
			by = append(by, given.GetBy())
		}
	}
	return by
}

func counts(a *fleetv1.ApprovalState, given *fleetv1.Approval, now time.Time) bool {
	return given.GetLapsed() == "" && given.GetDigest() == a.GetDigest() && now.Before(given.GetExpires().AsTime())
}

// awaitsApproval reports whether a stored job waits for approvals, and why not if it does not.
func awaitsApproval(job *fleetv1.Job, now time.Time) (bool, string) {
	a := job.GetApproval()
	switch {
	case a.GetNeeded() == 0:
		return false, "needs no approval"
	case a.GetRejection() != nil:
		return false, "was rejected by " + a.GetRejection().GetBy()
	case job.GetState() != fleetv1.JobState_JOB_STATE_ACTIVE:
		return false, "is done"
	case job.GetCancelled():
		return false, "was cancelled by " + job.GetCancelledBy()
	case !now.Before(job.GetExpires().AsTime()):
		return false, "has expired"
	case len(counting(a, now)) >= int(a.GetNeeded()):
		return false, "has the approvals that it needs"
	}
	return true, ""
}

// rejectReason is what a task of a rejected job ends with.
func rejectReason(r *fleetv1.Approval) string {
	if r.GetReason() == "" {
		return "rejected by " + r.GetBy()
	}
	return fmt.Sprintf("rejected by %s: %s", r.GetBy(), r.GetReason())
}

// approvals works out how many others must approve a job that is not made yet, and why; nil when nobody must. Action and sites
// ask only where the job changes something.
func (e *Engine) approvals(ctx context.Context, spec *fleetv1.JobSpec, d *draft) (*fleetv1.ApprovalState, error) {
	if n := spec.GetApprovals(); n > maxApprovals {
		return nil, refusal.New(refusal.Invalid, "BAD_APPROVALS", "approvals: are %d, want 0 to %d", n, maxApprovals).At("spec.approvals").
			Then("ask for one or two others, or for none")
	}
	a := &fleetv1.ApprovalState{}
	if d.changes {
		n, why := d.askedByAction()
		ask(a, "the action asks for %d"+why, n)
		if err := e.askSites(ctx, a, d.sites()); err != nil {
			return nil, err
		}
	}
	ask(a, "the requester asks for %d", spec.GetApprovals())
	if a.GetNeeded() == 0 {
		return nil, nil
	}
	return a, nil
}

// ask notes that so many are asked for.
func ask(a *fleetv1.ApprovalState, why string, n uint32) {
	if n > 0 {
		a.Needed = max(a.Needed, n)
		a.Reasons = append(a.Reasons, fmt.Sprintf(why, n))
	}
}

// askSites asks what the sites of a job want. More than a few of them are only counted.
func (e *Engine) askSites(ctx context.Context, a *fleetv1.ApprovalState, sites []string) error {
	asking := make(map[uint32][]string)
	for _, name := range sites {
		site, err := e.inv.Site(ctx, name)
		if err != nil {
			return err
		}
		if n := min(site.GetSettings().GetApprovals(), maxApprovals); n > 0 {
			asking[n] = append(asking[n], name)
		}
	}
	for n := uint32(maxApprovals); n > 0; n-- {
		if some := asking[n]; len(some) > maxNamedSites {
			ask(a, fmt.Sprintf("%d sites ask for %%d", len(some)), n)
		} else {
			for _, name := range some {
				ask(a, "site "+name+" asks for %d", n)
			}
		}
	}
	return nil
}

// askedByAction is the most that the action asks for with these parameters, of the versions that would run. why is what goes behind
// that when a parameter is the reason.
func (d *draft) askedByAction() (most uint32, why string) {
	for _, t := range d.targets {
		if t.problem != "" {
			continue
		}
		if n, reason := params.Approvals(t.offer.action, d.params); n > most {
			most, why = n, because(reason)
		}
	}
	return min(most, maxApprovals), why
}

// because is a manifest's reason as the end of a format.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return strings.ReplaceAll(", because "+onePrintableLine(clip(reason, maxProgress)), "%", "%%")
}

// pluginHashes are the hashes of the plugins that would run the action, by place in the frozen order; empty where none would.
func (d *draft) pluginHashes() []string {
	hashes := make([]string, len(d.targets))
	for i, t := range d.targets {
		if t.offer != nil {
			hashes[i] = t.offer.plugin
		}
	}
	return hashes
}

// freezeApproval writes into a job's record, when all else is in it, what an approval of it holds for.
func (d *draft) freezeApproval(rec *storagev1.JobRecord) {
	if d.approval == nil {
		return
	}
	rec.PluginSha256 = d.pluginHashes()
	rec.Job.Approval = d.approval
	rec.Job.Approval.Digest = approvalDigest(rec)
}

// asPartlySeen leaves out of a job's approvals what would tell of sites that a reader may not know of.
func asPartlySeen(a *fleetv1.ApprovalState) {
	if a == nil {
		return
	}
	a.Reasons = nil
	for _, given := range a.GetApprovals() {
		if given.GetLapsed() != "" {
			given.Lapsed = "it counts no more"
		}
	}
}
