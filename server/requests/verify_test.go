package requests_test

import (
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func TestVerify(t *testing.T) {
	now := time.Now()
	key := store.Key("operator/ada", "x", "r-1")
	for name, c := range map[string]struct {
		spoil func(store.Writer) error
		sound bool
	}{
		"sound":               {func(store.Writer) error { return nil }, true},
		"the request is gone": {func(w store.Writer) error { return w.Delete(store.TableRequests, key) }, false},
		"its time is gone": {func(w store.Writer) error {
			return w.Delete(store.TableRequestTimes, store.RequestTimeKey(now.UnixNano(), key))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			st := storetest.New(t)
			r, err := requests.New("operator/ada", "x", &fleetv1.CreateSiteRequest{RequestId: "r-1"})
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Update(t.Context(), func(w store.Writer) error { return r.Remember(w, now, "lyon") }); err != nil {
				t.Fatal(err)
			}
			if err := st.Update(t.Context(), c.spoil); err != nil {
				t.Fatal(err)
			}
			found, err := requests.Verify(t.Context(), st)
			if (err == nil) != c.sound || (c.sound && found != "1 requests") {
				t.Errorf("found %q, %v; sound is %t", found, err, c.sound)
			}
		})
	}
}
