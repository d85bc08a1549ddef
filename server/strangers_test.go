package server

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/pki"
)

// Callers without certificate take every connection that they can have. Who is known does not notice.
func TestStrangersCannotCrowdOutTheFleet(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	token, err := identity.ParseToken(r.token("lyon"))
	if err != nil {
		t.Fatal(err)
	}
	turnedAway := 0
	for range maxStrangers + 8 {
		conn, err := tls.Dial("tcp", r.addr, identity.EnrolTLS(token.CA))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		// A connection that is let in begins with the server's settings.
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			turnedAway++
		}
	}
	if turnedAway != 8 {
		t.Errorf("%d were turned away, want 8: more than %d at a time could exhaust the memory", turnedAway, maxStrangers)
	}
	if _, err := fleetv1.NewAccessServiceClient(r.admin).WhoAmI(t.Context(), &fleetv1.WhoAmIRequest{}); err != nil {
		t.Errorf("the administrator, who is connected: %v", err)
	}
	admin, err := identity.ReadContext(r.dir + "/admin.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := admin.TLS()
	if err != nil {
		t.Fatal(err)
	}
	again := r.dial(cfg)
	defer again.Close()
	if _, err := fleetv1.NewAccessServiceClient(again).WhoAmI(t.Context(), &fleetv1.WhoAmIRequest{}); err != nil {
		t.Errorf("the administrator, who connects anew: %v", err)
	}
}

// stranger is a connection without certificate to a server that has the given bounds.
func stranger(t *testing.T, bound func(*strangers)) *grpc.ClientConn {
	t.Helper()
	ca, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	creds := boundStrangers(credentials.NewTLS(identity.ServerTLS(ca.ServerCertificate, ca.Pool())), slog.New(slog.DiscardHandler))
	bound(creds)
	server := grpc.NewServer(grpc.Creds(creds), grpc.MaxRecvMsgSize(maxMessage))
	agentv1.RegisterEnrollmentServiceServer(server, agentv1.UnimplementedEnrollmentServiceServer{})
	healthv1.RegisterHealthServer(server, healthv1.UnimplementedHealthServer{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolTLS(ca.Fingerprint()))), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		serving.Wait()
	})
	return conn
}

// Many calls that each send a large part of a message and wait are what fills a server's memory.
func TestLittleIsReadFromAStranger(t *testing.T) {
	conn := stranger(t, func(s *strangers) { s.bytes = 1 << 20 })
	enrol := func(size int) error {
		_, err := agentv1.NewEnrollmentServiceClient(conn).Enroll(t.Context(), &agentv1.EnrollRequest{Name: strings.Repeat("x", size)})
		return err
	}
	if err := enrol(1 << 10); status.Code(err) != codes.Unimplemented {
		t.Errorf("a small request: %v, want it to reach the service", err)
	}
	if err := enrol(2 << 20); status.Code(err) != codes.Unavailable {
		t.Errorf("more than may be read: %v, want the connection cut", err)
	}
}

// Whoever opens a call and sends nothing, or goes on for ever, is cut.
func TestAStrangersConnectionIsShort(t *testing.T) {
	conn := stranger(t, func(s *strangers) { s.patience = 50 * time.Millisecond })
	// The unimplemented service would answer at once; a raw stream that sends nothing keeps the server waiting.
	st, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/agent.v1.EnrollmentService/Enroll")
	if err != nil {
		t.Fatal(err)
	}
	if err := st.RecvMsg(&agentv1.EnrollResponse{}); status.Code(err) != codes.Unavailable && !errors.Is(err, io.EOF) {
		t.Errorf("the call ended with %v, want the connection cut", err)
	}
}
