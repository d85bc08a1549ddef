package jobs

import (
	"context"
	"strconv"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// maxBytes bounds what one message holds, well below the 4 MiB that clients take: a result may hold a plugin's output.
	maxBytes = 1 << 20
	// maxScan bounds the jobs that one page may look through for a reader who sees few of them.
	maxScan = 5000
)

// Get reads a job as the caller may see it.
func (e *Engine) Get(ctx context.Context, p *access.Principal, id string) (*fleetv1.Job, error) {
	id = strings.ToUpper(id)
	var job *fleetv1.Job
	var refused error
	found := false
	err := e.do(ctx, func() {
		if j := e.byID[id]; j != nil {
			found = true
			job, refused = visible(j.shown(), j.sites, sees(p))
		}
	})
	switch {
	case err != nil:
		return nil, err
	case found:
		return job, refused
	}
	err = e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, id)
		if err != nil {
			return err
		}
		job, err = visibleStored(rec, sees(p))
		return err
	})
	return job, err
}

// Sites returns the sites of a job, or NOT_FOUND.
func (e *Engine) Sites(ctx context.Context, id string) ([]string, error) {
	id = strings.ToUpper(id)
	var sites []string
	err := e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, id)
		if err == nil && hidden(rec.GetJob()) {
			err = errNoJob(id)
		}
		sites = rec.GetJob().GetSites()
		return err
	})
	return sites, err
}

// visibleStored hides a job that is being prepared or deleted.
func visibleStored(rec *storagev1.JobRecord, seen scope) (*fleetv1.Job, error) {
	if hidden(rec.GetJob()) {
		return nil, errNoJob(rec.GetJob().GetId())
	}
	return visible(rec, rec.GetSiteCounts(), seen)
}

// List returns jobs on the caller's sites, newest first.
func (e *Engine) List(ctx context.Context, p *access.Principal, r *fleetv1.ListJobsRequest) (*fleetv1.ListJobsResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	if r.GetPageToken() != "" && !validID(r.GetPageToken()) {
		return nil, paging.BadToken()
	}
	table := store.TableJobs
	if r.GetActiveOnly() {
		table = store.TableActiveJobs
	}
	wanted := sees(p)
	if site := strings.ToLower(r.GetSite()); site != "" {
		wanted = func(s string) bool { return s == site && p.May(access.Read, s) }
	}
	answer := &fleetv1.ListJobsResponse{}
	err = e.st.View(ctx, func(s store.Snapshot) error {
		answer.Reset()
		return listJobs(s, table, r.GetPageToken(), size, wanted, sees(p), answer)
	})
	if err != nil {
		return nil, err
	}
	if err := e.overlayJobs(ctx, p, answer.GetJobs()); err != nil {
		return nil, err
	}
	for _, job := range answer.GetJobs() {
		// It may name ten thousand terminals.
		job.Selection = nil
	}
	return answer, nil
}

// listJobs fills the answer with jobs that lie on a wanted site, as seen by the reader. before is the job that ended the page
// before.
func listJobs(s store.Snapshot, t store.Table, before string, size int, wanted, seen scope, answer *fleetv1.ListJobsResponse) error {
	var start []byte
	if before != "" {
		start = store.JobKey(before)
	}
	var bad error
	scanned := 0
	err := s.ScanBack(t, nil, start, func(key, _ []byte) bool {
		id := string(key)
		if id == before {
			return true
		}
		rec, err := readJob(s, id)
		if err != nil {
			bad = err
			return false
		}
		scanned++
		if onSite(rec.GetJob(), wanted) {
			if job, err := visibleStored(rec, seen); err == nil {
				answer.Jobs = append(answer.Jobs, job)
			}
		}
		if len(answer.GetJobs()) == size || scanned == maxScan {
			answer.NextPageToken = id
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	return bad
}

func onSite(job *fleetv1.Job, wanted scope) bool {
	for _, site := range job.GetSites() {
		if wanted(site) {
			return true
		}
	}
	return false
}

// overlayJobs replaces active jobs by what is running, or by what came of those that were done since they were read.
func (e *Engine) overlayJobs(ctx context.Context, p *access.Principal, list []*fleetv1.Job) error {
	var done []int
	err := e.do(ctx, func() {
		for i, stored := range list {
			if j := e.byID[stored.GetId()]; j != nil {
				if now, err := visible(j.shown(), j.sites, sees(p)); err == nil {
					list[i] = now
				}
			} else if stored.GetState() == fleetv1.JobState_JOB_STATE_ACTIVE {
				done = append(done, i)
			}
		}
	})
	for _, i := range done {
		if err == nil {
			list[i], err = e.Get(ctx, p, list[i].GetId())
		}
	}
	return err
}

// Tasks lists a job's tasks in frozen order, those on the caller's sites.
func (e *Engine) Tasks(ctx context.Context, p *access.Principal, r *fleetv1.ListTasksRequest) (*fleetv1.ListTasksResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	from, err := parseIndex(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	job, err := e.Get(ctx, p, r.GetJobId())
	if err != nil {
		return nil, err
	}
	answer := &fleetv1.ListTasksResponse{}
	wanted := func(t *fleetv1.Task) bool {
		return p.May(access.Read, t.GetSite()) && (r.GetTerminal() == "" || strings.EqualFold(t.GetTerminalId(), r.GetTerminal()) ||
			strings.EqualFold(t.GetTerminalName(), r.GetTerminal()))
	}
	err = e.st.View(ctx, func(s store.Snapshot) error {
		answer.Reset()
		return listTasks(s, job.GetId(), from, size, wanted, answer)
	})
	if err != nil {
		return nil, err
	}
	if r.GetTerminal() != "" && len(answer.GetTasks()) == 0 {
		return nil, refusal.New(refusal.NotFound, "TASK_NOT_FOUND", "job %q: terminal %q: is not one of its targets", job.GetId(), clip(r.GetTerminal(), maxShown)).
			At("terminal").Then("look at `fleetctl job show %s`", job.GetId())
	}
	return answer, e.overlayTasks(ctx, job.GetId(), answer.GetTasks())
}

func listTasks(s store.Snapshot, id string, from uint32, size int, wanted func(*fleetv1.Task) bool, answer *fleetv1.ListTasksResponse) error {
	var bad error
	bytes := 0
	err := s.Scan(store.TableTasks, store.JobKey(id), store.TaskKey(id, from), func(_, value []byte) bool {
		rec, err := parseTask(id, value)
		if err != nil {
			bad = err
			return false
		}
		if !wanted(rec.GetTask()) {
			return true
		}
		full := len(answer.GetTasks()) > 0 && bytes+len(value) > maxBytes
		if len(answer.GetTasks()) == size || full {
			answer.NextPageToken = strconv.FormatUint(uint64(rec.GetTask().GetIndex()), 10)
			return false
		}
		bytes += len(value)
		answer.Tasks = append(answer.Tasks, rec.GetTask())
		return true
	})
	if err != nil {
		return err
	}
	return bad
}

// Busy reports whether a terminal has tasks that are not done.
func (e *Engine) Busy(ctx context.Context, terminalID string) (bool, error) {
	busy := false
	err := e.do(ctx, func() {
		t := e.terminals[terminalID]
		busy = t != nil && len(t.open) > 0
	})
	return busy, err
}

func parseIndex(token string) (uint32, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(token, 10, 32)
	if err != nil {
		return 0, paging.BadToken()
	}
	return uint32(n), nil
}
