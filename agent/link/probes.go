package link

import (
	"context"
	"fmt"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// maxProbes bounds the probes that are made at once for other terminals: a terminal has its own work.
	maxProbes = 4
	// leastProbe and mostProbe bound the time of one.
	leastProbe = time.Second
	mostProbe  = 30 * time.Second
	// maxProbeHost and maxProbePath bound what is asked for, in bytes.
	maxProbeHost, maxProbePath = 253, 1024
	// maxVerdictProblem bounds the text of a verdict, in bytes.
	maxVerdictProblem = 500
)

// Prober connects to a host for another terminal's task. It only looks: nothing that it meets is an error.
type Prober interface {
	Probe(ctx context.Context, target *actionv1.ProbeTarget, timeout time.Duration) (*actionv1.NetProbeResult, error)
}

// probe answers an order beside the session. The server has an answer to each: an order that cannot be followed says why.
func (s *session) probe(ctx context.Context, o *agentv1.ProbeOrder) {
	if err := s.link.mayProbe(o.GetTarget()); err != nil {
		s.verdict(o, nil, err)
		return
	}
	select {
	case s.probes <- struct{}{}:
	default:
		s.verdict(o, nil, fmt.Errorf("this terminal makes %d probes already; ask again", maxProbes))
		return
	}
	s.probing.Go(func() {
		defer func() { <-s.probes }()
		timeout := min(max(o.GetTimeout().AsDuration(), leastProbe), mostProbe)
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		result, err := s.link.config.Prober.Probe(ctx, o.GetTarget(), timeout)
		s.verdict(o, result, err)
	})
}

// mayProbe says what is wrong with a target.
func (l *Link) mayProbe(t *actionv1.ProbeTarget) error {
	switch {
	case l.config.Prober == nil:
		return fmt.Errorf("this agent makes no probes")
	case t.GetHost() == "" || len(t.GetHost()) > maxProbeHost || strings.ContainsAny(t.GetHost(), "/@ "):
		return fmt.Errorf("host %.100q: is no host", t.GetHost())
	case t.GetPort() == 0 || t.GetPort() > 65535:
		return fmt.Errorf("port %d: is none", t.GetPort())
	case t.GetHttpPath() != "" && (!strings.HasPrefix(t.GetHttpPath(), "/") || len(t.GetHttpPath()) > maxProbePath):
		return fmt.Errorf("path %.100q: must begin with / and have at most %d bytes", t.GetHttpPath(), maxProbePath)
	}
	return nil
}

func (s *session) verdict(o *agentv1.ProbeOrder, result *actionv1.NetProbeResult, err error) {
	v := &agentv1.ProbeVerdict{Id: o.GetId(), Result: result}
	if err != nil {
		v.Result, v.Problem = nil, strings.ToValidUTF8(err.Error()[:min(len(err.Error()), maxVerdictProblem)], "?")
	}
	s.box.put(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_ProbeVerdict{ProbeVerdict: v}})
}
