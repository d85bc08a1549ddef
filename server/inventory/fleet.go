package inventory

import (
	"context"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// CountInService counts the terminals of all sites that are not decommissioned, from the sites' own counts.
func (i *Inventory) CountInService(ctx context.Context) (n int, err error) {
	err = scanAll(ctx, i.store, store.TableSites, nil, nil, func(_, value []byte) (bool, error) {
		s := &fleetv1.Site{}
		if err := proto.Unmarshal(value, s); err != nil {
			return false, err
		}
		n += int(s.GetTerminals())
		return true, nil
	})
	return n, err
}
