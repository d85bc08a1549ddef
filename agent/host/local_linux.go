package host

import (
	"context"
	"fmt"
	"syscall"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// connectionRefused is the operating system's error for a port that nobody listens on.
const connectionRefused = syscall.ECONNREFUSED

// DefaultRoots are the folders of a thin client (vendor's page "Editing the nbe.toml File").
func DefaultRoots() map[string]string {
	return map[string]string{EndpointRoot: "/usr/bin"}
}

// DefaultLogRoots are none: where a thin client keeps logs is its maker's choice.
func DefaultLogRoots() map[string]string { return nil }

func newLocal(roots rootFolders, cfg LocalConfig) (*Host, error) {
	return &Host{
		Services: &systemdServices{units: cfg.ServiceKeys},
		Files:    newLocalFiles(roots),
		Devices:  sysfsDevices{folder: "/sys/bus/usb/devices"},
		Network:  localNetwork{},
		Registry: noRegistry{},
		System:   linuxSystem{release: "/etc/os-release", bootID: "/proc/sys/kernel/random/boot_id"},
		Users:    logindUsers{cfg.QuietAfter},

		Certificates: NoCertificates{Lacking: "certificate stores"},
		Bindings:     NoBindings{Lacking: "a web server"},
		IIS:          NoIIS{Lacking: "IIS"},
		Power:        NoPower{Lacking: "power schemes"},
		Programs:     newLocalPrograms(cfg.Programs),
		Features:     NoFeatures{Lacking: "features of Windows"},
	}, nil
}

// noRegistry is the registry of a machine that has none.
type noRegistry struct{}

// Get implements Registry.
func (noRegistry) Get(context.Context, string, string) (string, error) {
	return "", errNoRegistry
}

// Set implements Registry.
func (noRegistry) Set(context.Context, string, string, string) error {
	return errNoRegistry
}

// Delete implements Registry.
func (noRegistry) Delete(context.Context, string, string) error {
	return errNoRegistry
}

// linuxSystem describes the machine from its own files.
type linuxSystem struct {
	release, bootID string
}

// Describe implements System.
func (s linuxSystem) Describe(context.Context) (*actionv1.HostState, error) {
	state, err := describeCommon()
	if err != nil {
		return nil, err
	}
	if state.OsVersion, err = readRelease(s.release); err != nil {
		return nil, err
	}
	if state.BootId, err = readLine(s.bootID); err != nil {
		return nil, err
	}
	return state, nil
}

// Levels implements Registry.
func (noRegistry) Levels(context.Context, string) (uint32, error) {
	return 0, fmt.Errorf("registry: %w", ErrNotSupported)
}

// Prune implements Registry.
func (noRegistry) Prune(context.Context, string, uint32) error {
	return fmt.Errorf("registry: %w", ErrNotSupported)
}

// View32 implements Registry.
func (r noRegistry) View32() Registry { return r }
