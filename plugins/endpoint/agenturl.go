package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Where the Bluetooth Endpoint's configuration is, and what holds without one (guide: Bluetooth Endpoint configuration).
const (
	endpointRoot    = "endpoint"
	configFile      = "nbe.toml"
	templateFile    = "nbe.default.toml"
	defaultAgentURL = "ws://127.0.0.1:9120/socket/websocket"
	// maxConfig is more than any nbe.toml has, in bytes.
	maxConfig = 256 << 10
)

// agentURL is where the terminal's Bluetooth Endpoint looks for the Nymi Agent.
type agentURL struct {
	Text string
	// Source is the file that it was read from, or "default".
	Source string
	Host   string
	Port   uint16
}

func (u agentURL) address() string { return net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port))) }

// configError says that a configuration file cannot be used.
type configError struct {
	File  string
	Cause error
}

func (e *configError) Error() string { return fmt.Sprintf("file %q: %v", e.File, e.Cause) }

// readAgentURL reads agent_url from nbe.toml, from nbe.default.toml when nbe.toml or the key is missing, else the default. A
// *configError says that a file is there and cannot be used.
func readAgentURL(ctx context.Context, r *sdk.Run) (agentURL, error) {
	for _, file := range []string{configFile, templateFile} {
		text, err := agentURLIn(ctx, r, file)
		if err != nil {
			return agentURL{}, err
		}
		if text != "" {
			return parseAgentURL(text, file)
		}
	}
	return parseAgentURL(defaultAgentURL, "default")
}

// agentURLIn returns the value in one file, "" when the file or the key is not there.
func agentURLIn(ctx context.Context, r *sdk.Run, file string) (string, error) {
	content, err := r.File(ctx, endpointRoot, file, maxConfig)
	if err != nil || !content.GetExists() {
		return "", err
	}
	if content.GetTruncated() {
		return "", &configError{file, fmt.Errorf("it is longer than %d bytes", maxConfig)}
	}
	var config struct {
		AgentURL string `toml:"agent_url"`
	}
	if err := toml.Unmarshal(content.GetContent(), &config); err != nil {
		return "", &configError{file, tomlCause(err)}
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

func parseAgentURL(text, source string) (agentURL, error) {
	bad := func(cause string) (agentURL, error) {
		return agentURL{}, &configError{source, fmt.Errorf("agent_url %q: %s", text, cause)}
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
	return agentURL{Text: text, Source: source, Host: u.Hostname(), Port: uint16(n)}, nil
}

// pointsHere says whether the URL's host is this machine: a loopback name or address, its own name or one of its addresses. A
// name without a domain matches the same name with any domain.
func (u agentURL) pointsHere(h *actionv1.HostState) bool {
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
