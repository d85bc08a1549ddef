package hosttest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/certfacts"
)

// SetReachable has an address ("host:port") be reachable over TCP, or not. A new Memory reaches AgentAddress alone, for as
// long as the Nymi Agent runs.
func (m *Memory) SetReachable(addr string, reachable bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listening[addr] = reachable
}

// SetProbe has Probe of a host and port come to a result.
func (m *Memory) SetProbe(host string, port uint32, result *actionv1.NetProbeResult) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.probes[fmt.Sprintf("%s:%d", host, port)] = proto.CloneOf(result)
}

// Reach has a name lead to another machine: Probe connects to its web server as it is then. nil takes the name away. A machine with a
// web server reaches itself as "localhost" and by its own name.
func (m *Memory) Reach(name string, peer *Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.peers[name] = peer
}

// memoryNetwork is Memory's host.Network.
type memoryNetwork struct{ m *Memory }

// ProbeTCP implements host.Network.
func (v memoryNetwork) ProbeTCP(_ context.Context, addr string, _ time.Duration) (*actionv1.TCPProbeResult, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("address %q: needs a host and a port: %w", addr, err)
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	result := &actionv1.TCPProbeResult{Reachable: v.m.listening[addr], Took: durationpb.New(0)}
	if agent, ok := v.m.services[host.AgentService]; addr == AgentAddress && ok && agent.status != running {
		result.Reachable = false
	}
	if !result.GetReachable() {
		result.Reason = "connection refused"
	}
	return result, nil
}

// Probe implements host.Network.
func (v memoryNetwork) Probe(_ context.Context, target *actionv1.ProbeTarget, _ time.Duration) (*actionv1.NetProbeResult, error) {
	if target.GetHost() == "" || target.GetPort() == 0 || target.GetPort() > 65535 {
		return nil, fmt.Errorf("probe of %q, port %d: want a host and a port from 1 to 65535", target.GetHost(), target.GetPort())
	}
	scripted, peer := v.find(target)
	if scripted != nil {
		return scripted, nil
	}
	result := &actionv1.NetProbeResult{Took: durationpb.New(0)}
	if peer == nil {
		result.NameProblem = "no such host"
		return result, nil
	}
	answer := peer.answer(target)
	result.Addresses, result.Connected = answer.addresses, answer.connected
	switch {
	case !answer.connected:
		result.ConnectProblem = "connection refused"
		return result, nil
	case target.GetTls() && len(answer.chain) == 0:
		result.TlsProblem = "the connection was closed without an answer"
		return result, nil
	case target.GetTls():
		result.Handshake, result.Chain = true, certfacts.Chain(answer.chain)
		result.TrustProblem = v.m.trustProblem(answer.chain, target.GetHost())
		result.Trusted = result.GetTrustProblem() == ""
	}
	if target.GetHttpPath() != "" && (result.GetTrusted() || !target.GetTls()) {
		result.HttpStatus, result.HttpSubstatus = answer.status, answer.substatus
	}
	return result, nil
}

// Resolve implements host.Network.
func (v memoryNetwork) Resolve(_ context.Context, name string, _ time.Duration) ([]string, string, error) {
	if name == "" {
		return nil, "", errors.New(`name "": want one`)
	}
	for _, port := range []uint32{443, 80} {
		if scripted, peer := v.find(&actionv1.ProbeTarget{Host: name, Port: port}); scripted != nil {
			return scripted.GetAddresses(), scripted.GetNameProblem(), nil
		} else if peer != nil {
			return peer.answer(&actionv1.ProbeTarget{Host: name, Port: port}).addresses, "", nil
		}
	}
	return nil, "no such host", nil
}

// find returns the result that a test has set, or the machine that the name leads to.
func (v memoryNetwork) find(target *actionv1.ProbeTarget) (*actionv1.NetProbeResult, *Memory) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	name := target.GetHost()
	if scripted := v.m.probes[fmt.Sprintf("%s:%d", name, target.GetPort())]; scripted != nil {
		return proto.CloneOf(scripted), nil
	}
	if peer := v.m.peers[name]; peer != nil {
		return nil, peer
	}
	if v.m.web != nil && (name == "localhost" || name == "127.0.0.1" || name == v.m.state.GetHostname()) {
		return nil, v.m
	}
	return nil, nil
}

// trustProblem says why this machine does not trust a chain; empty when it does.
func (m *Memory) trustProblem(chain []*x509.Certificate, name string) string {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: name, CurrentTime: time.Now(),
	}
	m.mu.Lock()
	for _, h := range m.stores["Root"] {
		options.Roots.AddCert(h.certificate)
	}
	for _, h := range m.stores["CA"] {
		options.Intermediates.AddCert(h.certificate)
	}
	m.mu.Unlock()
	for _, c := range chain[1:] {
		options.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(options); err != nil {
		return err.Error()
	}
	return ""
}
