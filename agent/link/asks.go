package link

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// asked is a question to the server that waits for its answer.
type asked struct {
	ask *agentv1.Ask
	// told gets the first answer.
	told chan *agentv1.Told
}

// Site asks what the server knows of this terminal's site.
func (l *Link) Site(ctx context.Context, k *agentv1.TaskKey) (*actionv1.Surroundings, error) {
	told, err := l.ask(ctx, &agentv1.Ask{Key: k, Ask: &agentv1.Ask_Site{Site: &actionv1.SiteQuery{}}})
	return part(told.GetSite(), told, err)
}

// Secret asks for a sealed secret of this terminal.
func (l *Link) Secret(ctx context.Context, k *agentv1.TaskKey, name string) (*agentv1.SealedSecret, error) {
	told, err := l.ask(ctx, &agentv1.Ask{Key: k, Ask: &agentv1.Ask_Secret{Secret: &agentv1.SecretAsk{Name: name}}})
	return part(told.GetSecret(), told, err)
}

// Coverage asks which of the terminals that use this host trust a root.
func (l *Link) Coverage(ctx context.Context, k *agentv1.TaskKey, q *actionv1.CoverageQuery) (*actionv1.Coverage, error) {
	told, err := l.ask(ctx, &agentv1.Ask{Key: k, Ask: &agentv1.Ask_Coverage{Coverage: q}})
	return part(told.GetCoverage(), told, err)
}

// PeerProbe has the server ask terminals that use this host to connect to it.
func (l *Link) PeerProbe(ctx context.Context, k *agentv1.TaskKey, p *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error) {
	told, err := l.ask(ctx, &agentv1.Ask{Key: k, Ask: &agentv1.Ask_PeerProbe{PeerProbe: p}})
	return part(told.GetPeers(), told, err)
}

// part returns the part of an answer that was asked for. The server's own words say why there is none.
func part[T interface {
	comparable
	proto.Message
}](answer T, told *agentv1.Told, err error) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case told.GetProblem() != "":
		return none, fmt.Errorf("the server says: %.500s", told.GetProblem())
	case answer == none:
		return none, errors.New("the server answered something else than it was asked; update the server")
	}
	return answer, nil
}

// ask asks until there is an answer or ctx ends. It asks on the session that there is, and anew on each new one.
func (l *Link) ask(ctx context.Context, a *agentv1.Ask) (*agentv1.Told, error) {
	a = proto.CloneOf(a)
	q := l.beginAsk(a)
	defer l.endAsk(a.GetId())
	select {
	case told := <-q.told:
		return told, nil
	case <-ctx.Done():
		return nil, l.noAnswer(ctx)
	}
}

func (l *Link) noAnswer(ctx context.Context) error {
	l.mu.Lock()
	connected := l.current != nil
	l.mu.Unlock()
	switch {
	case !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("it was given up before the server had answered: %w", ctx.Err())
	case connected:
		return fmt.Errorf("the server did not answer in time: %w", ctx.Err())
	}
	return fmt.Errorf("there is no session with the server, and none came in time: %w", ctx.Err())
}

// beginAsk gives the question its number. It is either put on the session that there is or found by the one that comes next, never both:
// the server would have terminals probe twice.
func (l *Link) beginAsk(a *agentv1.Ask) *asked {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastAsk++
	a.Id = l.lastAsk
	q := &asked{ask: a, told: make(chan *agentv1.Told, 1)}
	l.asks[a.GetId()] = q
	if l.current != nil {
		l.current.put(askMessage(a))
	}
	return q
}

func (l *Link) endAsk(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asks, id)
}

// tell hands an answer over. One that nobody waits for any more means nothing.
func (l *Link) tell(told *agentv1.Told) {
	l.mu.Lock()
	q := l.asks[told.GetId()]
	l.mu.Unlock()
	if q == nil {
		return
	}
	select {
	case q.told <- told:
	default: // it has an answer
	}
}

func askMessage(a *agentv1.Ask) *agentv1.ConnectRequest {
	return &agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Ask{Ask: a}}
}
