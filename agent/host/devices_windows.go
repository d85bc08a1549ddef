package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// setupDevices reads USB devices through the setup API, which, unlike the registry's Enum tree, knows which are present.
type setupDevices struct{}

// USB implements Devices.
func (setupDevices) USB(_ context.Context, vendor, product string) (*actionv1.DeviceState, error) {
	state, err := usbDevices(strings.ToUpper(fmt.Sprintf(`USB\VID_%s&PID_%s`, vendor, product)))
	if err != nil {
		return nil, fmt.Errorf("usb devices %s:%s: %w", vendor, product, err)
	}
	return state, nil
}

// usbDevices returns the present devices with a hardware id. Functions of a device ("&MI_00") are not devices.
func usbDevices(id string) (*actionv1.DeviceState, error) {
	set, err := windows.SetupDiGetClassDevsEx(nil, "USB", 0, windows.DIGCF_ALLCLASSES|windows.DIGCF_PRESENT, 0, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = set.Close() }() // only frees the list
	state := &actionv1.DeviceState{}
	for i := 0; ; i++ {
		info, err := set.EnumDeviceInfo(i)
		if errors.Is(err, windows.ERROR_NO_MORE_ITEMS) {
			return state, nil
		}
		if err != nil {
			return nil, err
		}
		instance, err := set.DeviceInstanceID(info)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(strings.ToUpper(instance), id+`\`) {
			continue
		}
		if state.Devices, err = appendDevice(state.Devices, set, info, instance); err != nil {
			return nil, err
		}
	}
}

// appendDevice adds a device, unless it has just gone.
func appendDevice(devices []*actionv1.Device, set windows.DevInfo, info *windows.DevInfoData, instance string) ([]*actionv1.Device, error) {
	problem, err := problemCode(info.DevInst)
	if errors.Is(err, windows.CR_NO_SUCH_DEVNODE) {
		return devices, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", instance, err)
	}
	return append(devices, &actionv1.Device{
		Instance: instance, Name: deviceName(set, info), Port: devicePort(set, info), ProblemCode: problem,
		Disabled: problem == problemDisabled, Class: deviceClass(set, info),
	}), nil
}

// problemCode is what Device Manager shows as "Code n"; 0 when the device works.
func problemCode(device windows.DEVINST) (uint32, error) {
	// Wine may have no such call; there a present device counts as one that works.
	answers := windows.NewLazySystemDLL("cfgmgr32.dll").NewProc("CM_Get_DevNode_Status").Find() == nil
	if !answers {
		return 0, nil
	}
	const hasProblem = 0x400 // DN_HAS_PROBLEM
	var status, problem uint32
	if err := windows.CM_Get_DevNode_Status(&status, &problem, device, 0); err != nil {
		return 0, err
	}
	if status&hasProblem == 0 {
		return 0, nil
	}
	return problem, nil
}

// deviceName is the name that Device Manager shows.
func deviceName(set windows.DevInfo, info *windows.DevInfoData) string {
	for _, property := range []windows.SPDRP{windows.SPDRP_FRIENDLYNAME, windows.SPDRP_DEVICEDESC} {
		if value, err := set.DeviceRegistryProperty(info, property); err == nil {
			if name, ok := value.(string); ok && name != "" {
				return name
			}
		}
	}
	return ""
}

// deviceClass is the device's setup class ("Ports"), whose names are the same in every language.
func deviceClass(set windows.DevInfo, info *windows.DevInfoData) string {
	if value, err := set.DeviceRegistryProperty(info, windows.SPDRP_CLASS); err == nil {
		if name, ok := value.(string); ok && name != "" {
			return name
		}
	}
	name, err := windows.SetupDiClassNameFromGuidEx(&info.ClassGUID, "")
	if err != nil {
		return ""
	}
	return name
}

// devicePort is the serial port ("COM3") from the device's own parameters; empty when it has none.
func devicePort(set windows.DevInfo, info *windows.DevInfoData) string {
	handle, err := set.OpenDevRegKey(info, windows.DICS_FLAG_GLOBAL, 0, windows.DIREG_DEV, registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	key := registry.Key(handle)
	defer closeKey(key)
	port, _, err := key.GetStringValue("PortName")
	if err != nil {
		return ""
	}
	return port
}
