package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Context is a context file: all that an operator needs to reach a server. It holds a private key, so its file has mode 0600.
type Context struct {
	// Server is where to dial, HOST:PORT.
	Server string `yaml:"server"`
	// CA holds the fleet's CA certificates, Certificate the operator's chain (leaf first), Key its private key; all are PEM.
	CA          string `yaml:"ca"`
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// WriteContext writes a new context file. It refuses to replace a file: that could destroy the only copy of a key.
func WriteContext(path string, c Context) error {
	text, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("context file %q: is there already; name another file, or move this one away: %w", path, os.ErrExist)
	}
	if err != nil {
		return fmt.Errorf("context file: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("context file %q: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

// ReadContext reads a context file. Unknown and missing keys are errors; errors never repeat what the file holds.
func ReadContext(path string) (Context, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Context{}, fmt.Errorf("context file: %w", err)
	}
	var c Context
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		if errors.Is(err, io.EOF) {
			return Context{}, fmt.Errorf("context file %q: is empty", path)
		}
		return Context{}, fmt.Errorf("context file %q: %s", path, withoutContent(err))
	}
	if err := c.check(); err != nil {
		return Context{}, fmt.Errorf("context file %q: %w", path, err)
	}
	return c, nil
}

var (
	unknownKey = regexp.MustCompile(`line (\d+): field ([a-z_]{1,16}) not found`)
	faultyLine = regexp.MustCompile(`line (\d+)`)
)

// withoutContent says where a file is at fault. The decoder's own words quote what stands there, which may be the key.
func withoutContent(err error) string {
	if m := unknownKey.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Sprintf("line %s: unknown key %q", m[1], m[2])
	}
	const cause = "is not a context file as fleetd and fleetctl write them; use the file as it was written"
	if m := faultyLine.FindStringSubmatch(err.Error()); m != nil {
		return fmt.Sprintf("line %s: %s", m[1], cause)
	}
	return cause
}

func (c Context) check() error {
	if c.Server == "" {
		return errors.New("server is missing, want HOST:PORT")
	}
	_, err := c.TLS()
	return err
}

// TLS returns the client configuration that the context stands for.
func (c Context) TLS() (*tls.Config, error) {
	cas, err := ParseCertificates([]byte(c.CA))
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	chain, err := ParseCertificates([]byte(c.Certificate))
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	key, err := ParseKey([]byte(c.Key))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if !key.PublicKey.Equal(chain[0].PublicKey) {
		return nil, errors.New("key does not belong to certificate; use the file as it was written")
	}
	cert := tlsCertificate(chain, key)
	return ClientTLS(func() (*tls.Certificate, error) { return cert, nil }, Pool(cas...)), nil
}

// Leaf returns the operator's own certificate.
func (c Context) Leaf() (*x509.Certificate, error) {
	chain, err := ParseCertificates([]byte(c.Certificate))
	if err != nil {
		return nil, err
	}
	return chain[0], nil
}

func tlsCertificate(chain []*x509.Certificate, key any) *tls.Certificate {
	cert := &tls.Certificate{PrivateKey: key, Leaf: chain[0]}
	for _, c := range chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert
}
