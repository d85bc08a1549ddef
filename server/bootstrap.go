package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/pki"
)

// bootstrap makes the first administrator, and writes the context file with which fleetctl is that administrator.
func (s *Server) bootstrap(ctx context.Context) error {
	key, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		return err
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		return err
	}
	path := filepath.Join(s.cfg.DataDir, contextFile)
	issue := func(name string, csr []byte) (*pki.Issued, error) { return s.ca.IssueOperator(name, csr, 0) }
	created, err := s.inv.Bootstrap(ctx, csr, issue, func(issued *pki.Issued) error {
		// A file that is there is of a first start that was cut short: nobody has its key in use.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return identity.WriteContext(path, identity.Context{
			Server:      dialAddress(s.cfg.Advertise, s.Addr()),
			CA:          string(identity.MarshalCertificates(s.ca.TrustBundle()...)),
			Certificate: string(identity.MarshalCertificates(issued.Chain...)),
			Key:         string(keyPEM),
		})
	})
	if err != nil {
		return fmt.Errorf("first administrator: %w", err)
	}
	if created {
		s.adminContext = path
	}
	return nil
}

// dialAddress is where operators reach a server that listens on bound.
func dialAddress(advertise, bound string) string {
	if advertise != "" {
		return advertise
	}
	host, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
