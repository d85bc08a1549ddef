package detect

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const httpsPort = 443

// targetOf makes what is connected to for an https URL, with a GET of path.
func targetOf(text, path string) (*actionv1.ProbeTarget, error) {
	u, err := url.Parse(text)
	if err != nil || !strings.EqualFold(u.Scheme, "https") || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("%q is no https URL", text)
	}
	port := uint64(httpsPort)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return nil, fmt.Errorf("%q has no port that could be", text)
		}
	}
	if path == "" {
		path = max(u.EscapedPath(), "/")
	}
	return &actionv1.ProbeTarget{Host: u.Hostname(), Port: uint32(port), Tls: true, HttpPath: path}, nil
}

func addressOf(t *actionv1.ProbeTarget) string {
	return net.JoinHostPort(t.GetHost(), strconv.FormatUint(uint64(t.GetPort()), 10))
}

// readNESPath goes the way to each NES host that this machine uses or is.
func readNESPath(ctx context.Context, v view) ([]Reading, error) {
	var all []Reading
	for _, h := range v.site.GetNesHosts() {
		if !h.GetUsed() && !h.GetSelf() {
			continue
		}
		target, err := targetOf(h.GetUrl(), "")
		if err != nil {
			all = append(all, unknownOf("nes-path", h.GetHost(), err))
			continue
		}
		all = append(all, wayTo(ctx, v, target))
	}
	return all, nil
}

// wayTo tells the first step that fails.
func wayTo(ctx context.Context, v view, target *actionv1.ProbeTarget) Reading {
	const signal = "nes-path"
	p, err := v.cfg.Host.Network.Probe(ctx, target, probeTimeout)
	if err != nil {
		return unknownOf(signal, addressOf(target), err)
	}
	value, cause := step(p, target.GetHost(), time.Now())
	return readOf(signal, addressOf(target), value, append([]seen{said("address", addressOf(target)), said("cause", cause)}, served(p)...)...)
}

// step is the first step of a probe that failed, and why.
func step(p *actionv1.NetProbeResult, name string, now time.Time) (value, cause string) {
	switch {
	case len(p.GetAddresses()) == 0 && !p.GetConnected():
		return "name", p.GetNameProblem()
	case !p.GetConnected():
		return "connect", p.GetConnectProblem()
	case !p.GetHandshake():
		return "handshake", p.GetTlsProblem()
	case !p.GetTrusted():
		return distrust(p, name, now), p.GetTrustProblem()
	case p.GetHttpStatus() == 0:
		return "status", "no HTTP answer: " + p.GetHttpProblem()
	case broken(p.GetHttpStatus()):
		return "status", statusText(p)
	}
	return "ok", ""
}

// broken says whether a status means that the application does not work. That it wants to know who asks (401, 403) is an answer.
func broken(status uint32) bool {
	return status == http.StatusNotFound || status >= http.StatusInternalServerError
}

func statusText(p *actionv1.NetProbeResult) string {
	if p.GetHttpSubstatus() != 0 {
		return fmt.Sprintf("HTTP %d.%d", p.GetHttpStatus(), p.GetHttpSubstatus())
	}
	return fmt.Sprintf("HTTP %d", p.GetHttpStatus())
}

// distrust says why a chain is not trusted.
func distrust(p *actionv1.NetProbeResult, name string, now time.Time) string {
	for _, c := range p.GetChain() {
		if ended(c, now) {
			return "expired"
		}
	}
	problem := p.GetTrustProblem()
	stranger := strings.Contains(problem, "not trusted here") || strings.Contains(problem, "unknown authority")
	if !stranger && len(p.GetChain()) > 0 && !names(p.GetChain()[0], name) {
		return "mismatch"
	}
	return "untrusted"
}

// ended says whether a certificate is over, or not valid yet.
func ended(c *actionv1.Certificate, now time.Time) bool {
	return now.After(c.GetNotAfter().AsTime()) || now.Before(c.GetNotBefore().AsTime())
}

// names says whether a certificate is for a host.
func names(c *actionv1.Certificate, name string) bool {
	leaf := x509.Certificate{DNSNames: c.GetDnsNames()}
	for _, text := range c.GetIpAddresses() {
		leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(text))
	}
	return leaf.VerifyHostname(name) == nil
}

// served describes the certificate that was served.
func served(p *actionv1.NetProbeResult) []seen {
	if len(p.GetChain()) == 0 {
		return nil
	}
	leaf := p.GetChain()[0]
	return []seen{
		said("certificate", leaf.GetSubject()), said("issuer", leaf.GetIssuer()),
		said("not after", leaf.GetNotAfter().AsTime().UTC().Format(time.RFC3339)), said("thumbprint", leaf.GetSha1()),
	}
}

// readLabelled connects to the hosts that the site knows under a label.
func readLabelled(signal, label string) func(context.Context, view) ([]Reading, error) {
	return func(ctx context.Context, v view) ([]Reading, error) {
		var all []Reading
		for _, known := range v.site.GetKnownHosts() {
			if strings.EqualFold(known.GetLabel(), label) {
				all = append(all, connected(ctx, v, signal, known.GetAddress(), "ok", "failed"))
			}
		}
		return all, nil
	}
}

// mayProbe says whether a host is one that the site knows: nothing else is ever connected to, whatever a file says.
func mayProbe(v view, target *actionv1.ProbeTarget) bool {
	for _, h := range v.site.GetNesHosts() {
		own, err := targetOf(h.GetUrl(), "")
		if strings.EqualFold(h.GetHost(), target.GetHost()) || err == nil && strings.EqualFold(own.GetHost(), target.GetHost()) {
			return target.GetPort() == httpsPort || err == nil && own.GetPort() == target.GetPort() || h.GetSelf()
		}
	}
	for _, known := range v.site.GetKnownHosts() {
		if strings.EqualFold(known.GetAddress(), addressOf(target)) {
			return true
		}
	}
	return false
}
