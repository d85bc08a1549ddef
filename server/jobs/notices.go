package jobs

import (
	"errors"
	"fmt"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Notices tells people what happens.
type Notices interface {
	// Post keeps a notice to be told, as part of an update.
	Post(w store.Writer, n *fleetv1.Notice) error
}

// maxToldSites bounds the sites at which one event of a job is told, since each is a write of its update.
const maxToldSites = 20

// announce posts a notice of a job at each of its sites for which there are words.
func (e *Engine) announce(w store.Writer, event string, rec *storagev1.JobRecord, words func(site string) string) (err error) {
	if e.notices == nil {
		return nil
	}
	job := rec.GetJob()
	for _, site := range job.GetSites()[:min(len(job.GetSites()), maxToldSites)] {
		summary := words(site)
		if summary == "" {
			continue
		}
		err = errors.Join(err, e.notices.Post(w, &fleetv1.Notice{
			Event: event, Site: site, Object: job.GetId(), Summary: summary, Details: []string{"requester: " + job.GetRequester(), "reason: " + job.GetReason()},
		}))
	}
	return err
}

// announceWait tells that a new job waits for people's approval.
func (e *Engine) announceWait(w store.Writer, rec *storagev1.JobRecord, tasks []*storagev1.TaskRecord) error {
	targets := map[string]int{}
	for _, t := range tasks {
		targets[t.GetTask().GetSite()]++
	}
	needed := rec.GetJob().GetApproval().GetNeeded()
	if needed == 0 {
		return nil
	}
	return e.announce(w, "job.awaiting-approval", rec, func(site string) string {
		return fmt.Sprintf("%s on %d terminals at %s waits for %d approvals", rec.GetJob().GetAction(), targets[site], site, needed)
	})
}

// announceFailure tells where a job that is done has not succeeded.
func (e *Engine) announceFailure(w store.Writer, rec *storagev1.JobRecord) error {
	if rec.GetJob().GetDryRun() {
		return nil
	}
	return e.announce(w, "job.failed", rec, func(site string) string {
		c := rec.GetSiteCounts()[site]
		bad := c.GetTotal() - c.GetSucceeded() - c.GetNoChange() - c.GetCancelled()
		if bad == 0 {
			return ""
		}
		return fmt.Sprintf("%s has not succeeded on %d of %d terminals at %s", rec.GetJob().GetAction(), bad, c.GetTotal(), site)
	})
}
