package artifacts

import (
	"errors"
	"os"
	"syscall"
	"testing"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// TestAFullDiskIsARefusal writes to a device that is always full.
func TestAFullDiskIsARefusal(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	p := &part{file: full, want: 100}
	wantRefusal(t, p.append(&agentv1.ArtifactChunk{Data: content(10)}), "DISK_FULL")
	if p.size != 0 {
		t.Errorf("%d bytes count as received, want none", p.size)
	}
	if err := fileError(syscall.EIO); !errors.Is(err, syscall.EIO) {
		t.Errorf("another fault became %v: it must not look like a full disk", err)
	}
}
