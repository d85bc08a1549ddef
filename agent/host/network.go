package host

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// NetworkConfig is how a machine that runs on this one reaches and trusts others.
type NetworkConfig struct {
	// Roots reads what the machine trusts.
	Roots func() (*x509.CertPool, error)
	// Locate says where an address ("name:port") is really to be found ("127.0.0.1:20443"). A name that the machine does not know is a
	// net.DNSError that says so.
	Locate func(address string) (string, error)
}

// NewNetwork returns the network of a machine that runs on this one.
func NewNetwork(c NetworkConfig) Network { return localNetwork{readRoots: c.Roots, locate: c.Locate} }

// localNetwork probes from this machine.
type localNetwork struct {
	// roots are what the machine trusts; nil stands for the system's own. readRoots reads them for each probe, when set.
	roots     *x509.CertPool
	readRoots func() (*x509.CertPool, error)
	// locate is NetworkConfig's; nil on a machine of its own.
	locate func(address string) (string, error)
}

func (n localNetwork) trusted() (*x509.CertPool, error) {
	if n.readRoots != nil {
		return n.readRoots()
	}
	return n.roots, nil
}

// located asks where an address is to be found.
func located(locate func(string) (string, error), address string) (string, error) {
	if locate == nil {
		return address, nil
	}
	return locate(address)
}

// ProbeTCP implements Network.
func (n localNetwork) ProbeTCP(ctx context.Context, addr string, timeout time.Duration) (*actionv1.TCPProbeResult, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("address %q: needs a host and a port: %w", addr, err)
	}
	begun := time.Now()
	dialer := net.Dialer{Timeout: timeout}
	conn, err := n.dial(ctx, dialer, addr)
	if ctx.Err() != nil && err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, WaitError(ctx))
	}
	result := &actionv1.TCPProbeResult{Reachable: err == nil, Took: durationpb.New(time.Since(begun))}
	if err != nil {
		result.Reason = unreachableReason(err, timeout)
		return result, nil
	}
	_ = conn.Close() // nothing was sent
	return result, nil
}

func (n localNetwork) dial(ctx context.Context, dialer net.Dialer, address string) (net.Conn, error) {
	found, err := located(n.locate, address)
	if err != nil {
		return nil, err
	}
	return dialer.DialContext(ctx, "tcp", found)
}

// unreachableReason puts a failed connection into a person's words.
func unreachableReason(err error, timeout time.Duration) string {
	var lookup *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "no such host"
	case errors.As(err, &lookup):
		return "the name cannot be looked up: " + lookup.Err
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, connectionRefused):
		return "connection refused"
	case isTimeout(err):
		return fmt.Sprintf("timed out after %s", timeout)
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

// localAddresses returns this machine's IP addresses, those of loopback included, as text.
func localAddresses() ([]string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	var texts []string
	for _, addr := range addrs {
		if network, ok := addr.(*net.IPNet); ok {
			texts = append(texts, network.IP.String())
		}
	}
	return texts, nil
}
