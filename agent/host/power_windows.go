package host

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// powerSchemes are the power schemes of this machine, through powrprof.dll, whose answers have no language.
type powerSchemes struct{}

// powerPolicies is where group policies put what they set, a key for each setting.
const powerPolicies = `SOFTWARE\Policies\Microsoft\Power\PowerSettings\`

// powerIDs are a setting's ids as the calls take them.
type powerIDs struct{ scheme, subgroup, setting windows.GUID }

// Get implements Power.
func (powerSchemes) Get(_ context.Context, s *actionv1.PowerSetting) (*actionv1.PowerState, error) {
	ids, err := readPowerIDs(s)
	if err != nil {
		return nil, err
	}
	state := &actionv1.PowerState{Setting: s, ByPolicy: setByPolicy(s.GetSetting())}
	if state.Ac, err = readPower("PowerReadACValueIndex", ids); err == nil {
		state.Dc, err = readPower("PowerReadDCValueIndex", ids)
	}
	if err != nil {
		return nil, powerError(s, err)
	}
	return state, nil
}

func readPower(name string, ids powerIDs) (uint32, error) {
	var value uint32
	call := windows.NewLazySystemDLL("powrprof.dll").NewProc(name)
	if err := call.Find(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	err := status(call.Call(0, uintptr(unsafe.Pointer(&ids.scheme)), uintptr(unsafe.Pointer(&ids.subgroup)), uintptr(unsafe.Pointer(&ids.setting)), //nolint:gosec // variables of this frame
		uintptr(unsafe.Pointer(&value)))) //nolint:gosec // likewise
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		err = ErrNotExist
	}
	return value, err
}

// Set implements Power. A scheme that is active takes its changed values only when it is made active again.
func (p powerSchemes) Set(ctx context.Context, s *actionv1.PowerSetting, ac, dc uint32) error {
	before, err := p.Get(ctx, s)
	if err != nil {
		return err
	}
	if before.GetByPolicy() {
		return powerError(s, errors.New("is set by a group policy: change the policy"))
	}
	ids, err := readPowerIDs(s)
	if err != nil {
		return err
	}
	err = writePower("PowerWriteACValueIndex", ids, ac)
	if err == nil {
		err = writePower("PowerWriteDCValueIndex", ids, dc)
	}
	if err != nil {
		return powerError(s, err)
	}
	active, err := activeScheme()
	if err == nil && active == ids.scheme {
		err = status(windows.NewLazySystemDLL("powrprof.dll").NewProc("PowerSetActiveScheme").Call(0, uintptr(unsafe.Pointer(&ids.scheme)))) //nolint:gosec // a variable of this frame
	}
	return powerError(s, err)
}

func writePower(name string, ids powerIDs, value uint32) error {
	call := windows.NewLazySystemDLL("powrprof.dll").NewProc(name)
	if err := call.Find(); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return status(call.Call(0, uintptr(unsafe.Pointer(&ids.scheme)), uintptr(unsafe.Pointer(&ids.subgroup)), uintptr(unsafe.Pointer(&ids.setting)), uintptr(value))) //nolint:gosec // variables of this frame
}

func readPowerIDs(s *actionv1.PowerSetting) (ids powerIDs, err error) {
	if s.GetScheme() == "" {
		ids.scheme, err = activeScheme()
	} else {
		ids.scheme, err = windows.GUIDFromString("{" + s.GetScheme() + "}")
	}
	if err != nil {
		return ids, powerError(s, err)
	}
	if ids.subgroup, err = windows.GUIDFromString("{" + s.GetSubgroup() + "}"); err == nil {
		ids.setting, err = windows.GUIDFromString("{" + s.GetSetting() + "}")
	}
	if err != nil {
		return ids, powerError(s, fmt.Errorf("ids must be GUIDs: %w", err))
	}
	return ids, nil
}

func activeScheme() (windows.GUID, error) {
	var scheme *windows.GUID
	call := windows.NewLazySystemDLL("powrprof.dll").NewProc("PowerGetActiveScheme")
	if err := status(call.Call(0, uintptr(unsafe.Pointer(&scheme)))); err != nil { //nolint:gosec // a variable of this frame
		return windows.GUID{}, fmt.Errorf("active power scheme: %w", err)
	}
	defer func() { _, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(scheme))) }() //nolint:gosec // what the call has allocated
	return *scheme, nil
}

// setByPolicy says whether a group policy sets a value of the setting.
func setByPolicy(setting string) bool {
	key, err := newRegistry().open(powerPolicies+setting, registry.QUERY_VALUE)
	if err != nil {
		return false // no policy
	}
	defer closeKey(key)
	for _, value := range []string{"ACSettingIndex", "DCSettingIndex"} {
		if _, _, err := key.GetIntegerValue(value); err == nil {
			return true
		}
	}
	return false
}

func powerError(s *actionv1.PowerSetting, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("power setting %s of %s: %w", s.GetSetting(), s.GetSubgroup(), err)
}
