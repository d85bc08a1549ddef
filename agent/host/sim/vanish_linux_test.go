package sim_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sim"
)

// TestServicesEndWithTheirFolder: a test or a demo that was killed leaves no processes behind for ever.
func TestServicesEndWithTheirFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "terminal")
	if err := sim.Init(dir, sim.Options{}); err != nil {
		t.Fatal(err)
	}
	address := show(t, dir).AgentAddress
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := host.Poll(ctx, 50*time.Millisecond, func() (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err != nil, nil
	})
	if err != nil {
		t.Errorf("the Nymi Agent still listens on %s: %v", address, err)
	}
}
