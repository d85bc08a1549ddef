package detect

import (
	"context"
	"fmt"
	"strconv"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// readAdapter reads what is plugged in. An adapter without a port is in the middle of a firmware update that did not end.
func readAdapter(ctx context.Context, v view) ([]Reading, error) {
	found, err := v.cfg.Host.Devices.USB(ctx, host.AdapterVendor, host.AdapterProduct)
	if err != nil {
		return nil, err
	}
	details := []seen{said("devices", strconv.Itoa(len(found.GetDevices())))}
	for _, d := range found.GetDevices() {
		details = append(details, said("device", deviceText(d)), said("problem code", strconv.FormatUint(uint64(d.GetProblemCode()), 10)))
	}
	return []Reading{read("adapter", adapterValue(found.GetDevices()), details...)}, nil
}

func adapterValue(devices []*actionv1.Device) string {
	switch {
	case len(devices) == 0:
		return "missing"
	case len(devices) > 1:
		return "several"
	case devices[0].GetDisabled() || devices[0].GetProblemCode() != 0:
		return "problem"
	case devices[0].GetPort() == "":
		return "no-port"
	}
	return "ok"
}

func deviceText(d *actionv1.Device) string {
	text := fmt.Sprintf("%s, class %s", d.GetName(), d.GetClass())
	if d.GetPort() != "" {
		text += ", port " + d.GetPort()
	}
	if d.GetDisabled() {
		text += ", disabled"
	}
	return text
}
