//go:build realhost

package host_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/coreos/go-systemd/v22/dbus"
)

// unitFolder is where the tests put their units: they are gone after the next boot in any case.
const unitFolder = "/run/systemd/system"

// describeMachine fills in what Linux machines offer.
func describeMachine(_ *testing.T, f *hosttest.Fixture) {
	f.Missing["Adapter"] = "sysfs cannot be written to; see TestSysfsDevices"
}

// installFixtures writes the units and removes them after the test.
func installFixtures(t *testing.T, services map[string]fixtureService) {
	t.Helper()
	for _, s := range services {
		installUnit(t, s, "Type=notify")
	}
	disabled := services["disabled"].key + ".service"
	withSystemd(t, func(conn *dbus.Conn) error {
		_, err := conn.MaskUnitFilesContext(t.Context(), []string{disabled}, false, true)
		return errors.Join(err, conn.ReloadContext(t.Context()))
	})
	t.Cleanup(func() { removeFile(t, filepath.Join("/etc/systemd/system", disabled)) })
}

// installUnit writes a unit with further lines for its [Service] section, and removes it after the test.
func installUnit(t *testing.T, s fixtureService, lines ...string) {
	t.Helper()
	path := writeUnit(t, s, lines...)
	t.Cleanup(func() { removeUnit(t, s.key+".service", path) })
}

func writeUnit(t *testing.T, s fixtureService, lines ...string) (path string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := fmt.Sprintf("[Unit]\nDescription=%s\n[Service]\nExecStart=%s %s %s %s\nTimeoutStopSec=infinity\n%s\n",
		s.display, program, fixtureArgument, s.key, s.mode, strings.Join(lines, "\n"))
	path = filepath.Join(unitFolder, s.key+".service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	withSystemd(t, func(conn *dbus.Conn) error { return conn.ReloadContext(t.Context()) })
	return path
}

// removeUnit ends the unit's process, however it behaves, and takes the unit away.
func removeUnit(t *testing.T, unit, path string) {
	ctx := context.Background() // the test's own has ended
	conn, err := dbus.NewSystemConnectionContext(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	ended := make(chan string, 1)
	if _, err := conn.StopUnitContext(ctx, unit, "replace", ended); err == nil {
		// It may have ended by the stop already.
		_ = conn.KillUnitWithTarget(ctx, unit, dbus.All, int32(syscall.SIGKILL))
		<-ended
	}
	removeFile(t, path)
}

func removeFile(t *testing.T, path string) {
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

func withSystemd(t *testing.T, do func(*dbus.Conn) error) {
	t.Helper()
	conn, err := dbus.NewSystemConnectionContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := do(conn); err != nil {
		t.Fatal(err)
	}
}

// serveFixture is the program of an installed unit.
func serveFixture(_, mode string) int {
	if mode == "crash" {
		return fixtureExitCode
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	if err := notifyReady(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var death <-chan time.Time
	if mode == "die" {
		death = time.After(dieAfter)
	}
	for {
		select {
		case <-death:
			return fixtureExitCode
		case <-asked:
			if mode != "hang" {
				return 0
			}
		}
	}
}

// notifyReady tells systemd that a unit of Type=notify is up (sd_notify(3)).
func notifyReady() error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte("READY=1"))
	return errors.Join(err, conn.Close())
}

func local(t *testing.T) *host.Host {
	t.Helper()
	h, err := host.Local(host.LocalConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestSimpleUnitThatCrashesAtOnce: of Type=simple, systemd reports the start before the program has run.
func TestSimpleUnitThatCrashesAtOnce(t *testing.T) {
	s := fixtureService{"Bandfleet Fixture Simple", "BandfleetFixtureSimple", "crash"}
	installUnit(t, s, "Type=simple")
	for range 10 { // more often than systemd's own limit of starts: an operator's start must not run into it
		err := local(t).Services.Start(t.Context(), s.display)
		if !errors.Is(err, host.ErrEnded) || !strings.Contains(err.Error(), "exit code 7") {
			t.Fatalf("Start = %v, want that it ended while starting, with exit code 7", err)
		}
	}
}

// TestKilledUnitStaysStopped: the thin client's own unit has Restart=always.
func TestKilledUnitStaysStopped(t *testing.T) {
	s := fixtureService{"Bandfleet Fixture Restarts", "BandfleetFixtureRestarts", "normal"}
	installUnit(t, s, "Type=notify", "Restart=always", "RestartSec=200ms")
	h := local(t)
	if err := h.Services.Start(t.Context(), s.display); err != nil {
		t.Fatal(err)
	}
	state, err := h.Services.State(t.Context(), s.display)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Services.Kill(t.Context(), s.display, state.GetPid()); err != nil {
		t.Fatalf("Kill = %v, want success", err)
	}
	if state, err = h.Services.State(t.Context(), s.display); err != nil || state.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		t.Errorf("State = %v, %v; want stopped, not restarted by systemd", state, err)
	}
}

func TestTwoUnitsWithOneDescription(t *testing.T) {
	first := fixtureService{"Bandfleet Fixture Twin", "BandfleetFixtureTwin1", "normal"}
	second := fixtureService{"Bandfleet Fixture Twin", "BandfleetFixtureTwin2", "normal"}
	installUnit(t, first, "Type=notify")
	installUnit(t, second, "Type=notify")
	err := local(t).Services.Start(t.Context(), first.display)
	if err == nil || !strings.Contains(err.Error(), "BandfleetFixtureTwin2.service") {
		t.Errorf("Start = %v, want a refusal that names both units", err)
	}
	configured, err := host.Local(host.LocalConfig{ServiceKeys: map[string]string{first.display: "BandfleetFixtureTwin2.service"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := configured.Services.Start(t.Context(), first.display); err != nil {
		t.Errorf("Start = %v, want success: the unit is configured", err)
	}
}

// TestUnitThatBecomesAnotherService: a unit found once must not be taken for a service that it no longer is.
func TestUnitThatBecomesAnotherService(t *testing.T) {
	before := fixtureService{"Bandfleet Fixture Before", "BandfleetFixtureReused", "normal"}
	installUnit(t, before, "Type=notify")
	h := local(t)
	wantInstalled(t, h, before.display, true)
	after := before
	after.display = "Bandfleet Fixture After"
	writeUnit(t, after, "Type=notify")
	wantInstalled(t, h, before.display, false)
	wantInstalled(t, h, after.display, true)
}

func wantInstalled(t *testing.T, h *host.Host, name string, want bool) {
	t.Helper()
	if state, err := h.Services.State(t.Context(), name); err != nil || state.GetInstalled() != want {
		t.Errorf("State(%q) = %v, %v; want installed %v", name, state, err, want)
	}
}

// TestNobodyIsSignedIn: a machine without a person has no sessions and no error, which lets a task start.
func TestNobodyIsSignedIn(t *testing.T) {
	sessions, err := local(t).Users.Sessions(t.Context())
	if err != nil || len(sessions) != 0 {
		t.Errorf("Sessions = %v, %v; want none and no error: logind runs here and nobody has signed in", sessions, err)
	}
}
