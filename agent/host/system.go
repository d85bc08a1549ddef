package host

import (
	"fmt"
	"os"
	"runtime"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// describeCommon fills in what every operating system answers alike.
func describeCommon() (*actionv1.HostState, error) {
	name, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("host name: %w", err)
	}
	addresses, err := localAddresses()
	if err != nil {
		return nil, err
	}
	return &actionv1.HostState{Hostname: name, Os: runtime.GOOS, Addresses: addresses}, nil
}
