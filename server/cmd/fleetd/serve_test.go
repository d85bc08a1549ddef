package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The one line on the error stream is what scripts wait for.
func TestServeSaysWhenItIsReadyAndStopsWhenTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, first := range []bool{true, false} {
		ctx, stop := context.WithCancel(t.Context())
		diag, write := io.Pipe()
		root := newRoot()
		root.SetArgs([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "warn"})
		root.SetErr(write)
		ended := make(chan error, 1)
		go func() {
			ended <- root.ExecuteContext(ctx)
			write.Close()
		}()
		line, err := bufio.NewReader(diag).ReadString('\n')
		if err != nil || !strings.Contains(line, "listens on 127.0.0.1:") || !strings.Contains(line, dir) {
			t.Errorf("the first line is %q (%v), want the address and the data directory", line, err)
		}
		if hinted := strings.Contains(line, "admin.yaml"); hinted != first {
			t.Errorf("first start %t: the line is %q; the administrator's context is written at the first start only", first, line)
		}
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("stopped with %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("did not stop")
		}
		diag.Close()
	}
	if _, err := os.Stat(filepath.Join(dir, "admin.yaml")); err != nil {
		t.Error(err)
	}
}

func TestExitCodes(t *testing.T) {
	occupied := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(occupied, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		diag string
	}{
		{[]string{"version"}, exitOK, ""},
		{[]string{"serve"}, exitBadInput, "fleetd: data-dir: is required"},
		{[]string{"serve", "--colour"}, exitBadInput, "unknown flag"},
		{[]string{"serve", "more"}, exitBadInput, "more"},
		{[]string{"admin-context"}, exitBadInput, "\nfleetd: out: is required"},
		{[]string{"admin-context", "--data-dir", t.TempDir(), "--out", "x"}, exitInternal, "holds no fleet"},
		{[]string{"dance"}, exitBadInput, "unknown command"},
		{[]string{"serve", "--data-dir", occupied}, exitInternal, "data directory"},
		{[]string{"serve", "--data-dir", "x", "--listen", "bad", "--log-level", "loud"}, exitBadInput, "\nfleetd: log-level"},
	} {
		var out, diag strings.Builder
		if code := run(c.args, &out, &diag); code != c.code || !strings.Contains(diag.String(), c.diag) {
			t.Errorf("fleetd %s: exit code %d and %q, want %d and %q", strings.Join(c.args, " "), code, diag.String(), c.code, c.diag)
		}
	}
}

func TestUsageErrorsAreTold(t *testing.T) {
	err := usage(io.ErrUnexpectedEOF)
	if !errors.Is(err, errUsage) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("a usage error must keep its cause")
	}
}
