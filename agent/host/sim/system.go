package sim

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	bootFile   = "boot.json"
	detailFile = "detail.json"
)

// bootRecord counts the simulated starts of the machine.
type bootRecord struct {
	Boots int       `json:"boots"`
	At    time.Time `json:"at"`
}

// detailRecord is what a diagnosis reads.
type detailRecord struct {
	Domain        string `json:"domain,omitempty"`
	DomainRole    uint32 `json:"domain_role"`
	FreeBytes     uint64 `json:"free_bytes"`
	DotNetRelease uint32 `json:"dotnet_release"`
	NFCReaders    uint32 `json:"nfc_readers"`
	RebootPending bool   `json:"reboot_pending,omitempty"`
	// Clock is how far its clock is ahead.
	Clock time.Duration `json:"clock,omitempty"`
	// Windows is the version of Windows that it says it has; empty: what it really runs on.
	Windows string `json:"windows,omitempty"`
}

// dotNet48 is the release number of .NET Framework 4.8 on Windows 10 of May 2019.
const dotNet48 = 528040

// newDetail is that of a healthy machine.
func (t *terminal) newDetail() detailRecord {
	detail := detailRecord{FreeBytes: 64 << 30, DotNetRelease: dotNet48}
	if t.isNES() {
		const memberServer = 3
		detail.Domain, detail.DomainRole = "lyon.example", memberServer
	}
	return detail
}

// system is the machine that the simulation runs on, under a name and with starts of its own.
type system struct {
	*terminal
	local host.System
}

// Describe implements host.System.
func (s system) Describe(ctx context.Context) (*actionv1.HostState, error) {
	state, err := s.local.Describe(ctx)
	if err != nil {
		return nil, err
	}
	boot, err := readRecord[bootRecord](s.terminal, bootFile)
	if err != nil {
		return nil, fmt.Errorf("start of the machine: %w", err)
	}
	detail, err := readRecord[detailRecord](s.terminal, detailFile)
	if err != nil {
		return nil, fmt.Errorf("details of the machine: %w", err)
	}
	if detail.Windows != "" {
		state.Os, state.OsVersion = "windows", detail.Windows
	}
	state.Hostname = s.Hostname
	if boot.Boots > 0 {
		state.BootId = fmt.Sprintf("%s+%d", state.GetBootId(), boot.Boots)
	}
	return state, nil
}

// Detail implements host.System.
func (s system) Detail(context.Context) (*actionv1.MachineState, error) {
	detail, err := readRecord[detailRecord](s.terminal, detailFile)
	if err != nil {
		return nil, fmt.Errorf("details of the machine: %w", err)
	}
	features, err := readRecord[featuresRecord](s.terminal, featuresFile)
	if err != nil {
		return nil, fmt.Errorf("details of the machine: %w", err)
	}
	boot, err := readRecord[bootRecord](s.terminal, bootFile)
	if err != nil {
		return nil, fmt.Errorf("details of the machine: %w", err)
	}
	state := &actionv1.MachineState{
		RebootPending: detail.RebootPending || features.RestartDue, Domain: detail.Domain, DomainRole: proto.Uint32(detail.DomainRole),
		FreeBytes: detail.FreeBytes, DotnetRelease: detail.DotNetRelease, NfcReaders: proto.Uint32(detail.NFCReaders),
	}
	if state.GetRebootPending() {
		state.RebootReasons = []string{"component based servicing"}
	}
	if detail.Clock != 0 {
		state.ClockOffset = durationpb.New(detail.Clock)
	}
	if boot.At.IsZero() {
		state.Unknown = append(state.Unknown, "boot_time")
	} else {
		state.BootTime = timestamppb.New(boot.At)
	}
	return state, nil
}

// Reboot implements host.System. A process of its own does it, since the machine outlives who asked for it.
func (s system) Reboot(_ context.Context, delay time.Duration, message string) error {
	if err := s.spawnReboot(delay, message); err != nil {
		return fmt.Errorf("starting this machine again: %w", err)
	}
	return nil
}
