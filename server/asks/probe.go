package asks

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// maxPeers is how many terminals one question may have probe.
	maxPeers = 20
	// minProbe and maxProbe bound how long a question waits for verdicts.
	minProbe = 2 * time.Second
	maxProbe = 2 * time.Minute
	// maxExcept is how many terminals a question may leave out.
	maxExcept = 1000
	maxHost   = 253
	maxPath   = 512
	// maxVerdict bounds what is passed on of a verdict, in bytes.
	maxVerdict = 64 << 10
	// maxReason is how much of a reason is passed on, in bytes.
	maxReason = 300
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// order is an order to probe that waits for its verdict: who has it, and its number.
type order struct {
	terminalID string
	id         uint64
}

// clamp keeps a wish within what is waited for.
func clamp(d time.Duration) time.Duration { return max(minProbe, min(d, maxProbe)) }

// peerProbe has terminals that use this host connect to it. It asks as many as are wanted, chosen at random, and another one for each that
// could not try or does not answer in half the time. A terminal that tried and failed is no reason to ask another.
func (d *Desk) peerProbe(ctx context.Context, terminalID string, q *actionv1.PeerProbe) (*actionv1.PeerVerdicts, error) {
	if err := checkProbe(q); err != nil {
		return nil, err
	}
	p, err := d.place(ctx, terminalID)
	if err != nil {
		return nil, err
	}
	if !p.mayBeProbed(q.GetTarget().GetHost()) {
		return nil, refusal.New(refusal.Denied, "FOREIGN_HOST", "peer probe: host %q is not one of terminal %q", q.GetTarget().GetHost(), p.terminal.GetName()).
			Then("name the host as the site's settings do: `fleetctl site show %s`", p.site.GetName())
	}
	peers, err := d.peersOf(ctx, p, q.GetExcept())
	if err != nil {
		return nil, err
	}
	r := &round{Desk: d, q: q, peers: peers, limit: clamp(q.GetTimeout().AsDuration()), came: make(chan verdict, len(peers))}
	return r.run(ctx), nil
}

func checkProbe(q *actionv1.PeerProbe) error {
	bad := func(format string, args ...any) error {
		return refusal.New(refusal.Invalid, "BAD_PROBE", "peer probe: "+format, args...)
	}
	t := q.GetTarget()
	switch {
	case q.GetCount() == 0 || q.GetCount() > maxPeers:
		return bad("asks for %d terminals, want 1 to %d", q.GetCount(), maxPeers)
	case t.GetHost() == "" || len(t.GetHost()) > maxHost || t.GetPort() == 0 || t.GetPort() > 65535:
		return bad("names no host and port")
	case len(t.GetHttpPath()) > maxPath:
		return bad("its path is longer than %d bytes", maxPath)
	case len(q.GetExcept()) > maxExcept:
		return bad("leaves out %d terminals by name, want at most %d", len(q.GetExcept()), maxExcept)
	case t.GetTls() && !sha256Hex.MatchString(q.GetCertificateSha256()):
		return bad("does not say which certificate must be served")
	}
	return nil
}

// peersOf are the terminals that use a host and are online, but for those that are not to be asked, in random order.
func (d *Desk) peersOf(ctx context.Context, p *place, except []string) ([]*fleetv1.Terminal, error) {
	users, err := d.usersOf(ctx, p)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for _, name := range except {
		left[access.Fold(name)] = true
	}
	var online []*fleetv1.Terminal
	for _, r := range users {
		if d.cfg.Link.Online(r.GetTerminal().GetId()) && !left[access.Fold(r.GetTerminal().GetName())] {
			online = append(online, r.GetTerminal())
		}
	}
	if len(online) == 0 {
		return nil, refusal.New(refusal.Unavailable, "NO_PEERS", "peer probe: none of the %d terminals that use %q and may be asked is online", len(users), p.terminal.GetName()).
			Then("try again when one is; `fleetctl get terminals --site %s` shows them", p.site.GetName())
	}
	rand.Shuffle(len(online), func(i, j int) { online[i], online[j] = online[j], online[i] }) //nolint:gosec // it only spreads the load
	return online, nil
}

// verdict is what came of one order.
type verdict struct {
	peer *fleetv1.Terminal
	*agentv1.ProbeVerdict
}

// round is one question to peers.
type round struct {
	*Desk
	q     *actionv1.PeerProbe
	peers []*fleetv1.Terminal
	limit time.Duration
	came  chan verdict
	// asked are those who were asked, by id, until they have answered; silent those who have not in half the time.
	asked, silent map[string]*fleetv1.Terminal
	verdicts      []*actionv1.PeerVerdict
	orders        []order
}

func (r *round) run(ctx context.Context) *actionv1.PeerVerdicts {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	defer r.withdraw()
	half := time.NewTimer(r.limit / 2)
	defer half.Stop()
	r.asked, r.silent = map[string]*fleetv1.Terminal{}, map[string]*fleetv1.Terminal{}
	r.askMore(ctx)
	for len(r.asked)+len(r.silent) > 0 && len(r.verdicts) < int(r.q.GetCount()) {
		select {
		case v := <-r.came:
			r.take(v)
		case <-half.C:
			r.silent, r.asked = r.asked, map[string]*fleetv1.Terminal{}
		case <-ctx.Done():
			return r.conclude()
		}
		r.askMore(ctx)
	}
	return r.conclude()
}

