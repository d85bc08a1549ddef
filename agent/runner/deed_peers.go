package runner

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// maxPeers bounds the terminals that are asked for one effect.
	maxPeers = 20
	// leastPeerTime and mostPeerTime bound the wait for their verdicts.
	leastPeerTime = 2 * time.Second
	mostPeerTime  = 2 * time.Minute
	// mostLeftOut bounds the terminals that are not to be asked.
	mostLeftOut = 1000
)

// peersDeed has terminals that use this host connect to it, through the server. It changes nothing, so there is nothing to put back.
type peersDeed struct {
	work
	e *actionv1.PeerProbe
}

func (d peersDeed) resource() string {
	return fmt.Sprintf("terminals that use %q", clip(d.e.GetTarget().GetHost(), maxName))
}

func (d peersDeed) check(*actionv1.Action) error {
	timeout := d.e.GetTimeout().AsDuration()
	if wrong := targetProblem(d.e.GetTarget()); wrong != "" {
		return fmt.Errorf("host %q: %s", clip(d.e.GetTarget().GetHost(), maxName), wrong)
	}
	switch {
	case d.e.GetCount() == 0 || d.e.GetCount() > maxPeers:
		return fmt.Errorf("it wants %d terminals, want 1 to %d", d.e.GetCount(), maxPeers)
	case timeout < leastPeerTime || timeout > mostPeerTime:
		return fmt.Errorf("its timeout is %s, want %s to %s", timeout, leastPeerTime, mostPeerTime)
	case len(d.e.GetExcept()) > mostLeftOut:
		return fmt.Errorf("it leaves out %d terminals by name, want at most %d", len(d.e.GetExcept()), mostLeftOut)
	case d.e.GetCertificateSha256() == "":
		return nil
	case !d.e.GetTarget().GetTls():
		return errors.New("it wants a certificate to be served without TLS")
	}
	return checkSHA256("certificate", d.e.GetCertificateSha256())
}

// timeout gives the answer a while longer than the verdicts have: the server says then who gave none.
func (d peersDeed) timeout() time.Duration    { return d.e.GetTimeout().AsDuration() + askTimeout }
func (d peersDeed) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_EXACT }

func (d peersDeed) read(context.Context) (*actionv1.State, error) { return peersState(nil), nil }

func peersState(v *actionv1.PeerVerdicts) *actionv1.State {
	if v == nil {
		v = &actionv1.PeerVerdicts{}
	}
	return &actionv1.State{State: &actionv1.State_Peers{Peers: v}}
}

// do asks. The target must be this host: a plugin is no way to have other terminals look around in a plant's network.
func (d peersDeed) do(ctx context.Context, _ *actionv1.State) (*actionv1.State, error) {
	if d.c == nil {
		return peersState(nil), errors.New("terminals are asked for a task that runs, and for nobody else")
	}
	site, err := d.c.surroundings(ctx)
	if err != nil {
		return peersState(nil), err
	}
	if !isSelf(site, d.e.GetTarget()) {
		return peersState(nil), fmt.Errorf("host %q: the server does not know it as this host; set the site's NES hosts right", d.e.GetTarget().GetHost())
	}
	verdicts, err := d.r.askerFor(d.key).PeerProbe(ctx, d.key, d.e)
	if err != nil {
		return peersState(nil), fmt.Errorf("%s: %w", d.resource(), err)
	}
	return peersState(verdicts), nil
}

// isSelf says whether a target is the machine of the run, by a name that the server knows of it.
func isSelf(site *actionv1.Surroundings, t *actionv1.ProbeTarget) bool {
	return slices.ContainsFunc(site.GetNesHosts(), func(h *actionv1.NESHost) bool { return isOwn(h, t) })
}

// isOwn says whether a target is a NES host that is the machine of the run itself, whose ports are all its own.
func isOwn(h *actionv1.NESHost, t *actionv1.ProbeTarget) bool {
	if !h.GetSelf() {
		return false
	}
	u, err := url.Parse(h.GetUrl())
	return strings.EqualFold(h.GetHost(), t.GetHost()) || (err == nil && u.Hostname() != "" && strings.EqualFold(u.Hostname(), t.GetHost()))
}

// reached wants as many good verdicts as were asked for, and no bad one: a terminal that cannot reach the host is one too many.
func (d peersDeed) reached(now *actionv1.State) error {
	var good uint32
	var bad []string
	for _, v := range now.GetPeers().GetVerdicts() {
		if why := d.objection(v); why != "" {
			bad = append(bad, fmt.Sprintf("%s: %s", clip(v.GetTerminal(), maxName), clip(why, maxName)))
			continue
		}
		good++
	}
	switch {
	case len(bad) > 0:
		return fmt.Errorf("it does not hold for %s", strings.Join(bad, "; "))
	case good < d.e.GetCount():
		return fmt.Errorf("%d of the %d terminals that were to try could be asked; have more of those that use this host connect", good, d.e.GetCount())
	}
	return nil
}

// objection says why a verdict is not a good one. What the terminal has seen is judged here once more, because this host knows what it
// serves.
func (d peersDeed) objection(v *actionv1.PeerVerdict) string {
	chain := v.GetResult().GetChain()
	switch {
	case !v.GetOk() && v.GetReason() == "":
		return "it gave no reason"
	case !v.GetOk():
		return v.GetReason()
	case d.e.GetTarget().GetTls() && !v.GetResult().GetTrusted():
		return "it does not trust what is served: " + v.GetResult().GetTrustProblem()
	case d.e.GetCertificateSha256() != "" && (len(chain) == 0 || chain[0].GetSha256() != d.e.GetCertificateSha256()):
		return "it is served another certificate"
	}
	return ""
}

func (d peersDeed) restore(context.Context, touch) *actionv1.Undo {
	return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED}
}
