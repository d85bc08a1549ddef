package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Asker asks the server something for a task that runs. Package agent/link implements it. A call waits for a session and for the answer
// until ctx ends; an error says why there is none, for people.
type Asker interface {
	// Site is what the server knows of this terminal's site.
	Site(ctx context.Context, k *agentv1.TaskKey) (*actionv1.Surroundings, error)
	// Secret is a sealed secret of this terminal, by its name. The server answers for those that the task's parameters name.
	Secret(ctx context.Context, k *agentv1.TaskKey, name string) (*agentv1.SealedSecret, error)
	// Coverage says which of the terminals that use this host trust one of the roots.
	Coverage(ctx context.Context, k *agentv1.TaskKey, q *actionv1.CoverageQuery) (*actionv1.Coverage, error)
	// PeerProbe has terminals that use this host connect to it.
	PeerProbe(ctx context.Context, k *agentv1.TaskKey, p *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error)
}

// askTimeout bounds the wait for an answer that the server has at once; a line that was cut is back within it or the run goes on without.
const askTimeout = 30 * time.Second

// maxCoverageRoots bounds what is asked for at once.
const maxCoverageRoots = 8

// SetAsker says who asks the server. Without one nothing is known of it.
func (r *Runner) SetAsker(a Asker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asker = a
}

func (r *Runner) server() Asker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asker
}

// unreachable is the asker before there is one.
type unreachable struct{}

var errNoServer = errors.New("this agent has no server to ask")

func (unreachable) Site(context.Context, *agentv1.TaskKey) (*actionv1.Surroundings, error) {
	return nil, errNoServer
}

func (unreachable) Secret(context.Context, *agentv1.TaskKey, string) (*agentv1.SealedSecret, error) {
	return nil, errNoServer
}

func (unreachable) Coverage(context.Context, *agentv1.TaskKey, *actionv1.CoverageQuery) (*actionv1.Coverage, error) {
	return nil, errNoServer
}

func (unreachable) PeerProbe(context.Context, *agentv1.TaskKey, *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error) {
	return nil, errNoServer
}

// asked bounds one question to the server by the time that an answer may take.
func asked[T any](ctx context.Context, what string, limit time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := ask(ctx)
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", what, err)
	}
	return answer, nil
}

// surroundings returns what the server knows of the site. A run sees one picture of it: what it was told first.
func (c *course) surroundings(ctx context.Context) (*actionv1.Surroundings, error) {
	if c.site != nil {
		return c.site, nil
	}
	site, err := asked(ctx, "what the server knows of the site", askTimeout, func(ctx context.Context) (*actionv1.Surroundings, error) {
		return c.r.askerFor(c.key()).Site(ctx, c.key())
	})
	if err == nil {
		c.site = site
	}
	return site, err
}

// queryServer answers what only the server knows, as far as the action declared that it asks so.
func (p *phaseCalls) queryServer(ctx context.Context, q any) (*actionv1.QueryResult, error) {
	switch q := q.(type) {
	case *actionv1.Query_Site:
		return p.querySite(ctx)
	case *actionv1.Query_Secret:
		return p.querySecret(ctx, q.Secret)
	case *actionv1.Query_Coverage:
		return p.queryCoverage(ctx, q.Coverage)
	}
	return nil, p.refuse("it asked for something that this agent does not know; update the agent")
}

func (p *phaseCalls) querySite(ctx context.Context) (*actionv1.QueryResult, error) {
	site, err := p.c.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Site{Site: proto.CloneOf(site)}}, nil
}

func (p *phaseCalls) querySecret(ctx context.Context, q *actionv1.SecretQuery) (*actionv1.QueryResult, error) {
	if err := p.c.ownSecrets(q.GetPfx(), q.GetPassword()); err != nil {
		return nil, p.refuse("%v", err)
	}
	facts, err := p.c.secretFacts(ctx, q.GetPfx(), q.GetPassword())
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Secret{Secret: facts}}, nil
}

func (p *phaseCalls) queryCoverage(ctx context.Context, q *actionv1.CoverageQuery) (*actionv1.QueryResult, error) {
	if n := len(q.GetRootSha256()); n == 0 || n > maxCoverageRoots {
		return nil, p.refuse("it asked who trusts one of %d roots, want 1 to %d", n, maxCoverageRoots)
	}
	coverage, err := asked(ctx, "trust of the terminals that use this host", askTimeout, func(ctx context.Context) (*actionv1.Coverage, error) {
		return p.c.r.askerFor(p.c.key()).Coverage(ctx, p.c.key(), q)
	})
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_Coverage{Coverage: coverage}}, nil
}
