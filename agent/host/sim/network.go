package sim

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
)

// hostsFile says where names are really to be found. A line is a name and an address, each with a port or both without:
// "nes-lyon-1.example:443 127.0.0.1:20443".
const hostsFile = "hosts"

// network reaches what hostsFile has, this machine, and addresses; it trusts what is in the terminal's own store of roots.
func (t *terminal) network() host.Network {
	return host.NewNetwork(host.NetworkConfig{Roots: t.trustedRoots, Locate: t.locate})
}

func (t *terminal) trustedRoots() (*x509.CertPool, error) {
	roots, err := t.stored("Root")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	return pool, nil
}

// locate finds the real address of "name:port".
func (t *terminal) locate(address string) (string, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	known, err := t.hosts()
	if err != nil {
		return "", err
	}
	if found, ok := known[strings.ToLower(address)]; ok {
		return found, nil
	}
	if found, ok := known[strings.ToLower(name)]; ok {
		return net.JoinHostPort(found, port), nil
	}
	switch {
	case net.ParseIP(name) != nil:
		return address, nil
	case name == "localhost":
		return net.JoinHostPort("127.0.0.1", port), nil
	case knowsName(known, name): // it has no such port
		return loopback(closedPort), nil
	}
	return "", &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// closedPort refuses connections (tcpmux, which nobody has).
const closedPort = 1

// knowsName says whether a name has some port.
func knowsName(known map[string]string, name string) bool {
	for address := range known {
		if strings.HasPrefix(address, strings.ToLower(name)+":") {
			return true
		}
	}
	return false
}

func (t *terminal) hosts() (map[string]string, error) {
	known := map[string]string{}
	file, err := os.Open(filepath.Join(t.dir, hostsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("file %q, line %d: want a name and an address", hostsFile, number)
		}
		known[strings.ToLower(fields[0])] = fields[1]
	}
	return known, lines.Err()
}

// addHost adds a line; an address of "none" takes the name's lines away.
func (t *terminal) addHost(ctx context.Context, name, address string) error {
	if name == "" || strings.ContainsAny(name+address, " \t\n#") {
		return errors.New("want a name and an address without blanks")
	}
	return t.exclusively(ctx, func() error {
		known, err := t.hosts()
		if err != nil {
			return err
		}
		known[strings.ToLower(name)] = address
		if address == "none" {
			delete(known, strings.ToLower(name))
		}
		return t.writeHosts(known)
	})
}

// writeHosts replaces the file.
func (t *terminal) writeHosts(known map[string]string) error {
	var text strings.Builder
	text.WriteString("# Where names are really to be found, on this simulated machine alone.\n")
	for _, name := range slices.Sorted(maps.Keys(known)) {
		fmt.Fprintf(&text, "%s %s\n", name, known[name])
	}
	return writePrivate(filepath.Join(t.dir, hostsFile), []byte(text.String()))
}
