package host

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/windows"
)

// Reboot implements System. Programs of people are closed, whether they have saved or not: that is what the delay and the message are for.
func (windowsSystem) Reboot(_ context.Context, delay time.Duration, message string) error {
	const planned, application, maintenance = 0x80000000, 0x00040000, 0x00000001 // SHTDN_REASON_*
	var text *uint16
	if message != "" {
		var err error
		if text, err = windows.UTF16PtrFromString(message); err != nil {
			return fmt.Errorf("start this machine again: message: %w", err)
		}
	}
	if err := enablePrivilege("SeShutdownPrivilege"); err != nil {
		return fmt.Errorf("start this machine again: %w", err)
	}
	seconds := uint32((delay + time.Second - 1) / time.Second)
	if err := windows.InitiateSystemShutdownEx(nil, text, seconds, true, true, planned|application|maintenance); err != nil {
		return fmt.Errorf("start this machine again: %w", err)
	}
	return nil
}

// enablePrivilege switches on a right that this program's account has.
func enablePrivilege(name string) error {
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return err
	}
	privileges := windows.Tokenprivileges{PrivilegeCount: 1}
	if err := windows.LookupPrivilegeValue(nil, text, &privileges.Privileges[0].Luid); err != nil {
		return fmt.Errorf("privilege %s: %w", name, err)
	}
	privileges.Privileges[0].Attributes = windows.SE_PRIVILEGE_ENABLED
	var token windows.Token
	if err := windows.OpenProcessToken(windows.CurrentProcess(), windows.TOKEN_ADJUST_PRIVILEGES|windows.TOKEN_QUERY, &token); err != nil {
		return fmt.Errorf("privilege %s: %w", name, err)
	}
	defer func() { _ = token.Close() }() // only frees the handle
	if err := windows.AdjustTokenPrivileges(token, false, &privileges, 0, nil, nil); err != nil {
		return fmt.Errorf("privilege %s: %w", name, err)
	}
	return nil
}
