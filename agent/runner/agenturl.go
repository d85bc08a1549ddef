package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// defaultAgentAddress is where the Nymi Agent listens unless nbe.toml says otherwise (guide: nbe.toml).
const defaultAgentAddress = "127.0.0.1:9120"

// agentAddress returns the host and port of the agent_url that is in force: nbe.toml's, else that of the defaults installed
// beside it, else the vendor's.
func agentAddress(ctx context.Context, files host.Files) (string, error) {
	for _, path := range []string{"nbe.toml", "nbe.default.toml"} {
		addr, err := addressIn(ctx, files, path)
		if err != nil || addr != "" {
			return addr, err
		}
	}
	return defaultAgentAddress, nil
}

// addressIn reads one file's agent_url; empty when the file or the key is not there.
func addressIn(ctx context.Context, files host.Files, path string) (string, error) {
	file, err := readFile(ctx, files, host.EndpointRoot, path, maxFileRead)
	if err != nil {
		return "", err
	}
	var config struct {
		AgentURL string `toml:"agent_url"`
	}
	if err := toml.Unmarshal(file.GetContent(), &config); err != nil {
		return "", fmt.Errorf("file %q: cannot be read as TOML: %w", path, err)
	}
	if config.AgentURL == "" {
		return "", nil
	}
	u, err := url.Parse(config.AgentURL)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("file %q: agent_url is not a URL with a host", path)
	}
	return net.JoinHostPort(u.Hostname(), portOf(u)), nil
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "wss" || u.Scheme == "https":
		return "443"
	}
	return "80"
}

// sameAddress compares host and port; host names are equal in any case.
func sameAddress(a, b string) bool { return strings.EqualFold(a, b) }

// readFile reads a file; one that is not there is no error.
func readFile(ctx context.Context, files host.Files, root, path string, limit int) (*actionv1.FileContent, error) {
	content, more, err := files.Read(ctx, root, path, limit)
	if errors.Is(err, host.ErrNotExist) {
		return &actionv1.FileContent{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &actionv1.FileContent{Exists: true, Content: content, Truncated: more}, nil
}
