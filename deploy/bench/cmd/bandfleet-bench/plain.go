package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// plainAction names the task of the plain server: the agent answers it with its result and nothing else.
const plainAction = "plain"

// measurePlain measures a server that is grpc-go and nothing else.
func measurePlain(dir string, n int) (sample, error) {
	if err := writePlainPKI(dir, n); err != nil {
		return sample{}, err
	}
	server, err := startSelf("plain-server", dir, "127.0.0.1:0")
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = server.stop() }()
	addr, err := server.line()
	if err != nil {
		return sample{}, err
	}
	return measureSessions(server, dir, addr, n, func() (time.Duration, error) {
		if _, err := fmt.Fprintln(server.input, n); err != nil {
			return 0, err
		}
		return server.seconds()
	})
}

// measureSessions connects n agents to a server, runs one job on all and reads the server's memory around it.
func measureSessions(server *child, dir, addr string, n int, fanOut func() (time.Duration, error)) (sample, error) {
	empty, err := server.residentKB()
	if err != nil {
		return sample{}, err
	}
	agents, err := startSelf("agents", dir, addr)
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = agents.stop() }()
	took, err := agents.seconds()
	if err != nil {
		return sample{}, err
	}
	s := sample{connectsPerSecond: float64(n) / took.Seconds()}
	idle, err := server.residentKB()
	if err != nil {
		return sample{}, err
	}
	if s.fanOut, err = fanOut(); err != nil {
		return sample{}, err
	}
	busy, err := server.residentKB()
	s.idleKB, s.busyKB = (idle-empty)/float64(n), (busy-empty)/float64(n)
	return s, err
}

// plainServer holds the sessions and counts results.
type plainServer struct {
	agentv1.UnimplementedAgentServiceServer
	mu       sync.Mutex
	sessions []agentv1.AgentService_ConnectServer
	results  chan struct{}
}

// servePlain is the process of the plain server. For each line of input it runs one job on all agents and prints the seconds.
func servePlain(dir, listen string) error {
	config, err := plainTLS(dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := &plainServer{results: make(chan struct{}, 1024)}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	agentv1.RegisterAgentServiceServer(g, s)
	go func() { _ = g.Serve(l) }() // ends with the process
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		took, err := s.fanOut()
		if err != nil {
			return err
		}
		fmt.Println(took.Seconds())
	}
	return nil
}

// Connect implements the agents' service as simply as it can be done.
func (s *plainServer) Connect(stream agentv1.AgentService_ConnectServer) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Welcome{Welcome: &agentv1.Welcome{}}}); err != nil {
		return err
	}
	s.mu.Lock()
	s.sessions = append(s.sessions, stream)
	s.mu.Unlock()
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if m.GetResult() != nil {
			s.results <- struct{}{}
		}
	}
}

func (s *plainServer) fanOut() (time.Duration, error) {
	s.mu.Lock()
	sessions := s.sessions
	s.mu.Unlock()
	begun := time.Now()
	go func() {
		for i, session := range sessions {
			// A broken session shows as a result that never comes.
			_ = session.Send(&agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Dispatch{Dispatch: &agentv1.Dispatch{Task: plainTask(i)}}})
		}
	}()
	for range sessions {
		select {
		case <-s.results:
		case <-time.After(time.Minute):
			return 0, fmt.Errorf("results are missing after a minute")
		}
	}
	return time.Since(begun), nil
}

// plainTask is about as long as a real one: 200 bytes.
func plainTask(i int) *agentv1.Task {
	return &agentv1.Task{
		Key: &agentv1.TaskKey{JobId: fmt.Sprintf("job-%022d", i), Attempt: 1}, Action: plainAction,
		Params: map[string]string{"payload": strings.Repeat("x", 140)},
	}
}

func plainTLS(dir string) (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"))
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(certificate.Certificate[1])
	if err != nil {
		return nil, err
	}
	return identity.ServerTLS(func() (*tls.Certificate, error) { return &certificate, nil }, identity.Pool(ca)), nil
}

// plainCA signs the certificates of the plain variant.
type plainCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// writePlainPKI makes the same kinds of certificates as fleetd does.
func writePlainPKI(dir string, n int) error {
	ca, err := newPlainCA()
	if err != nil {
		return err
	}
	key, keyText, err := newKey()
	if err != nil {
		return err
	}
	leaf, err := ca.sign(&key.PublicKey, identity.Name{Kind: identity.KindServer, ID: "fleetd"}, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "server.key"), keyText, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "server.crt"), identity.MarshalCertificates(leaf, ca.cert.Raw), 0o600); err != nil {
		return err
	}
	set := credentialSet{CA: ca.cert.Raw}
	for i := range n {
		a, err := ca.agent(i)
		if err != nil {
			return err
		}
		set.Agents = append(set.Agents, a)
	}
	return set.write(dir)
}

func newPlainCA() (*plainCA, error) {
	key, _, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &plainCA{key: key, cert: cert}, err
}

func (ca *plainCA) agent(i int) (agentCredential, error) {
	key, text, err := newKey()
	if err != nil {
		return agentCredential{}, err
	}
	leaf, err := ca.sign(&key.PublicKey, identity.Name{Kind: identity.KindAgent, ID: fmt.Sprintf("T-%04d", i)}, x509.ExtKeyUsageClientAuth)
	return agentCredential{Key: text, Chain: [][]byte{leaf}}, err
}

func (ca *plainCA) sign(key *ecdsa.PublicKey, name identity.Name, usage x509.ExtKeyUsage) ([]byte, error) {
	uri, err := name.URI()
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, NotAfter: time.Now().Add(time.Hour), URIs: []*url.URL{uri}, DNSNames: []string{identity.ServerDNSName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, ca.cert, key, ca.key)
}
