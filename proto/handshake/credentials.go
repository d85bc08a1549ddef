package handshake

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/bandfleet/bandfleet/proto/identity"
)

// The DNS names in the two certificates of a plugin connection.
const (
	agentDNSName  = "agent.plugin.bandfleet"
	pluginDNSName = "plugin.bandfleet"
)

// certificateLife is how long before and after its making a certificate holds. A plugin process lives for minutes; a day each
// way forgives a clock that is set meanwhile.
const certificateLife = 24 * time.Hour

// Credentials are the two ends of the mutual TLS between an agent and one plugin process. They are made by the agent for one
// process and are never written to a file or an environment.
type Credentials struct {
	// Agent is the client's configuration: it accepts the one certificate of Plugin and no other.
	Agent *tls.Config
	// PluginLine is what the agent writes to the plugin's standard input: one line, base64 of PEM blocks: the plugin's
	// certificate, its PKCS #8 key and the agent's certificate. It holds a private key, so it must never be logged. After it
	// the pipe stays open for as long as the agent wants the plugin; at its end the plugin exits.
	PluginLine []byte
}

// NewCredentials makes fresh P-256 keys and certificates for one plugin process.
func NewCredentials() (*Credentials, error) {
	_, agent, agentCert, err := selfSigned(agentDNSName, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	key, _, pluginCert, err := selfSigned(pluginDNSName, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return nil, err
	}
	keyPEM, err := identity.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	bundle := append(identity.MarshalCertificates(pluginCert.Raw), keyPEM...)
	bundle = append(bundle, identity.MarshalCertificates(agentCert.Raw)...)
	c := base()
	c.Certificates = []tls.Certificate{agent}
	c.RootCAs = identity.Pool(pluginCert)
	c.ServerName = pluginDNSName
	return &Credentials{Agent: c, PluginLine: append([]byte(base64.StdEncoding.EncodeToString(bundle)), '\n')}, nil
}

// PluginTLS reads the line that a plugin finds on its standard input and returns the server's configuration: it accepts the
// one certificate of its agent and no other. Errors never repeat the line.
func PluginTLS(line []byte) (*tls.Config, error) {
	bundle, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return nil, errors.New("credentials from the agent: not base64")
	}
	var blocks []*pem.Block
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		blocks = append(blocks, block)
	}
	if len(blocks) != 3 {
		return nil, fmt.Errorf("credentials from the agent: %d PEM blocks, want certificate, key and the agent's certificate", len(blocks))
	}
	own, err := tls.X509KeyPair(pem.EncodeToMemory(blocks[0]), pem.EncodeToMemory(blocks[1]))
	if err != nil {
		return nil, fmt.Errorf("credentials from the agent: %w", err)
	}
	agent, err := x509.ParseCertificate(blocks[2].Bytes)
	if err != nil {
		return nil, fmt.Errorf("credentials from the agent: %w", err)
	}
	c := base()
	c.Certificates = []tls.Certificate{own}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = identity.Pool(agent)
	return c, nil
}

func base() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}}
}

// selfSigned makes a key and a certificate that is its own and only root: it is no CA, so it vouches for nothing else.
func selfSigned(name string, usage x509.ExtKeyUsage) (*ecdsa.PrivateKey, tls.Certificate, *x509.Certificate, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, tls.Certificate{}, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    now.Add(-certificateLife),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, tls.Certificate{}, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, tls.Certificate{}, nil, err
	}
	return key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, cert, nil
}
