package artifacts

import (
	"context"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/paging"
	"github.com/bandfleet/bandfleet/server/store"
)

// maxScan bounds the records that one page may look through for a reader who sees few of them.
const maxScan = 5000

// Sites returns the site of an artefact, or NOT_FOUND.
func (k *Keeper) Sites(ctx context.Context, id string) ([]string, error) {
	a, err := k.get(ctx, id)
	return []string{a.GetSite()}, err
}

// Get returns what is known of an artefact.
func (k *Keeper) Get(ctx context.Context, id string) (*fleetv1.Artifact, error) {
	a, err := k.get(ctx, id)
	if err != nil {
		return nil, err
	}
	return k.measured(a), nil
}

// measured says of an unfinished artefact how much of it is here.
func (k *Keeper) measured(a *fleetv1.Artifact) *fleetv1.Artifact {
	if !a.GetComplete() {
		if info, err := k.root.Stat(a.GetId()); err == nil {
			a.Received = uint64(info.Size())
		}
	}
	return a
}

// listing is what a list is read from: an index and what its keys begin with.
type listing struct {
	table  store.Table
	prefix []byte
	// job is the only job that is wanted, empty for all.
	job string
}

// List returns artefacts on the caller's sites, newest first.
func (k *Keeper) List(ctx context.Context, p *access.Principal, r *fleetv1.ListArtifactsRequest) (*fleetv1.ListArtifactsResponse, error) {
	size, err := paging.Size(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	if r.GetPageToken() != "" && !validID(r.GetPageToken()) {
		return nil, paging.BadToken()
	}
	l, err := k.listing(ctx, p, r)
	if err != nil {
		return nil, err
	}
	answer := &fleetv1.ListArtifactsResponse{}
	err = k.cfg.Store.View(ctx, func(v store.Snapshot) error {
		answer.Reset()
		return l.fill(v, p, r.GetPageToken(), size, answer)
	})
	for _, a := range answer.GetArtifacts() {
		k.measured(a)
	}
	return answer, err
}

// listing finds the index to read. A job or terminal that the caller may not know of is answered as one that is not there.
func (k *Keeper) listing(ctx context.Context, p *access.Principal, r *fleetv1.ListArtifactsRequest) (listing, error) {
	l := listing{table: store.TableArtifacts}
	if r.GetJobId() != "" {
		sites, err := k.cfg.Tasks.Sites(ctx, r.GetJobId())
		if err := visible(p, access.Object{Kind: access.Job, Name: r.GetJobId(), Field: "job_id"}, sites, err); err != nil {
			return l, err
		}
		l.job = strings.ToUpper(r.GetJobId())
		l.table, l.prefix = store.TableArtifactJobs, store.JobKey(l.job)
	}
	if r.GetTerminal() != "" {
		rec, err := k.cfg.Terminals.Terminal(ctx, r.GetTerminal())
		sites := []string{rec.GetTerminal().GetSite()}
		if err := visible(p, access.Object{Kind: access.Terminal, Name: r.GetTerminal(), Field: "terminal"}, sites, err); err != nil {
			return l, err
		}
		l.table, l.prefix = store.TableArtifactTerminals, []byte(store.Ordinal(rec.GetTerminal().GetId()))
	}
	return l, nil
}

func visible(p *access.Principal, o access.Object, sites []string, err error) error {
	if err != nil {
		return err
	}
	return access.CheckSites(p, access.Read, access.Some, o, sites)
}

// fill adds the artefacts after the one that ended the page before.
func (l listing) fill(v store.Snapshot, p *access.Principal, before string, size int, answer *fleetv1.ListArtifactsResponse) error {
	var start []byte
	if before != "" {
		start = append(append(start, l.prefix...), before...)
	}
	var bad error
	scanned := 0
	err := v.ScanBack(l.table, l.prefix, start, func(key, _ []byte) bool {
		id := store.ArtifactOfKey(key)
		if id == before {
			return true
		}
		var a *fleetv1.Artifact
		if a, bad = read(v, id); bad != nil {
			return false
		}
		scanned++
		if p.May(access.Read, a.GetSite()) && (l.job == "" || a.GetJobId() == l.job) {
			answer.Artifacts = append(answer.Artifacts, a)
		}
		if len(answer.GetArtifacts()) == size || scanned == maxScan {
			answer.NextPageToken = id
			return false
		}
		return true
	})
	if err == nil {
		err = bad
	}
	return err
}
