package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// windowsSystem describes the machine.
type windowsSystem struct {
	bootID string
}

// Describe implements System.
func (s windowsSystem) Describe(context.Context) (*actionv1.HostState, error) {
	state, err := describeCommon()
	if err != nil {
		return nil, err
	}
	state.OsVersion, state.BootId = osVersion(), s.bootID
	return state, nil
}

// osVersion is the product's name and the version of the kernel ("Windows 10 Pro 10.0.19045").
func osVersion() string {
	version := windows.RtlGetVersion()
	text := fmt.Sprintf("%d.%d.%d", version.MajorVersion, version.MinorVersion, version.BuildNumber)
	product, _, err := newRegistry().read(`SOFTWARE\Microsoft\Windows NT\CurrentVersion`, "ProductName")
	if err != nil || product == "" {
		return "Windows " + text
	}
	const windows11 = 22000 // its registry still says Windows 10
	if version.BuildNumber >= windows11 {
		product = strings.Replace(product, "Windows 10", "Windows 11", 1)
	}
	return product + " " + text
}

// bootKey holds the boot id. Being volatile, it is gone after the next start of Windows, whatever the clock says meanwhile;
// after a "fast start" it is still there, rightly, since services then simply went on.
const bootKey = `SOFTWARE\Bandfleet\Boot`

// bootID reads the boot id, or, as the first since the machine started, makes one. An account that may not write there gets
// one from the time of the start, which a change of the clock changes too.
func bootID() (string, error) {
	key, err := volatileKey(bootKey)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return bootTime(), nil
	}
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	defer closeKey(key)
	id, _, err := key.GetStringValue("ID")
	if errors.Is(err, registry.ErrNotExist) {
		id = rand.Text()
		err = key.SetStringValue("ID", id)
	}
	if err != nil {
		return "", fmt.Errorf("boot id: %w", err)
	}
	return id, nil
}

// bootTime is when the machine started, to the minute, since clock and uptime are not read at the same moment.
func bootTime() string {
	return time.Now().Add(-windows.DurationSinceBoot()).Round(time.Minute).UTC().Format(time.RFC3339)
}

// volatileKey opens or creates a key that the registry keeps in memory only (RegCreateKeyEx, REG_OPTION_VOLATILE). Its parent
// is an ordinary one.
func volatileKey(path string) (registry.Key, error) {
	parent, _, err := registry.CreateKey(registry.LOCAL_MACHINE, path[:strings.LastIndex(path, `\`)], registry.CREATE_SUB_KEY|registry.WOW64_64KEY)
	if err != nil {
		return 0, err
	}
	defer closeKey(parent)
	name, err := windows.UTF16PtrFromString(path[strings.LastIndex(path, `\`)+1:])
	if err != nil {
		return 0, err
	}
	const optionVolatile = 1
	var key windows.Handle
	result, _, _ := windows.NewLazySystemDLL("advapi32.dll").NewProc("RegCreateKeyExW").Call(
		//nolint:gosec // variables of this frame
		uintptr(parent), uintptr(unsafe.Pointer(name)), 0, 0, optionVolatile,
		registry.QUERY_VALUE|registry.SET_VALUE|registry.WOW64_64KEY, 0, uintptr(unsafe.Pointer(&key)), 0) //nolint:gosec // likewise
	if result != 0 {
		return 0, syscall.Errno(result)
	}
	return registry.Key(key), nil
}
