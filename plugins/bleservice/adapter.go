package bleservice

import (
	"context"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// AdapterState reads the Bluetooth adapter and says in words what is there and whether it works. One that cannot be read
// does not count as working.
func AdapterState(ctx context.Context, r *sdk.Run) (text string, devices int, works bool) {
	d, err := r.Device(ctx, AdapterVendor, AdapterProduct)
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err), 0, false
	}
	return AdapterText(d.GetDevices()), len(d.GetDevices()), adapterWorks(d.GetDevices())
}

// AdapterText is the Bluetooth adapter for people, or all of them.
func AdapterText(devices []*actionv1.Device) string {
	if len(devices) == 0 {
		return "not present"
	}
	parts := make([]string, len(devices))
	for i, d := range devices {
		if parts[i] = d.GetName(); parts[i] == "" {
			parts[i] = d.GetInstance()
		}
		if d.GetDisabled() {
			parts[i] += ", disabled"
		}
		if d.GetProblemCode() != 0 {
			parts[i] += fmt.Sprintf(", problem code %d", d.GetProblemCode())
		}
	}
	return strings.Join(parts, "; ")
}

func adapterWorks(devices []*actionv1.Device) bool {
	for _, d := range devices {
		if d.GetProblemCode() != 0 || d.GetDisabled() {
			return false
		}
	}
	return len(devices) > 0
}
