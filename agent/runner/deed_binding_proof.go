package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// proofTries is how often a handshake is tried, proofWait how long it is waited in between: a web server takes a moment.
	proofTries = 5
	proofWait  = time.Second
)

// proven adds a handshake to a binding that was put back: nobody is told that the earlier certificate is back before it was seen to be
// served. What could not be seen is tried again, and the run does not count as rolled back.
func (d bindingDeed) proven(ctx context.Context, t touch, u *actionv1.Undo) *actionv1.Undo {
	first := t.first.GetBinding()
	if u.GetOutcome() != actionv1.UndoOutcome_UNDO_OUTCOME_DONE || first.GetCertificateSha256() == "" {
		return u
	}
	problem, err := d.awaitServed(ctx, first)
	switch {
	case errors.Is(err, host.ErrNotSupported):
		u.Reason = "no handshake can be made here to prove it"
	case err != nil || problem != "":
		u.Outcome = actionv1.UndoOutcome_UNDO_OUTCOME_OBLIGATION
		u.Reason = clip(fmt.Sprintf("it reads as before, and no handshake proves it: %s", orError(problem, err)), maxText)
	default:
		u.Reason = "a handshake shows the certificate that was served before"
	}
	return u
}

func orError(problem string, err error) string {
	if err != nil {
		return err.Error()
	}
	return problem
}

// awaitServed says why a binding is not seen to serve its certificate, empty when it is.
func (d bindingDeed) awaitServed(ctx context.Context, b *actionv1.Binding) (problem string, err error) {
	for try := range proofTries {
		if try > 0 {
			if err := sleep(ctx, proofWait); err != nil {
				return problem, err
			}
		}
		found, err := contained(func() (*actionv1.NetProbeResult, error) {
			return d.r.host.Network.Probe(ctx, localTarget(b), defaultProbe)
		})
		if err != nil {
			return "", err
		}
		if problem = servedProblem(found, b.GetCertificateSha256()); problem == "" {
			return "", nil
		}
	}
	return problem, nil
}

// localTarget is where this machine reaches a binding of its own.
func localTarget(b *actionv1.Binding) *actionv1.ProbeTarget {
	name := "localhost"
	switch {
	case b.GetHost() != "":
		name = b.GetHost()
	case b.GetAddress() != "*":
		name = b.GetAddress()
	}
	return &actionv1.ProbeTarget{Host: name, Port: b.GetPort(), Tls: true}
}

// servedProblem asks for the certificate alone: whether it is trusted is for whoever uses the host.
func servedProblem(found *actionv1.NetProbeResult, sha256 string) string {
	switch {
	case found.GetNameProblem() != "":
		return found.GetNameProblem()
	case !found.GetConnected():
		return found.GetConnectProblem()
	case len(found.GetChain()) == 0:
		return found.GetTlsProblem()
	case found.GetChain()[0].GetSha256() != sha256:
		return "the certificate " + shortHash(found.GetChain()[0].GetSha256()) + " is served"
	}
	return ""
}