// askMore sends orders until as many are out, or have answered, as are wanted.
func (r *round) askMore(ctx context.Context) {
	until, _ := ctx.Deadline()
	for len(r.verdicts)+len(r.asked) < int(r.q.GetCount()) && len(r.peers) > 0 {
		peer := r.peers[0]
		r.peers = r.peers[1:]
		o := order{peer.GetId(), r.probes.Add(1)}
		answer := make(chan *agentv1.ProbeVerdict, 1)
		r.expect(o, answer)
		r.orders = append(r.orders, o)
		m := &agentv1.ProbeOrder{Id: o.id, Target: r.q.GetTarget(), Timeout: durationpb.New(r.patience(until))}
		if !r.cfg.Link.Tell(peer.GetId(), &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_ProbeOrder{ProbeOrder: m}}) {
			continue
		}
		r.asked[peer.GetId()] = peer
		go r.pass(ctx, peer, answer)
	}
}

// patience is how long a terminal may try: less than is left, so that its word still comes in time.
func (r *round) patience(until time.Time) time.Duration {
	return min(max(time.Until(until)-r.limit/8, time.Second), 30*time.Second)
}

// pass hands a verdict to the round.
func (r *round) pass(ctx context.Context, peer *fleetv1.Terminal, answer <-chan *agentv1.ProbeVerdict) {
	select {
	case v := <-answer:
		r.came <- verdict{peer, v}
	case <-ctx.Done():
	}
}

// take judges what a terminal found. One that could not try is as if it had not been asked, while there are others.
func (r *round) take(v verdict) {
	delete(r.asked, v.peer.GetId())
	delete(r.silent, v.peer.GetId())
	if v.GetProblem() != "" && len(r.peers) > 0 {
		return
	}
	r.verdicts = append(r.verdicts, r.judge(v))
}

// judge says whether a terminal reached the host as it should.
func (r *round) judge(v verdict) *actionv1.PeerVerdict {
	found := v.GetResult()
	out := &actionv1.PeerVerdict{Terminal: v.peer.GetName(), Reason: clip(v.GetProblem())}
	if proto.Size(found) <= maxVerdict {
		out.Result = found
	}
	if out.Reason == "" {
		out.Reason = clip(whyNot(r.q, found))
	}
	out.Ok = out.GetReason() == ""
	return out
}

// whyNot is why a probe was not good, "" when it was.
func whyNot(q *actionv1.PeerProbe, found *actionv1.NetProbeResult) string {
	first := func(reason, otherwise string) string { return cmp.Or(reason, otherwise) }
	switch {
	case !found.GetConnected():
		return first(cmp.Or(found.GetNameProblem(), found.GetConnectProblem()), "it could not connect")
	case !q.GetTarget().GetTls():
		return ""
	case !found.GetHandshake() || len(found.GetChain()) == 0:
		return first(found.GetTlsProblem(), "TLS was not agreed")
	case found.GetChain()[0].GetSha256() != q.GetCertificateSha256():
		return fmt.Sprintf("it was served certificate %.64s, want %s", found.GetChain()[0].GetSha256(), q.GetCertificateSha256())
	case !found.GetTrusted():
		return first(found.GetTrustProblem(), "the certificate is not trusted there")
	}
	return ""
}

// conclude adds those who have not answered, and what is missing because nobody else is online.
func (r *round) conclude() *actionv1.PeerVerdicts {
	for _, waiting := range []map[string]*fleetv1.Terminal{r.asked, r.silent} {
		for _, t := range waiting {
			if len(r.verdicts) < int(r.q.GetCount()) {
				r.verdicts = append(r.verdicts, &actionv1.PeerVerdict{Terminal: t.GetName(), Reason: fmt.Sprintf("no answer within %s", r.limit)})
			}
		}
	}
	if missing := int(r.q.GetCount()) - len(r.verdicts); missing > 0 {
		r.verdicts = append(r.verdicts, &actionv1.PeerVerdict{Reason: fmt.Sprintf("%d more of the terminals that use it should have been asked, and no other is online", missing)})
	}
	slices.SortFunc(r.verdicts, func(a, b *actionv1.PeerVerdict) int { return strings.Compare(a.GetTerminal(), b.GetTerminal()) })
	return &actionv1.PeerVerdicts{Verdicts: r.verdicts}
}

// expect has a verdict handed to the round.
func (d *Desk) expect(o order, answer chan<- *agentv1.ProbeVerdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting[o] = answer
}

// withdraw forgets all orders of the round: what comes late is of no use.
func (r *round) withdraw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.orders {
		delete(r.waiting, o)
	}
}

// Verdict takes what a terminal found. One that nobody waits for, or that another terminal was asked for, is left out.
func (d *Desk) Verdict(terminalID string, v *agentv1.ProbeVerdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := order{terminalID, v.GetId()}
	if answer := d.waiting[o]; answer != nil {
		delete(d.waiting, o)
		answer <- v
	}
}

func clip(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxReason {
		return text
	}
	return strings.ToValidUTF8(text[:maxReason], "") + "…"
}
