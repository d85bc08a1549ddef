package client

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// pageSize is how much is asked for at once, the most that the API allows; tasks hold whole results, so fewer of them.
const (
	pageSize     = 1000
	taskPageSize = 200
)

// page is a response of a list.
type page interface {
	proto.Message
	GetNextPageToken() string
}

// all calls a list until it has no further page and merges the pages into one response. enough may end it early (nil: never);
// then the response keeps the token of the next page.
func all[P page](ctx context.Context, get func(ctx context.Context, token string) (P, error), enough func(P) bool) (P, error) {
	merged, err := get(ctx, "")
	for err == nil && merged.GetNextPageToken() != "" && (enough == nil || !enough(merged)) {
		var next P
		if next, err = get(ctx, merged.GetNextPageToken()); err != nil {
			break
		}
		clearToken(merged)
		proto.Merge(merged, next)
	}
	return merged, err
}

func clearToken(m proto.Message) {
	r := m.ProtoReflect()
	r.Clear(r.Descriptor().Fields().ByName("next_page_token"))
}

// Sites returns all sites.
func (c *Client) Sites(ctx context.Context) (*fleetv1.ListSitesResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListSitesResponse, error) {
		return c.Inventory.ListSites(ctx, &fleetv1.ListSitesRequest{PageSize: pageSize, PageToken: token})
	}, nil)
}

// Terminals returns all terminals that req asks for.
func (c *Client) Terminals(ctx context.Context, req *fleetv1.ListTerminalsRequest) (*fleetv1.ListTerminalsResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListTerminalsResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = pageSize, token
		return c.Inventory.ListTerminals(ctx, r)
	}, nil)
}

// Bands returns all bands that req asks for.
func (c *Client) Bands(ctx context.Context, req *fleetv1.ListBandsRequest) (*fleetv1.ListBandsResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListBandsResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = pageSize, token
		return c.Inventory.ListBands(ctx, r)
	}, nil)
}

// ListJobs returns jobs, newest first: at least limit of them if there are so many, all when limit is 0.
func (c *Client) ListJobs(ctx context.Context, req *fleetv1.ListJobsRequest, limit int) (*fleetv1.ListJobsResponse, error) {
	size := pageSize
	if limit > 0 {
		size = min(limit, pageSize)
	}
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListJobsResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = int32(size), token
		return c.Jobs.ListJobs(ctx, r)
	}, func(p *fleetv1.ListJobsResponse) bool { return limit > 0 && len(p.GetJobs()) >= limit })
}

// ListArtifacts returns artefacts, newest first: at least limit of them if there are so many, all when limit is 0.
func (c *Client) ListArtifacts(ctx context.Context, req *fleetv1.ListArtifactsRequest, limit int) (*fleetv1.ListArtifactsResponse, error) {
	size := pageSize
	if limit > 0 {
		size = min(limit, pageSize)
	}
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListArtifactsResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = int32(size), token
		return c.Artifacts.ListArtifacts(ctx, r)
	}, func(p *fleetv1.ListArtifactsResponse) bool { return limit > 0 && len(p.GetArtifacts()) >= limit })
}

// Tasks returns a job's tasks; terminal may be empty for all.
func (c *Client) Tasks(ctx context.Context, job, terminal string) ([]*fleetv1.Task, error) {
	merged, err := all(ctx, func(ctx context.Context, token string) (*fleetv1.ListTasksResponse, error) {
		return c.Jobs.ListTasks(ctx, &fleetv1.ListTasksRequest{JobId: job, Terminal: terminal, PageSize: taskPageSize, PageToken: token})
	}, nil)
	return merged.GetTasks(), err
}

// EachTask reads a job's tasks page by page, in their order, and holds one page at a time: a job may have ten thousand results. It
// ends with the first error.
func (c *Client) EachTask(ctx context.Context, job string) iter.Seq2[*fleetv1.Task, error] {
	return func(yield func(*fleetv1.Task, error) bool) {
		for token, more := "", true; more; more = token != "" {
			page, err := c.Jobs.ListTasks(ctx, &fleetv1.ListTasksRequest{JobId: job, PageSize: taskPageSize, PageToken: token})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range page.GetTasks() {
				if !yield(t, nil) {
					return
				}
			}
			token = page.GetNextPageToken()
		}
	}
}

// Tokens returns all enrolment tokens.
func (c *Client) Tokens(ctx context.Context) (*fleetv1.ListTokensResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListTokensResponse, error) {
		return c.Access.ListTokens(ctx, &fleetv1.ListTokensRequest{PageSize: pageSize, PageToken: token})
	}, nil)
}

// Operators returns all operators.
func (c *Client) Operators(ctx context.Context) (*fleetv1.ListOperatorsResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListOperatorsResponse, error) {
		return c.Access.ListOperators(ctx, &fleetv1.ListOperatorsRequest{PageSize: pageSize, PageToken: token})
	}, nil)
}

// ListSchedules returns all schedules.
func (c *Client) ListSchedules(ctx context.Context) (*fleetv1.ListSchedulesResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListSchedulesResponse, error) {
		return c.Schedules.ListSchedules(ctx, &fleetv1.ListSchedulesRequest{PageSize: pageSize, PageToken: token})
	}, nil)
}

// ScheduleRuns returns what came of a schedule's times, newest first: at least limit of them if there are so many, all when limit is 0.
func (c *Client) ScheduleRuns(ctx context.Context, name string, limit int) (*fleetv1.ListScheduleRunsResponse, error) {
	size := pageSize
	if limit > 0 {
		size = min(limit, pageSize)
	}
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListScheduleRunsResponse, error) {
		return c.Schedules.ListScheduleRuns(ctx, &fleetv1.ListScheduleRunsRequest{Name: name, PageSize: int32(size), PageToken: token})
	}, func(p *fleetv1.ListScheduleRunsResponse) bool { return limit > 0 && len(p.GetRuns()) >= limit })
}

// ListSecrets returns what is public of secrets; terminal may be empty for all.
func (c *Client) ListSecrets(ctx context.Context, terminal string) (*fleetv1.ListSecretsResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListSecretsResponse, error) {
		return c.Secrets.ListSecrets(ctx, &fleetv1.ListSecretsRequest{Terminal: terminal, PageSize: pageSize, PageToken: token})
	}, nil)
}

// ListCertificates returns certificates, the one that ends first at the head: at least limit of them if there are so many, all when
// limit is 0.
func (c *Client) ListCertificates(ctx context.Context, req *fleetv1.ListCertificatesRequest, limit int) (*fleetv1.ListCertificatesResponse, error) {
	size := pageSize
	if limit > 0 {
		size = min(limit, pageSize)
	}
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListCertificatesResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = uint32(size), token
		return c.Certificates.ListCertificates(ctx, r)
	}, func(p *fleetv1.ListCertificatesResponse) bool { return limit > 0 && len(p.GetCertificates()) >= limit })
}

// GuidedTasks returns all guided tasks that req asks for, the most urgent first.
func (c *Client) GuidedTasks(ctx context.Context, req *fleetv1.ListGuidedTasksRequest) (*fleetv1.ListGuidedTasksResponse, error) {
	return all(ctx, func(ctx context.Context, token string) (*fleetv1.ListGuidedTasksResponse, error) {
		r := proto.CloneOf(req)
		r.PageSize, r.PageToken = taskPageSize, token
		return c.Guided.ListGuidedTasks(ctx, r)
	}, nil)
}
