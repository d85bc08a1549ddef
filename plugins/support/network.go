package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// probe connects to a host that the server knows and records name, connection, trust and application as findings of their own, as far as it
// gets: so a fault of the network is told from one of a certificate and one of an application.
func (e *exam) probe(ctx context.Context, rule string, target *actionv1.ProbeTarget) {
	subject := neshost.Address(target)
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown(rule+"-reach", subject, "reachable", err.Error())
		return
	}
	if !neshost.Known(site, target) {
		e.unknown(rule+"-reach", subject, "reachable", "the inventory does not know this host, so it is not connected to; add it to the site's known hosts")
		return
	}
	e.connect(ctx, rule, target)
}

func (e *exam) connect(ctx context.Context, rule string, target *actionv1.ProbeTarget) {
	subject := neshost.Address(target)
	if !e.timeLeft() {
		e.unknown(rule+"-reach", subject, "reachable", "the time for probes was over; ask for this check alone")
		return
	}
	p, err := e.r.ProbeNet(ctx, target, e.timeout)
	if err != nil {
		e.unknown(rule+"-reach", subject, "reachable", err.Error())
		return
	}
	e.reached(rule, subject, p)
	if target.GetTls() && p.GetConnected() {
		e.trusts(rule, subject, p)
	}
	// A chain that is not trusted ends the probe: what is behind it was not asked.
	if asked := p.GetHttpStatus() != 0 || p.GetTrusted() || !target.GetTls(); target.GetHttpPath() != "" && p.GetConnected() && asked {
		e.serves(rule, subject+target.GetHttpPath(), p)
	}
}

// reached records name and connection.
func (e *exam) reached(rule, subject string, p *actionv1.NetProbeResult) {
	named := len(p.GetAddresses()) > 0 || p.GetConnected()
	value := "no address"
	if named {
		value = strings.Join(p.GetAddresses(), ", ")
	}
	e.judge(named, problem, rule+"-name", subject, value, "an address",
		p.GetNameProblem()+": correct the name, or see the DNS server that this machine uses")
	if !named {
		return
	}
	value = "connected"
	if !p.GetConnected() {
		value = p.GetConnectProblem()
	}
	e.judge(p.GetConnected(), problem, rule+"-connect", subject, value, "connected",
		"the network does not let it through, or nothing listens there: see firewalls on the way, and the service on that host")
}

// trusts records the TLS handshake and whether this machine trusts the chain.
func (e *exam) trusts(rule, subject string, p *actionv1.NetProbeResult) {
	if !p.GetHandshake() {
		e.judge(false, problem, rule+"-tls", subject, p.GetTlsProblem(), "a TLS handshake", "see the https binding and its certificate on that host")
		return
	}
	e.judge(p.GetTrusted(), problem, rule+"-trust", subject, chainWords(p), "a chain that this machine trusts, valid now, for this name",
		p.GetTrustProblem()+": see the certificate on that host, and install the root here (action root-cert-install)")
}

// chainWords describes the certificate that was served: "CN=nes-lyon-1, not after 2027-01-02, SHA-1 ab…".
func chainWords(p *actionv1.NetProbeResult) string {
	if len(p.GetChain()) == 0 {
		return "no certificate"
	}
	leaf := p.GetChain()[0]
	names := slices.Concat(leaf.GetDnsNames(), leaf.GetIpAddresses())
	text := fmt.Sprintf("%s, issued by %s, not after %s, SHA-1 %s", leaf.GetSubject(), leaf.GetIssuer(), leaf.GetNotAfter().AsTime().UTC().Format("2006-01-02"), leaf.GetSha1())
	if len(names) > 0 {
		text += ", for " + strings.Join(names, ", ")
	}
	return text
}

// serves records what the application answered. That it wants to know who asks (401, 403) is an answer.
func (e *exam) serves(rule, subject string, p *actionv1.NetProbeResult) {
	const expected = "an answer other than 404 and 5xx"
	if p.GetHttpStatus() == 0 {
		e.judge(false, problem, rule+"-http", subject, "no answer: "+p.GetHttpProblem(), expected, "restart the web server of that host (action iis-restart there)")
		return
	}
	ok := p.GetHttpStatus() != http.StatusNotFound && p.GetHttpStatus() < http.StatusInternalServerError
	e.judge(ok, problem, rule+"-http", subject, fmt.Sprintf("HTTP %d", p.GetHttpStatus()), expected, httpAdvice(p.GetHttpStatus()))
}

func httpAdvice(status uint32) string {
	if status == http.StatusNotFound {
		return "nothing is there under this address: correct the address, or see whether the application is installed on that host"
	}
	return "the application does not work: run diagnose profile=nes on that host"
}
