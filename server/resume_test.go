package server

import (
	"crypto/tls"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// A reconnecting fleet resumes its TLS sessions, which saves a third of the work. That must not outlive a revocation: who a
// resumed connection speaks for is looked up anew.
func TestAResumedSessionIsRefusedAfterRevocation(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	var resumed atomic.Bool
	verify := a.tls.VerifyConnection
	a.tls.VerifyConnection = func(s tls.ConnectionState) error {
		resumed.Store(s.DidResume)
		return verify(s)
	}
	reconnect := func() {
		a.conn.Close()
		a.conn = r.dial(a.tls)
	}
	reconnect()
	a.connect("line-1")
	if resumed.Load() {
		t.Fatal("the first connection was resumed: there is nothing that it could have resumed")
	}
	reconnect()
	a.connect("line-1")
	if !resumed.Load() {
		t.Error("the second connection was not resumed: a fleet that comes back needs a third more of the processors")
	}
	if _, err := fleetv1.NewInventoryServiceClient(r.admin).DecommissionTerminal(t.Context(), &fleetv1.DecommissionTerminalRequest{Terminal: a.id}); err != nil {
		t.Fatal(err)
	}
	reconnect()
	defer a.conn.Close()
	st, err := agentv1.NewAgentServiceClient(a.conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a decommissioned terminal that resumes: %v, want PERMISSION_DENIED", err)
	}
	if !resumed.Load() {
		t.Error("the last connection was not resumed: this test shows nothing then")
	}
}
