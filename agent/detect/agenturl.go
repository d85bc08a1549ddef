package detect

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// agentURL is where the Bluetooth Endpoint looks for the Nymi Agent.
type agentURL struct {
	text, host, port string
}

func (u agentURL) address() string { return net.JoinHostPort(u.host, u.port) }

// agentURL is the one in force.
func (c nbeConfig) agentURL() (agentURL, error) {
	text := unquoted(c.text[keyAgentURL])
	u, err := url.Parse(text)
	if err != nil {
		return agentURL{}, errors.New("is no URL")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return agentURL{}, errors.New("wants ws:// or wss://")
	case u.Hostname() == "":
		return agentURL{}, errors.New("has no host")
	case err != nil || n == 0:
		return agentURL{}, errors.New("has no port that could be")
	}
	return agentURL{text, u.Hostname(), port}, nil
}

// unquoted takes the quotes of TOML off a text.
func unquoted(text string) string {
	if plain, err := strconv.Unquote(text); err == nil && strings.HasPrefix(text, `"`) {
		return plain
	}
	return strings.Trim(text, `"'`)
}

// pointsTo says whether the URL's host is this machine: a loopback name or address, its own name, or one of its addresses. A name without a
// domain is the same as that name with any.
func (u agentURL) pointsTo(here *actionv1.HostState) bool {
	if ip := net.ParseIP(u.host); ip != nil {
		return ip.IsLoopback() || ip.IsUnspecified() || hasAddress(here, ip)
	}
	name, own := folded(u.host), folded(here.GetHostname())
	if name == "localhost" || name == own {
		return true
	}
	short, _, qualified := strings.Cut(name, ".")
	ownShort, _, ownQualified := strings.Cut(own, ".")
	return short != "" && short == ownShort && (!qualified || !ownQualified)
}

func hasAddress(here *actionv1.HostState, ip net.IP) bool {
	for _, text := range here.GetAddresses() {
		if own := net.ParseIP(text); own != nil && own.Equal(ip) {
			return true
		}
	}
	return false
}

// folded makes names of hosts comparable.
func folded(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// readAgentPort connects to the host and port of agent_url.
func (c *nbeCache) readAgentPort(ctx context.Context, v view) ([]Reading, error) {
	const signal = "nymi-agent-port"
	config, err := c.get(ctx, v.cfg.Host.Files)
	if err == nil && config.malformed != "" {
		err = errors.New(config.malformed)
	}
	if err != nil {
		return nil, err
	}
	u, err := config.agentURL()
	if err != nil {
		return unknown(err, signal), nil
	}
	return []Reading{connected(ctx, v, signal, u.address(), "open", "closed")}, nil
}

// connected says whether an address takes connections.
func connected(ctx context.Context, v view, signal, address, yes, no string) Reading {
	p, err := v.cfg.Host.Network.ProbeTCP(ctx, address, probeTimeout)
	if err != nil {
		return unknownOf(signal, address, err)
	}
	return readOf(signal, address, either(p.GetReachable(), yes, no), said("address", address), said("cause", p.GetReason()))
}
