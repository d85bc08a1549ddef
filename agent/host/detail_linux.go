package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host/private"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	godbus "github.com/godbus/dbus/v5"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// rebootRequired is the file by which Debian and what comes from it say that a start is needed; the second lists the packages that want it.
const rebootRequired, rebootPackages = "/run/reboot-required", "/run/reboot-required.pkgs"

// Detail implements System. What Windows alone knows is unknown here.
func (s linuxSystem) Detail(context.Context) (*actionv1.MachineState, error) {
	m := &actionv1.MachineState{Unknown: []string{"domain", "domain_role", "dotnet_release", "nfc_readers"}}
	if boot, err := bootTime("/proc/stat"); err == nil {
		m.BootTime = timestamppb.New(boot)
	} else {
		m.Unknown = append(m.Unknown, "boot_time")
	}
	free, err := private.Free("/")
	if m.FreeBytes = free; err != nil {
		m.Unknown = append(m.Unknown, "free_bytes")
	}
	if _, err := os.Stat(rebootRequired); err == nil {
		m.RebootPending, m.RebootReasons = true, packagesThatWait(rebootPackages)
	}
	return m, nil
}

func packagesThatWait(file string) []string {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || len(strings.TrimSpace(string(content))) == 0 {
		return []string{"packages that were replaced"}
	}
	return strings.Fields(string(content))
}

// bootTime reads when the machine started (proc(5), btime).
func bootTime(file string) (time.Time, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Unix(seconds, 0), err
		}
	}
	return time.Time{}, fmt.Errorf("%s: has no btime", file)
}

// Reboot implements System, by systemd-logind, which tells people at terminals by itself.
func (linuxSystem) Reboot(ctx context.Context, delay time.Duration, message string) error {
	conn, err := godbus.ConnectSystemBus(godbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("start this machine again: systemd-logind: %w", whileWaiting(ctx, err))
	}
	defer func() { _ = conn.Close() }() // the answer has come by then
	manager := conn.Object(logind, logindPath)
	call := manager.CallWithContext(ctx, logind+".Manager.SetWallMessage", 0, message, message != "")
	if call.Err == nil {
		at := time.Now().Add(delay).UnixMicro()
		call = manager.CallWithContext(ctx, logind+".Manager.ScheduleShutdown", 0, "reboot", uint64(max(at, 0)))
	}
	if call.Err != nil {
		return fmt.Errorf("start this machine again: systemd-logind: %w", whileWaiting(ctx, call.Err))
	}
	return nil
}
