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
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
)

// bootstrap makes the first administrator, and writes the context file with which fleetctl is that administrator.
func (s *Server) bootstrap(ctx context.Context) error {
	path := filepath.Join(s.cfg.DataDir, contextFile)
	csr, save, err := newContext(s.ca, dialAddress(s.cfg.Advertise, s.Addr()), path)
	if err != nil {
		return err
	}
	created, err := s.inv.Bootstrap(ctx, csr, operators(s.ca), func(issued *pki.Issued) error {
		// A file that is there is of a first start that was cut short: nobody has its key in use.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return save(issued)
	})
	if err != nil {
		return fmt.Errorf("first administrator: %w", err)
	}
	if created {
		s.adminContext = path
	}
	return nil
}

// newContext makes a key, the request for its certificate, and what writes both as a context file for fleetctl.
func newContext(ca *pki.Authority, server, path string) (csr []byte, save func(*pki.Issued) error, err error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	if csr, err = identity.NewCSR(key); err != nil {
		return nil, nil, err
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		return nil, nil, err
	}
	return csr, func(issued *pki.Issued) error {
		return identity.WriteContext(path, identity.Context{
			Server:      server,
			CA:          string(identity.MarshalCertificates(ca.TrustBundle()...)),
			Certificate: string(identity.MarshalCertificates(issued.Chain...)),
			Key:         string(keyPEM),
		})
	}, nil
}

// operators signs the certificates of administrators.
func operators(ca *pki.Authority) inventory.Issue {
	return func(name string, csr []byte) (*pki.Issued, error) { return ca.IssueOperator(name, csr, 0) }
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
