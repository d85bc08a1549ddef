package catalogue

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify reads all packs and compares them with their hashes. The error names the first that is damaged; found says in words how many there
// are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		packs, entries := 0, uint32(0)
		var bad error
		err := v.Scan(store.TablePacks, nil, nil, func(key, value []byte) bool {
			p := &fleetv1.Pack{}
			if bad = proto.Unmarshal(value, p); bad == nil {
				bad = verifyPack(string(key), p)
			}
			if bad != nil {
				bad = fmt.Errorf("table %q: record %q: %w", store.TablePacks, key, bad)
			}
			packs, entries = packs+1, entries+p.GetEntries()
			return bad == nil
		})
		found = fmt.Sprintf("%d packs of %d entries", packs, entries)
		if err == nil {
			err = bad
		}
		return err
	})
	return found, err
}

func verifyPack(key string, p *fleetv1.Pack) error {
	read, err := catalogue.ParsePack(p.GetContent())
	switch {
	case err != nil:
		return err
	case read.SHA256 != p.GetSha256():
		return fmt.Errorf("its text has not the hash that was stored with it")
	case read.Name != key || p.GetName() != key || read.Version != p.GetVersion() || len(read.Entries) != int(p.GetEntries()):
		return fmt.Errorf("its text is pack %q, version %s, of %d entries, and the record says otherwise", read.Name, read.Version, len(read.Entries))
	}
	return nil
}
