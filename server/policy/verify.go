package policy

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify reads every policy, freeze and record of a remedy. The error names the first that is not what it should be; found says in words
// how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		policies, bad := count(ctx, v, store.TablePolicies, &fleetv1.Policy{}, (*fleetv1.Policy).GetName)
		freezes, worse := count(ctx, v, store.TableFreezes, &fleetv1.FreezeState{}, func(f *fleetv1.FreezeState) string { return orAll(f.GetSite()) })
		remedies, worst := count(ctx, v, store.TableRemedies, &storagev1.RemedyRecord{}, (*storagev1.RemedyRecord).GetFaultId)
		found = fmt.Sprintf("%d policies, %d freezes, %d remedies", policies, freezes, remedies)
		return errors.Join(bad, worse, worst)
	})
	return found, err
}

// count reads all records of a table into m, one after the other, and wants each in its own place.
func count[M proto.Message](ctx context.Context, v store.Snapshot, t store.Table, m M, name func(M) string) (n int, err error) {
	var bad error
	err = v.Scan(t, nil, nil, func(key, text []byte) bool {
		n++
		switch bad = errors.Join(ctx.Err(), proto.Unmarshal(text, m)); {
		case bad != nil:
			bad = fmt.Errorf("table %q: %q: %w", t, key, bad)
		case name(m) != string(key):
			bad = fmt.Errorf("table %q: in the place of %q lies %q", t, key, name(m))
		}
		return bad == nil
	})
	return n, errors.Join(err, bad)
}
