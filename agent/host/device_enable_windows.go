package host

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// SetEnabled implements Devices. A device is disabled until the next start of Windows and no longer, so that a machine whose agent is lost
// meanwhile gets it back (CM_Disable_DevNode without CM_DISABLE_PERSIST).
func (d setupDevices) SetEnabled(ctx context.Context, instance, vendor, product string, enabled bool) error {
	found, err := d.USB(ctx, vendor, product)
	if err != nil {
		return err
	}
	if err := checkInstance(found, instance, vendor, product); err != nil {
		return err
	}
	if instanceOf(found, instance).GetDisabled() != enabled {
		return nil
	}
	if err := setNode(instance, enabled); err != nil {
		return fmt.Errorf("device %q: %w", instance, err)
	}
	return awaitDevice(ctx, d, instance, vendor, product, enabled)
}

// setNode calls the configuration manager (cfgmgr32.h).
func setNode(instance string, enabled bool) error {
	const uiNotOK = 4 // CM_DISABLE_UI_NOT_OK: nobody is asked, a program that holds the device makes it fail
	name, err := windows.UTF16PtrFromString(instance)
	if err != nil {
		return err
	}
	dll := windows.NewLazySystemDLL("cfgmgr32.dll")
	var node windows.DEVINST
	if err := configResult(dll.NewProc("CM_Locate_DevNodeW").Call(uintptr(unsafe.Pointer(&node)), uintptr(unsafe.Pointer(name)), 0)); err != nil { //nolint:gosec // variables of this frame
		return err
	}
	if enabled {
		return configResult(dll.NewProc("CM_Enable_DevNode").Call(uintptr(node), 0))
	}
	return configResult(dll.NewProc("CM_Disable_DevNode").Call(uintptr(node), uiNotOK))
}

// configResult reads the result of a call of the configuration manager.
func configResult(result, _ uintptr, _ error) error {
	switch code := windows.CONFIGRET(result); code {
	case windows.CR_SUCCESS:
		return nil
	case windows.CR_REMOVE_VETOED:
		return errors.New("a program still uses it: stop what uses the adapter, then try again")
	default:
		return fmt.Errorf("the configuration manager answers CR code %#x", uint32(code))
	}
}
