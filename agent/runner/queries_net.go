package runner

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxHTTPPath bounds the path of a probe by HTTP.
const maxHTTPPath = 512

// Ports of the web.
const (
	httpPort  = 80
	httpsPort = 443
)

// queryNetProbe connects to a host that the server knows of this terminal's site, or to the address of agent_url, and to no other: a plugin
// is no way to look around in a plant's network.
func (p *phaseCalls) queryNetProbe(ctx context.Context, q *actionv1.NetProbeQuery) (*actionv1.QueryResult, error) {
	target := q.GetTarget()
	if wrong := targetProblem(target); wrong != "" {
		return nil, p.refuse("it asked to probe %q: %s", clip(target.GetHost(), maxName), wrong)
	}
	known, err := p.c.mayProbe(ctx, target)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, p.refuse("it asked to probe %q, which is no host that the server knows of this site", clip(addressOf(target), maxName))
	}
	timeout := q.GetTimeout().AsDuration()
	if timeout <= 0 {
		timeout = defaultProbe
	}
	result, err := p.c.r.host.Network.Probe(ctx, target, min(timeout, maxProbe))
	if err != nil {
		return nil, err
	}
	return &actionv1.QueryResult{Result: &actionv1.QueryResult_NetProbe{NetProbe: result}}, nil
}

func targetProblem(t *actionv1.ProbeTarget) string {
	const most = 65535
	switch {
	case t.GetHost() == "" || len(t.GetHost()) > maxName || strings.ContainsAny(t.GetHost(), " /\\@\"'\r\n\t"):
		return "this is no name of a host"
	case t.GetPort() == 0 || t.GetPort() > most:
		return "its port is not one of 1 to 65535"
	case t.GetHttpPath() != "" && (t.GetHttpPath()[0] != '/' || len(t.GetHttpPath()) > maxHTTPPath || strings.ContainsAny(t.GetHttpPath(), " \r\n\t")):
		return "its path is none of HTTP"
	}
	return ""
}

func addressOf(t *actionv1.ProbeTarget) string {
	return net.JoinHostPort(t.GetHost(), strconv.FormatUint(uint64(t.GetPort()), 10))
}

// ownWebServer says whether a target is the web server of this machine, by the name under which its certificate authority fetches
// revocation lists. It needs no server to be known.
func ownWebServer(t *actionv1.ProbeTarget) bool {
	return t.GetHost() == "localhost" && (t.GetPort() == httpPort || t.GetPort() == httpsPort)
}

// mayProbe says whether a target is one of the known ones. This machine's own web server and the address of agent_url are known without
// the server.
func (c *course) mayProbe(ctx context.Context, t *actionv1.ProbeTarget) (bool, error) {
	if ownWebServer(t) {
		return true, nil
	}
	agent, agentErr := agentAddress(ctx, c.r.host.Files)
	if agentErr == nil && sameAddress(addressOf(t), agent) {
		return true, nil
	}
	site, err := c.surroundings(ctx)
	if err != nil {
		return false, err
	}
	return knownTarget(site, t), nil
}

// knownTarget says whether the server knows a target: a NES host on the ports of its address and of the web, any other host on the port
// that it is known with.
func knownTarget(site *actionv1.Surroundings, t *actionv1.ProbeTarget) bool {
	for _, h := range site.GetNesHosts() {
		if onNESHost(h, t) {
			return true
		}
	}
	for _, k := range site.GetKnownHosts() {
		if sameAddress(k.GetAddress(), addressOf(t)) {
			return true
		}
	}
	return sameURL(site.GetCentralAgentUrl(), t)
}

// onNESHost says whether a target is a NES host, on the ports by which it is reached; of the machine of the run all ports are its own.
func onNESHost(h *actionv1.NESHost, t *actionv1.ProbeTarget) bool {
	if sameURL(h.GetUrl(), t) {
		return true
	}
	names := []string{h.GetHost()}
	if u, err := url.Parse(h.GetUrl()); err == nil {
		names = append(names, u.Hostname())
	}
	for _, name := range names {
		if name != "" && strings.EqualFold(name, t.GetHost()) && (h.GetSelf() || t.GetPort() == httpPort || t.GetPort() == httpsPort) {
			return true
		}
	}
	return false
}

// sameURL says whether a target is the host and port of a URL.
func sameURL(text string, t *actionv1.ProbeTarget) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && sameAddress(net.JoinHostPort(u.Hostname(), portOf(u)), addressOf(t))
}
