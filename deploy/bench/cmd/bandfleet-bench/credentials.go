package main

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/gob"
	"os"
	"path/filepath"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// credentialSet is what the process of the agents is given: the CA and a key and a chain for each agent.
type credentialSet struct {
	CA     []byte
	Agents []agentCredential
}

type agentCredential struct {
	// PKCS #8 PEM, and DER, leaf first.
	Key   []byte
	Chain [][]byte
}

const credentialsFile = "agents.gob"

func (c credentialSet) write(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, credentialsFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := gob.NewEncoder(f).Encode(c); err != nil {
		return err
	}
	return f.Close()
}

func readCredentials(dir string) (credentialSet, error) {
	var c credentialSet
	f, err := os.Open(filepath.Join(dir, credentialsFile))
	if err != nil {
		return c, err
	}
	defer f.Close()
	return c, gob.NewDecoder(f).Decode(&c)
}

// clientTLS is what a real agent uses.
func (c credentialSet) clientTLS(a agentCredential) (*tls.Config, error) {
	ca, err := x509.ParseCertificate(c.CA)
	if err != nil {
		return nil, err
	}
	key, err := identity.ParseKey(a.Key)
	if err != nil {
		return nil, err
	}
	certificate := &tls.Certificate{Certificate: a.Chain, PrivateKey: key}
	return identity.ClientTLS(func() (*tls.Certificate, error) { return certificate, nil }, identity.Pool(ca)), nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	text, err := identity.MarshalKey(key)
	return key, text, err
}
