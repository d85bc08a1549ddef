package fleet

import (
	"fmt"
	"sync"
	"time"

	"github.com/bandfleet/bandfleet/agent/runner"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// maxRemembered is how many attempts of an agent are remembered to find one that starts twice.
const maxRemembered = 1024

// countedJournal is a journal whose writes are counted.
type countedJournal struct {
	runner.Journal
	counts *Counts

	mu      sync.Mutex
	started map[string]struct{}
}

func counted(j runner.Journal, counts *Counts) *countedJournal {
	return &countedJournal{Journal: j, counts: counts, started: map[string]struct{}{}}
}

// Accept implements runner.Journal.
func (j *countedJournal) Accept(t *agentv1.Task, at time.Time) (*storagev1.JournalTask, bool, error) {
	rec, known, err := j.Journal.Accept(t, at)
	if err == nil && !known {
		j.counts.add(func(c *Count) { c.Accepted++ })
	}
	return rec, known, err
}

// Start implements runner.Journal.
func (j *countedJournal) Start(k *agentv1.TaskKey, at time.Time, bootID string) error {
	twice := j.remember(fmt.Sprintf("%s/%d", k.GetJobId(), k.GetAttempt()))
	j.counts.add(func(c *Count) {
		c.Started++
		if twice {
			c.StartedTwice++
		}
	})
	return j.Journal.Start(k, at, bootID)
}

// remember reports whether an attempt was started before. When too many are remembered it begins anew.
func (j *countedJournal) remember(key string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, twice := j.started[key]
	if len(j.started) >= maxRemembered {
		clear(j.started)
	}
	j.started[key] = struct{}{}
	return twice
}

// Finish implements runner.Journal.
func (j *countedJournal) Finish(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time) error {
	err := j.Journal.Finish(k, result, at)
	if err == nil {
		j.counts.add(func(c *Count) { c.Ended++; c.Statuses[result.GetStatus()]++ })
	}
	return err
}

// Acknowledge implements runner.Journal.
func (j *countedJournal) Acknowledge(k *agentv1.TaskKey, at time.Time) error {
	err := j.Journal.Acknowledge(k, at)
	if err == nil {
		j.counts.add(func(c *Count) { c.Acknowledged++ })
	}
	return err
}

// present is a runner that counts its sessions.
type present struct {
	*runner.Runner
	counts *Counts
}

// SessionStarted implements link.Runner.
func (p *present) SessionStarted() {
	p.counts.add(func(c *Count) { c.Connected++; c.Sessions++ })
	p.Runner.SessionStarted()
}

// SessionEnded implements link.Runner.
func (p *present) SessionEnded() {
	p.Runner.SessionEnded()
	p.counts.add(func(c *Count) { c.Connected-- })
}
