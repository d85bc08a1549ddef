package hosttest

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const probeTimeout = 5 * time.Second

func (e Equipment) probe(t *testing.T, target *actionv1.ProbeTarget) *actionv1.NetProbeResult {
	t.Helper()
	result, err := e.Host.Network.Probe(within(t, longWait), target, probeTimeout)
	if err != nil {
		t.Fatalf("Probe(%v) = %v, want a result: nothing that it meets is an error", target, err)
	}
	return result
}

func testPeer(t *testing.T, e Equipment) {
	target := proto.CloneOf(e.Peer)
	target.Tls, target.HttpPath = true, "/nes/"
	r := e.probe(t, target)
	if len(r.GetAddresses()) == 0 || !r.GetConnected() || !r.GetHandshake() || !r.GetTrusted() || r.GetHttpStatus() != 200 || len(r.GetChain()) == 0 {
		t.Errorf("Probe(%v) = %v; want it found, connected, trusted, and answered with 200", target, r)
	}
	r = e.probe(t, e.plain(e.Peer))
	if !r.GetConnected() || r.GetHandshake() || r.GetHttpStatus() != 0 {
		t.Errorf("Probe without TLS and path = %v; want a connection and nothing else", r)
	}
}

// plain is a target that only wants a connection.
func (e Equipment) plain(target *actionv1.ProbeTarget) *actionv1.ProbeTarget {
	return &actionv1.ProbeTarget{Host: target.GetHost(), Port: target.GetPort()}
}

func testStranger(t *testing.T, e Equipment) {
	target := proto.CloneOf(e.Stranger)
	target.Tls, target.HttpPath = true, "/nes/"
	r := e.probe(t, target)
	if !r.GetHandshake() || len(r.GetChain()) == 0 || r.GetTrusted() || r.GetTrustProblem() == "" {
		t.Errorf("Probe(%v) = %v; want the chain that is served, and why it is not trusted", target, r)
	}
	if r.GetHttpStatus() != 0 {
		t.Errorf("Probe(%v) = %v; want no question asked of a server that is not trusted", target, r)
	}
}

func testNoName(t *testing.T, e Equipment) {
	r := e.probe(t, &actionv1.ProbeTarget{Host: "no-such-host.invalid", Port: 443, Tls: true})
	if r.GetNameProblem() == "" || r.GetConnected() {
		t.Errorf("Probe = %v; want that the name has no address", r)
	}
	for _, bad := range []*actionv1.ProbeTarget{{Port: 443}, {Host: e.Peer.GetHost()}, {Host: e.Peer.GetHost(), Port: 70000}} {
		if result, err := e.Host.Network.Probe(t.Context(), bad, probeTimeout); err == nil {
			t.Errorf("Probe(%v) = %v, want an error: that is a mistake, not an unreachable peer", bad, result)
		}
	}
}
