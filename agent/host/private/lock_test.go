package private_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/private"
)

func TestALockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := private.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := private.Lock(path); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second lock: %v, want an error that says that another program holds it", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := private.Lock(path)
	if err != nil {
		t.Fatalf("a lock that was let go: %v, want it to be taken", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
