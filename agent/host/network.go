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

// localNetwork probes from this machine.
type localNetwork struct {
	// roots are what the machine trusts; nil stands for the system's own.
	roots *x509.CertPool
}

// ProbeTCP implements Network.
func (localNetwork) ProbeTCP(ctx context.Context, addr string, timeout time.Duration) (*actionv1.TCPProbeResult, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("address %q: needs a host and a port: %w", addr, err)
	}
	begun := time.Now()
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
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
