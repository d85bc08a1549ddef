package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogsAreOnlyRead: a root for logs can be anywhere, the profiles of people included.
func TestLogsAreOnlyRead(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "nem.log"), []byte("line"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := newLocalFiles(newRoots(LocalConfig{Logs: map[string]string{"more": folder}}))
	if content, _, err := files.Read(t.Context(), "more", "nem.log", 10); err != nil || string(content) != "line" {
		t.Errorf("Read = %q, %v; want the log", content, err)
	}
	for call, err := range map[string]error{
		"Write": files.Write(t.Context(), "more", "nem.log", nil), "Remove": files.Remove(t.Context(), "more", "nem.log"),
	} {
		if err == nil || !strings.Contains(err.Error(), "only read") {
			t.Errorf("%s = %v, want a refusal", call, err)
		}
	}
	if _, _, err := files.Read(t.Context(), "none", "nem.log", 10); !errors.Is(err, ErrNotExist) {
		t.Errorf("Read below an unknown root = %v, want ErrNotExist", err)
	}
}
