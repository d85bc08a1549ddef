package private_test

import (
	"path/filepath"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

func TestFree(t *testing.T) {
	if free, err := private.Free(t.TempDir()); err != nil || free == 0 {
		t.Errorf("Free of a folder that can be written to = %d, %v", free, err)
	}
	if _, err := private.Free(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("Free of a folder that is not there gave no error: nobody may take it for room")
	}
}
