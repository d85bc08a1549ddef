package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/bandfleet/bandfleet/agent/host/private"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Detail implements System.
func (windowsSystem) Detail(context.Context) (*actionv1.MachineState, error) {
	m := &actionv1.MachineState{BootTime: timestamppb.New(time.Now().Add(-windows.DurationSinceBoot()))}
	m.RebootReasons = rebootReasons()
	m.RebootPending = len(m.GetRebootReasons()) > 0
	for _, part := range []struct {
		read   func(*actionv1.MachineState) error
		fields []string
	}{
		{readDomain, []string{"domain", "domain_role"}},
		{readDotNet, []string{"dotnet_release"}},
		{readFree, []string{"free_bytes"}},
		{readNFC, []string{"nfc_readers"}},
	} {
		if part.read(m) != nil {
			m.Unknown = append(m.Unknown, part.fields...)
		}
	}
	return m, nil
}

// rebootReasons are the places where Windows notes that something waits for its next start.
func rebootReasons() []string {
	var reasons []string
	for _, place := range []struct{ reason, key string }{
		{"component based servicing", `SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`},
		{"Windows Update", `SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`},
	} {
		if key, err := newRegistry().open(place.key, registry.QUERY_VALUE); err == nil {
			closeKey(key)
			reasons = append(reasons, place.reason)
		}
	}
	if filesWait() {
		reasons = append(reasons, "files that are replaced at the next start")
	}
	names := `SYSTEM\CurrentControlSet\Control\ComputerName\`
	now, _, nowErr := newRegistry().read(names+"ActiveComputerName", "ComputerName")
	next, _, nextErr := newRegistry().read(names+"ComputerName", "ComputerName")
	if nowErr == nil && nextErr == nil && !strings.EqualFold(now, next) {
		reasons = append(reasons, "another computer name")
	}
	return reasons
}

func filesWait() bool {
	key, err := newRegistry().open(`SYSTEM\CurrentControlSet\Control\Session Manager`, registry.QUERY_VALUE)
	if err != nil {
		return false
	}
	defer closeKey(key)
	files, _, err := key.GetStringsValue("PendingFileRenameOperations")
	return err == nil && len(files) > 0
}

// domainInfo is DSROLE_PRIMARY_DOMAIN_INFO_BASIC (dsrole.h).
type domainInfo struct {
	role              uint32
	flags             uint32
	flat, dns, forest *uint16
	id                windows.GUID
}

// readDomain fills in domain and role, which Windows numbers as the contract does.
func readDomain(m *actionv1.MachineState) error {
	const basic = 1 // DsRolePrimaryDomainInfoBasic
	dll := windows.NewLazySystemDLL("netapi32.dll")
	call := dll.NewProc("DsRoleGetPrimaryDomainInformation")
	if err := call.Find(); err != nil {
		return err
	}
	var info *domainInfo
	if err := status(call.Call(0, basic, uintptr(unsafe.Pointer(&info)))); err != nil { //nolint:gosec // a variable of this frame
		return err
	}
	defer func() { _, _, _ = dll.NewProc("DsRoleFreeMemory").Call(uintptr(unsafe.Pointer(info))) }() //nolint:gosec // what the call has allocated
	m.DomainRole = proto.Uint32(info.role)
	if info.role == 0 || info.role == 2 {
		return nil // in no domain: the name is a workgroup's
	}
	if m.Domain = windows.UTF16PtrToString(info.dns); m.GetDomain() == "" {
		m.Domain = windows.UTF16PtrToString(info.flat)
	}
	return nil
}

// readFree fills in what is free on the drive of Windows.
func readFree(m *actionv1.MachineState) (err error) {
	folder, err := windows.GetWindowsDirectory()
	if err == nil {
		m.FreeBytes, err = private.Free(filepath.VolumeName(folder) + string(os.PathSeparator))
	}
	return err
}

// readDotNet fills in the release of .NET Framework 4; 0 when it is not installed.
func readDotNet(m *actionv1.MachineState) error {
	key, err := newRegistry().open(`SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full`, registry.QUERY_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeKey(key)
	release, _, err := key.GetIntegerValue("Release")
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	m.DotnetRelease = uint32(release)
	return err
}

// Answers of the smart card service (winscard.h) that mean that there is no reader: it stops when the last one is pulled out.
const (
	cardNoService      = windows.Errno(0x8010001D)
	cardServiceStopped = windows.Errno(0x8010001E)
	cardNoReaders      = windows.Errno(0x8010002E)
)

// readNFC counts the readers of cards and tags.
func readNFC(m *actionv1.MachineState) error {
	count, err := cardReaders()
	if errors.Is(err, cardNoService) || errors.Is(err, cardServiceStopped) || errors.Is(err, cardNoReaders) {
		count, err = 0, nil
	}
	if err == nil {
		m.NfcReaders = proto.Uint32(count)
	}
	return err
}

func cardReaders() (uint32, error) {
	const scopeSystem = 2
	dll := windows.NewLazySystemDLL("winscard.dll")
	if err := dll.NewProc("SCardListReadersW").Find(); err != nil {
		return 0, err
	}
	var session uintptr
	if err := status(dll.NewProc("SCardEstablishContext").Call(scopeSystem, 0, 0, uintptr(unsafe.Pointer(&session)))); err != nil { //nolint:gosec // a variable of this frame
		return 0, err
	}
	defer func() { _, _, _ = dll.NewProc("SCardReleaseContext").Call(session) }() // only frees
	names := make([]uint16, 16<<10)
	size := uint32(len(names))
	err := status(dll.NewProc("SCardListReadersW").Call(session, 0, uintptr(unsafe.Pointer(&names[0])), uintptr(unsafe.Pointer(&size)))) //nolint:gosec // variables of this frame
	if err != nil {
		return 0, fmt.Errorf("list readers: %w", err)
	}
	return countStrings(names[:min(int(size), len(names))]), nil
}

// countStrings counts texts that each end with a zero, up to an empty one.
func countStrings(texts []uint16) (count uint32) {
	for len(texts) > 0 && texts[0] != 0 {
		count++
		end := slices.Index(texts, 0)
		if end < 0 {
			return count
		}
		texts = texts[end+1:]
	}
	return count
}
