package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/identity"
	"github.com/bandfleet/bandfleet/agent/plugins"
	"github.com/bandfleet/bandfleet/agent/service"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/handshake"
)

// machine is a folder with what an installation touches, and a service manager in memory. A release's agent is a text file; one that says
// "broken" ends at its start, one that says "blocked" cannot be started at all.
type machine struct {
	t       *testing.T
	dir     string
	service *service.Config
	up      bool
	// seen are the calls of the service manager and of the enrolment, in order.
	seen []string
	// stopFails and enrollFails are what the next such call returns.
	stopFails, enrollFails error
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return &machine{t: t, dir: t.TempDir()}
}

func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (m *machine) write(name, content string) string {
	m.t.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return path
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil {
		return ""
	}
	return string(text)
}

// release makes a folder with a release, whose agent and plugin hold the name.
func (m *machine) release(name string) string {
	m.t.Helper()
	m.write(name+"/"+ProgramFile(), "agent "+name)
	plugin := "plugin " + name
	m.write(name+"/plugins/endpoint", plugin)
	m.write(name+"/install.cmd", "not to be copied")
	sum := sha256.Sum256([]byte(plugin))
	pin := plugins.Pin{File: "endpoint", SHA256: hex.EncodeToString(sum[:]), Manifest: &actionv1.Manifest{
		Name: "endpoint", ProtocolVersion: handshake.ProtocolVersion, Actions: []*actionv1.Action{{Name: "ble-restart"}},
	}}
	if err := plugins.SavePins(m.path(name+"/plugins/"+plugins.LockName), []plugins.Pin{pin}); err != nil {
		m.t.Fatal(err)
	}
	return m.path(name)
}

func (m *machine) config(from string) Config {
	return Config{
		From: from, Program: m.path("program"), DataDir: m.path("data"), Services: m, Patience: time.Second,
		Service:   service.Config{Name: "agent", Executable: programFile(m.path("program")), Args: []string{"service", "run"}, DataDir: m.path("data")},
		MayEnroll: func() error { return nil }, Enroll: m.enroll, Version: m.version, Log: slog.New(slog.DiscardHandler),
	}
}

func (m *machine) install(c Config) (string, error) {
	m.t.Helper()
	m.seen = nil
	return Install(m.t.Context(), c)
}

// mustInstall installs a release.
func (m *machine) mustInstall(from string) {
	m.t.Helper()
	if _, err := m.install(m.config(from)); err != nil {
		m.t.Fatalf("install %q: %v", from, err)
	}
}

func (m *machine) enroll(_ context.Context, folder string) error {
	m.seen = append(m.seen, "enroll")
	if m.enrollFails != nil {
		return m.enrollFails
	}
	pins, err := plugins.ReadLock(folder)
	if err == nil {
		err = plugins.SavePins(identity.Dir(m.path("data")).Pins(), pins)
	}
	m.write("data/agent.json", "{}")
	m.write("data/journal.db", "journal")
	return err
}

func (m *machine) version(_ context.Context, program string) (string, error) {
	text, err := os.ReadFile(program)
	if err == nil && strings.Contains(string(text), "blocked") {
		err = errors.New("access is denied")
	}
	return string(text), err
}

// Query implements Services.
func (m *machine) Query(context.Context, string) (service.Status, error) {
	if m.service == nil {
		return service.Status{State: "not installed"}, nil
	}
	status := service.Status{Installed: true, State: "stopped", Command: append([]string{m.service.Executable}, m.service.Args...)}
	if m.up {
		status.State = "running"
	}
	return status, nil
}

// Install implements Services.
func (m *machine) Install(ctx context.Context, c service.Config) error {
	m.seen = append(m.seen, "install")
	if m.service != nil {
		return errors.New("is installed already")
	}
	m.service = &c
	return m.begin(ctx)
}

// Uninstall implements Services.
func (m *machine) Uninstall(ctx context.Context, _ string, prepare service.Prepare) error {
	m.seen = append(m.seen, "uninstall")
	m.up = false
	if err := prepare(ctx, m.service.Args); err != nil {
		m.up = true
		return err
	}
	m.service = nil
	return nil
}

// Start implements Services.
func (m *machine) Start(ctx context.Context, _ string) error {
	m.seen = append(m.seen, "start")
	return m.begin(ctx)
}

// begin starts the program that is there: a broken one changes the journal before it ends, as one of a later release would.
func (m *machine) begin(context.Context) error {
	text, err := os.ReadFile(m.service.Executable)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), "broken") {
		m.write("data/journal.db", "journal of a later release")
		return nil
	}
	if journal := m.read("data/journal.db"); journal != "journal" {
		return fmt.Errorf("the journal is %q, which this release cannot read", journal)
	}
	m.up = true
	return nil
}

// Stop implements Services.
func (m *machine) Stop(context.Context, string) error {
	m.seen = append(m.seen, "stop")
	if err := m.stopFails; err != nil {
		return err
	}
	m.up = false
	return nil
}
