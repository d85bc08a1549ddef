package runner

import (
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

const (
	// triesToTell is how often a change could not be put back when people are told: a file may be in use for a moment.
	triesToTell = 3
	// keepNews is how long the news that a lease has ended waits for a server that takes it: one of an earlier release never does.
	keepNews = 30 * 24 * time.Hour
)

// endedLease is what the journal keeps of a lease that has ended. It names nothing to put back and no service to restart.
func endedLease(l *storagev1.JournalLease, outcome string, now time.Time) *storagev1.JournalLease {
	return &storagev1.JournalLease{
		Id: l.GetId(), Task: l.GetTask(), Since: l.GetSince(), Until: l.GetUntil(), Tries: l.GetTries(), Ended: stamp(now), Outcome: outcome,
	}
}

// tellLease tells the server what became of a lease.
func (r *Runner) tellLease(l *storagev1.JournalLease) { r.report().LeaseNews(newsOf(l)) }

func newsOf(l *storagev1.JournalLease) *agentv1.LeaseNews {
	return &agentv1.LeaseNews{Key: l.GetTask(), Lease: &actionv1.LeaseState{
		Id: l.GetId(), Until: l.GetUntil(), Job: l.GetTask().GetJobId(),
		Ended: l.GetEnded() != nil, EndedAt: l.GetEnded(), Outcome: l.GetOutcome(), Tries: l.GetTries(), LastError: l.GetLastError(),
	}}
}

// LeaseNews returns what became of leases, as far as the server may not know it. What nobody has acknowledged for long is told once more
// and forgotten.
func (r *Runner) LeaseNews() ([]*agentv1.LeaseNews, error) {
	leases, err := r.journal.Leases()
	if err != nil {
		r.fail(err)
		return nil, err
	}
	var news []*agentv1.LeaseNews
	for _, l := range leases {
		switch {
		case l.GetEnded() == nil && l.GetTries() < triesToTell:
			continue
		case IsOwn(l.GetTask()):
			r.forgetOwn(l)
			continue
		}
		news = append(news, newsOf(l))
		if l.GetEnded() != nil && time.Since(l.GetEnded().AsTime()) > keepNews {
			r.dropNews(l.GetId())
		}
	}
	return news, nil
}

// forgetOwn forgets an ended lease of a task that the server has not: there is nobody to tell of it.
func (r *Runner) forgetOwn(l *storagev1.JournalLease) {
	if l.GetEnded() != nil {
		r.dropNews(l.GetId())
	}
}

// LeaseNewsAcknowledged notes that the server knows that a lease has ended. Of one that has not, the news is told again at each session.
func (r *Runner) LeaseNewsAcknowledged(ack *agentv1.LeaseNewsAck) {
	if !ack.GetEnded() {
		return
	}
	leases, err := r.journal.Leases()
	if err != nil {
		r.log.Warn("cannot note that the end of a lease was acknowledged; it will be told again", "lease", ack.GetId(), "error", err)
		return
	}
	for _, l := range leases {
		if l.GetId() == ack.GetId() && l.GetEnded() != nil {
			r.dropNews(l.GetId())
		}
	}
}

func (r *Runner) dropNews(id string) {
	if err := r.journal.DropLease(id); err != nil {
		r.log.Warn("cannot forget a lease that has ended; its end will be told again", "lease", id, "error", err)
	}
}
