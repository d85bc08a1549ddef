package bleservice

import (
	"fmt"
	"slices"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// DiskFull returns the refusal for a machine with less than least bytes free, nil for one with more, or where that cannot be told.
func DiskFull(m *actionv1.MachineState, least uint64) *actionv1.Plan {
	free := m.GetFreeBytes()
	if free >= least || slices.Contains(m.GetUnknown(), "free_bytes") {
		return nil
	}
	return sdk.Refuse(fmt.Sprintf("%d MiB of the disk are free, want at least %d", free>>20, least>>20), "free disk space on the terminal, then run this again")
}
