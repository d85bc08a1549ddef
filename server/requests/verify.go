package requests

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares what is remembered of requests with the index by time. The error names the first that does not agree; found
// says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		n := 0
		var bad error
		err := v.Scan(store.TableRequests, nil, nil, func(key, value []byte) bool {
			n++
			r := &storagev1.RequestRecord{}
			if bad = proto.Unmarshal(value, r); bad == nil {
				_, bad = v.Get(store.TableRequestTimes, store.RequestTimeKey(r.GetTime().AsTime().UnixNano(), key))
			}
			if bad != nil {
				bad = fmt.Errorf("table %q: record %q: its time: %w", store.TableRequests, key, bad)
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		found = fmt.Sprintf("%d requests", n)
		return timesLeadToRequests(v)
	})
	return found, err
}

func timesLeadToRequests(v store.Snapshot) error {
	var bad error
	err := v.Scan(store.TableRequestTimes, nil, nil, func(key, _ []byte) bool {
		request := bytes.Clone(key[min(len(key), len(store.Number(0))):])
		if _, bad = v.Get(store.TableRequests, request); bad != nil {
			bad = fmt.Errorf("table %q: record %q: %w", store.TableRequests, request, bad)
		}
		return bad == nil
	})
	return errors.Join(err, bad)
}
