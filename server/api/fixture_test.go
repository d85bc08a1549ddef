package api_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/api"
	"github.com/bandfleet/bandfleet/server/bands"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var boss = identity.Name{Kind: identity.KindOperator, ID: "boss"}

// sessions has the terminals with these ids online, and notes who was kicked.
type sessions struct {
	online map[string]bool
	kicked []string
}

func (s *sessions) Online(id string) bool { return s.online[id] }
func (s *sessions) Kick(id, _ string)     { s.kicked = append(s.kicked, id) }

// tasks has none, and notes which terminals were retired, and at which sites something was changed.
type tasks struct {
	retired, changed, released []string
	// revocations is how often it was told that an operator was revoked.
	revocations int
}

func (t *tasks) OperatorRevoked(context.Context) error { t.revocations++; return nil }

func (t *tasks) Busy(context.Context, string) (bool, error) { return false, nil }
func (t *tasks) Retire(_ context.Context, id string) error {
	t.retired = append(t.retired, id)
	return nil
}

func (t *tasks) Released(_ context.Context, id string) error {
	t.released = append(t.released, id)
	return nil
}

func (t *tasks) SiteChanged(_ context.Context, name string) error {
	t.changed = append(t.changed, name)
	return nil
}

// fixture is a server over real TLS, without agents and jobs.
type fixture struct {
	t          *testing.T
	ca         *pki.Authority
	inventory  *inventory.Inventory
	guard      *api.Guard
	authorizer *access.Authorizer
	sessions   *sessions
	tasks      *tasks
	bands      *bands.Register
	log        *logBuffer
	address    string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := newDomain(t)
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(identity.ServerTLS(f.ca.ServerCertificate, f.ca.Pool()))),
		grpc.UnaryInterceptor(f.guard.Unary), grpc.StreamInterceptor(f.guard.Stream),
	)
	fleetv1.RegisterInventoryServiceServer(server, api.NewInventory(f.inventory, f.sessions, f.tasks, f.bands))
	fleetv1.RegisterAccessServiceServer(server, api.NewAccess(f.inventory, f.ca, f.tasks, "1.2.3"))
	healthv1.RegisterHealthServer(server, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = listener.Addr().String()
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	return f
}

// newDomain is the fixture without a server.
func newDomain(t *testing.T) *fixture {
	t.Helper()
	st := storetest.New(t)
	ca, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, ca: ca, inventory: inventory.New(inventory.Config{Store: st, CA: ca.Fingerprint()}), log: &logBuffer{}}
	desk := guided.New(guided.Config{Store: st, Inventory: f.inventory, Now: time.Now})
	f.bands = bands.New(bands.Config{Store: st, Inventory: f.inventory, Tasks: desk, Now: time.Now})
	f.sessions, f.tasks = &sessions{online: map[string]bool{}}, &tasks{}
	resolvers := f.inventory.Resolvers()
	resolvers[access.Job] = func(_ context.Context, id string) ([]string, error) {
		if id == "j-lyon" {
			return []string{"lyon"}, nil
		}
		return nil, access.NotFound(access.Job, id)
	}
	authorizer, err := access.NewAuthorizer(st, time.Now, resolvers)
	if err != nil {
		t.Fatal(err)
	}
	f.authorizer = authorizer
	f.guard = api.NewGuard(authorizer, slog.New(slog.NewTextHandler(f.log, nil)))
	for _, site := range []string{"lyon", "turin"} {
		if _, err := f.inventory.CreateSite(t.Context(), boss, &fleetv1.CreateSiteRequest{Name: site}); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// operator makes an operator and returns its certificate.
func (f *fixture) operator(name string, role fleetv1.OperatorRole, sites ...string) *tls.Certificate {
	f.t.Helper()
	key, csr := newKey(f.t)
	_, issued, err := f.inventory.CreateOperator(f.t.Context(), boss, &fleetv1.CreateOperatorRequest{
		Name: name, Csr: csr, Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: sites}},
	}, func(name string, csr []byte) (*pki.Issued, error) { return f.ca.IssueOperator(name, csr, 0) })
	if err != nil {
		f.t.Fatal(err)
	}
	return &tls.Certificate{Certificate: issued.Chain, PrivateKey: key}
}

func newKey(t *testing.T) (key any, csr []byte) {
	t.Helper()
	private, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if csr, err = identity.NewCSR(private); err != nil {
		t.Fatal(err)
	}
	return private, csr
}

// dial connects with a certificate; nil means none.
func (f *fixture) dial(cert *tls.Certificate) *grpc.ClientConn {
	f.t.Helper()
	if cert == nil {
		cert = &tls.Certificate{}
	}
	config := identity.ClientTLS(func() (*tls.Certificate, error) { return cert, nil }, f.ca.Pool())
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	return conn
}

// details of a refusal, as a client reads them.
type details struct{ reason, domain, field, next string }

func detailsOf(err error) (d details) {
	for _, detail := range status.Convert(err).Details() {
		switch m := detail.(type) {
		case *errdetails.ErrorInfo:
			d.reason, d.domain = m.GetReason(), m.GetDomain()
		case *errdetails.BadRequest:
			d.field = m.GetFieldViolations()[0].GetField()
		case *errdetails.LocalizedMessage:
			d.next = m.GetMessage()
		}
	}
	return d
}

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
