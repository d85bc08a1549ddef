package private

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
)

// NoCoreDumps keeps this process's memory, which holds private keys, out of crash reports: the program is on the machine's list of those
// that Windows Error Reporting leaves alone, a report that is made all the same holds no heap, and nobody is asked what to do about a
// crash. Full dumps that an administrator has set up for every program (LocalDumps) are that administrator's decision.
func NoCoreDumps() error {
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX | windows.SEM_NOOPENFILEERRORBOX)
	return errors.Join(noHeapInReports(), noReports())
}

// noHeapInReports calls WerSetFlags (errorrep.h).
func noHeapInReports() error {
	const noHeap = 1 // WER_FAULT_REPORTING_FLAG_NOHEAP
	call := windows.NewLazySystemDLL("kernel32.dll").NewProc("WerSetFlags")
	if err := call.Find(); err != nil {
		return fmt.Errorf("crash reports: %w", err)
	}
	return reportResult(call.Call(noHeap))
}

// noReports calls WerAddExcludedApplication (errorrep.h), for all users, or for this account where that is not allowed.
func noReports() error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("crash reports: %w", err)
	}
	name, err := windows.UTF16PtrFromString(filepath.Base(program))
	if err != nil {
		return fmt.Errorf("crash reports: %w", err)
	}
	call := windows.NewLazySystemDLL("wer.dll").NewProc("WerAddExcludedApplication")
	if err := call.Find(); err != nil {
		return fmt.Errorf("crash reports: %w", err)
	}
	const allUsers = 1
	if reportResult(call.Call(uintptr(unsafe.Pointer(name)), allUsers)) == nil { //nolint:gosec // lives until the call returns
		return nil
	}
	return reportResult(call.Call(uintptr(unsafe.Pointer(name)), 0)) //nolint:gosec // likewise
}

// reportResult reads an HRESULT.
func reportResult(result, _ uintptr, _ error) error {
	if int32(result) >= 0 {
		return nil
	}
	return fmt.Errorf("crash reports: %w", windows.Errno(uint32(result)))
}
