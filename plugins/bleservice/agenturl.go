package bleservice

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	// maxConfig is more than any nbe.toml has, in bytes.
	maxConfig = 256 << 10
	// probeTimeout is how long one connection to agent_url may take, probeTries how often it is tried, probePause the pause between:
	// a port may open a moment after its service runs.
	probeTimeout = 5 * time.Second
	probeTries   = 3
	probePause   = 2 * time.Second
)

// AgentURL is where the terminal's Bluetooth Endpoint looks for the Nymi Agent.
type AgentURL struct {
	Text string
	// Source is the file that it was read from, or "default".
	Source string
	Host   string
	Port   uint16
}

// Address is the host and port ("127.0.0.1:9120").
func (u AgentURL) Address() string { return net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port))) }

// ConfigError says that a configuration file cannot be used.
type ConfigError struct {
	File  string
	Cause error
}

// Error implements error.
func (e *ConfigError) Error() string { return fmt.Sprintf("file %q: %v", e.File, e.Cause) }

// ReadAgentURL reads agent_url from nbe.toml, from nbe.default.toml when nbe.toml or the key is missing, else the default. A
// *ConfigError says that a file is there and cannot be used.
func ReadAgentURL(ctx context.Context, r *sdk.Run) (AgentURL, error) {
	for _, file := range []string{ConfigFile, TemplateFile} {
		text, err := agentURLIn(ctx, r, file)
		if err != nil {
			return AgentURL{}, err
		}
		if text != "" {
			return ParseAgentURL(text, file)
		}
	}
	return ParseAgentURL(DefaultAgentURL, "default")
}

// agentURLIn returns the value in one file, "" when the file or the key is not there.
func agentURLIn(ctx context.Context, r *sdk.Run, file string) (string, error) {
	content, err := r.File(ctx, Root, file, maxConfig)
	if err != nil || !content.GetExists() {
		return "", err
	}
	if content.GetTruncated() {
		return "", &ConfigError{file, fmt.Errorf("it is longer than %d bytes", maxConfig)}
	}
	var config struct {
		AgentURL string `toml:"agent_url"`
	}
	if err := toml.Unmarshal(content.GetContent(), &config); err != nil {
		return "", &ConfigError{file, tomlCause(err)}
	}
	return config.AgentURL, nil
}

// tomlCause adds the line to a decoding error.
func tomlCause(err error) error {
	if d, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, _ := d.Position()
		return fmt.Errorf("line %d: %w", line, err)
	}
	return err
}

// ParseAgentURL reads an address; source says where it is from. An error is a *ConfigError.
func ParseAgentURL(text, source string) (AgentURL, error) {
	bad := func(cause string) (AgentURL, error) {
		return AgentURL{}, &ConfigError{source, fmt.Errorf("agent_url %q: %s", text, cause)}
	}
	u, err := url.Parse(text)
	if err != nil {
		return bad("not a URL")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[u.Scheme]
	}
	switch {
	case u.Scheme != "ws" && u.Scheme != "wss":
		return bad("want ws:// or wss://")
	case u.Hostname() == "":
		return bad("the host is missing")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return bad("the port is not one")
	}
	return AgentURL{Text: text, Source: source, Host: u.Hostname(), Port: uint16(n)}, nil
}

// PointsHere says whether the URL's host is this machine: a loopback name or address, its own name or one of its addresses. A
// name without a domain matches the same name with any domain.
func (u AgentURL) PointsHere(h *actionv1.HostState) bool {
	if ip := net.ParseIP(u.Host); ip != nil {
		return ip.IsLoopback() || ip.IsUnspecified() || hasAddress(h, ip)
	}
	host, own := fold(u.Host), fold(h.GetHostname())
	if host == "localhost" || host == own {
		return true
	}
	short, _, qualified := strings.Cut(host, ".")
	ownShort, _, ownQualified := strings.Cut(own, ".")
	return short != "" && short == ownShort && (!qualified || !ownQualified)
}

func hasAddress(h *actionv1.HostState, ip net.IP) bool {
	for _, text := range h.GetAddresses() {
		if own := net.ParseIP(text); own != nil && own.Equal(ip) {
			return true
		}
	}
	return false
}

// fold makes host names comparable.
func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// Probe connects to agent_url, a few times if need be.
func Probe(ctx context.Context, r *sdk.Run, url AgentURL) (*actionv1.TCPProbeResult, error) {
	for try := 1; ; try++ {
		p, err := r.ProbeTCP(ctx, url.Host, url.Port, probeTimeout)
		if err != nil || p.GetReachable() || try == probeTries {
			return p, err
		}
		if err := r.Wait(ctx, probePause); err != nil {
			return nil, err
		}
	}
}

// VerifyReachable checks the port of agent_url; a file that cannot be used is a check that does not hold.
func VerifyReachable(ctx context.Context, r *sdk.Run) (*actionv1.Check, error) {
	const name = "the Nymi Agent's port is reachable"
	url, err := ReadAgentURL(ctx, r)
	if broken, ok := errors.AsType[*ConfigError](err); ok {
		return sdk.Check(name, "agent_url in "+broken.File, broken.Error(), false), nil
	}
	if err != nil {
		return nil, err
	}
	r.Evidence("agent_url", "%s (%s)", url.Text, url.Source)
	p, err := Probe(ctx, r, url)
	if err != nil {
		return nil, err
	}
	observed := "reachable"
	if !p.GetReachable() {
		observed = p.GetReason()
	}
	return sdk.Check(name, url.Address()+" takes connections", observed, p.GetReachable()), nil
}
