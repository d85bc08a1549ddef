package cli

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// testNow is the CLI's clock in the scripts, so that ages in tables can be compared.
var testNow = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// fakeFleet is a server of the operators' API with state that scripts set, behind real TLS on loopback.
type fakeFleet struct {
	fleetv1.UnimplementedInventoryServiceServer
	fleetv1.UnimplementedAccessServiceServer
	fleetv1.UnimplementedJobServiceServer
	fleetv1.UnimplementedMaintenanceServiceServer
	fleetv1.UnimplementedArtifactServiceServer
	fleetv1.UnimplementedScheduleServiceServer
	fleetv1.UnimplementedGuidedServiceServer
	fleetv1.UnimplementedSecretServiceServer
	fleetv1.UnimplementedCertificateServiceServer
	fleetv1.UnimplementedNotificationServiceServer

	ca      *fakeCA
	address string
	server  *grpc.Server

	// state is held by every call while it works, and by WatchJob at each step.
	state     sync.Mutex
	sites     []*fleetv1.Site
	terminals []*fleetv1.Terminal
	bands     []*fleetv1.Band
	tokens    []*fleetv1.Token
	operators []*fleetv1.Operator
	actions   []*fleetv1.OfferedAction
	jobs      []*fakeJob
	schedules []*fleetv1.Schedule
	runs      []*fleetv1.ScheduleRun
	guided    []*fleetv1.GuidedTask
	// attached is the last file that was attached to a guided task.
	attached []byte
	routes   []*fleetv1.Route
	// imported is the last import, as text.
	imported string
	// secrets are by terminal and name; sealingKey opens them all.
	secrets    map[string]*fakeSecret
	sealingKey *ecdh.PrivateKey
	// downloads are the offsets that artefacts were asked for from.
	downloads []uint64

	// mu guards what scripts set.
	mu sync.Mutex
	// outcomes says what becomes of a terminal's task, by the terminal's name; success when there is none.
	outcomes map[string]string
	// faults are switched on by scripts: "deny", "drop-create", "break-watch", "die-in-watch" and "shut-out" (while watching),
	// "targets-changed", "cut-backup", "spoil-backup", "hide-tasks" (the first one of a list), "miscount" (in GetJob),
	// "forged-key", "other-key", "moot", "cut-artifact", "spoil-artifact", "long-artifact".
	faults map[string]bool
}

// startFakeFleet serves a small fleet until the test ends and writes the administrator's context file into dir.
func startFakeFleet(dir string) (*fakeFleet, error) {
	ca, err := newFakeCA()
	if err != nil {
		return nil, err
	}
	f := &fakeFleet{ca: ca, outcomes: map[string]string{}, faults: map[string]bool{}, secrets: map[string]*fakeSecret{}}
	f.populate()
	if f.sealingKey, err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
		return nil, err
	}
	serverCert, err := ca.issue("server/fleetd", time.Now().Add(time.Hour), nil)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f.address = l.Addr().String()
	config := identity.ServerTLS(func() (*tls.Certificate, error) { return serverCert, nil }, identity.Pool(ca.cert))
	f.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.ChainUnaryInterceptor(f.gate))
	fleetv1.RegisterInventoryServiceServer(f.server, f)
	fleetv1.RegisterAccessServiceServer(f.server, f)
	fleetv1.RegisterJobServiceServer(f.server, f)
	fleetv1.RegisterMaintenanceServiceServer(f.server, f)
	fleetv1.RegisterArtifactServiceServer(f.server, f)
	fleetv1.RegisterScheduleServiceServer(f.server, f)
	fleetv1.RegisterGuidedServiceServer(f.server, f)
	fleetv1.RegisterNotificationServiceServer(f.server, f)
	fleetv1.RegisterSecretServiceServer(f.server, f)
	fleetv1.RegisterCertificateServiceServer(f.server, f)
	go func() { _ = f.server.Serve(l) }()
	return f, f.writeContext(filepath.Join(dir, "admin.yaml"), "operator/admin", time.Now().AddDate(10, 0, 0))
}

// gate lets one call in at a time, and refuses every one while the fault "deny" is on.
func (f *fakeFleet) gate(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	if f.has("deny") {
		return nil, refuse(codes.PermissionDenied, "operator \"admin\": may not do this", "NOT_ALLOWED")
	}
	f.state.Lock()
	defer f.state.Unlock()
	return h(ctx, req)
}

func (f *fakeFleet) has(fault string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.faults[fault]
}

// take tells whether a fault is on, and switches it off.
func (f *fakeFleet) take(fault string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	on := f.faults[fault]
	f.faults[fault] = false
	return on
}

// writeContext writes a context file for a name, with a certificate of this fleet's CA.
func (f *fakeFleet) writeContext(path, name string, until time.Time) error {
	return writeFakeContext(path, f.address, f.ca, f.ca, name, until)
}

// writeFakeContext writes a context file that trusts one CA and holds a certificate of another, or of the same.
func writeFakeContext(path, address string, trusted, issuer *fakeCA, name string, until time.Time) error {
	key, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	cert, err := issuer.issue(name, until, key)
	if err != nil {
		return err
	}
	text, err := identity.MarshalKey(key)
	if err != nil {
		return err
	}
	return identity.WriteContext(path, identity.Context{
		Server: address, CA: string(identity.MarshalCertificates(trusted.cert.Raw)),
		Certificate: string(identity.MarshalCertificates(cert.Certificate[0])), Key: string(text),
	})
}

// refuse makes an error as the server does: a message with a reason, and a next step.
func refuse(code codes.Code, message, reason string, more ...protoadapt.MessageV1) error {
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: "bandfleet"}}, more...)
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil {
		return err
	}
	return s.Err()
}

func notFound(kind, name string) error {
	return refuse(codes.NotFound, kind+" \""+name+"\": not found", "NOT_FOUND")
}

// fakeCA signs certificates for the fake fleet.
type fakeCA struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newFakeCA() (*fakeCA, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().AddDate(-10, 0, 0),
		NotAfter: time.Now().AddDate(20, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &fakeCA{key, cert}, err
}

// issue signs a certificate for "kind/id"; with a nil key it makes one.
func (ca *fakeCA) issue(name string, until time.Time, key *ecdsa.PrivateKey) (*tls.Certificate, error) {
	if key == nil {
		var err error
		if key, err = identity.GenerateKey(); err != nil {
			return nil, err
		}
	}
	der, err := ca.sign(name, until, key.Public())
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

func (ca *fakeCA) sign(name string, until time.Time, public any) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().AddDate(-5, 0, 0), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{identity.ServerDNSName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: identity.TrustDomain, Path: "/" + name}},
	}
	return x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
}
