package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogFileStaysSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.log")
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.most = 100
	for range 50 {
		if _, err := l.Write([]byte("a line of the log\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".1"} {
		text, err := os.ReadFile(p)
		if err != nil || len(text) == 0 || len(text) > 100 {
			t.Errorf("%s holds %d bytes (%v), want 1 to 100", p, len(text), err)
		}
		if !strings.HasSuffix(string(text), "log\n") {
			t.Errorf("%s ends with %q, want whole lines", p, text)
		}
	}
}

// TestLogGoesOnWhenItCannotBePutAside: on Windows a reader of the earlier file keeps it from being replaced.
func TestLogGoesOnWhenItCannotBePutAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.log")
	if err := os.MkdirAll(filepath.Join(path+".1", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := openLogFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.most = 100
	const lines = 50
	for range lines {
		if _, err := l.Write([]byte("a line of the log\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); strings.Count(string(text), "\n") != lines {
		t.Errorf("%d lines are in the log (%v), want all %d", strings.Count(string(text), "\n"), err, lines)
	}
}
