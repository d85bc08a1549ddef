package requests_test

import (
	"fmt"
	"testing"
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func newRequest(t *testing.T, operator string, m *fleetv1.CreateSiteRequest) *requests.Request {
	t.Helper()
	r, err := requests.New(operator, "site.create", m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func done(t *testing.T, st store.Store, r *requests.Request) (object string, err error) {
	t.Helper()
	err = st.View(t.Context(), func(v store.Snapshot) (err error) {
		object, err = r.Done(v)
		return err
	})
	return object, err
}

func TestRepetitionIsRecognised(t *testing.T) {
	st := storetest.New(t)
	m := &fleetv1.CreateSiteRequest{Name: "lyon", RequestId: "r-1"}
	r := newRequest(t, "operator/ada", m)
	if object, err := done(t, st, r); err != nil || object != "" {
		t.Fatalf("a new request: %q, %v", object, err)
	}
	if err := st.Update(t.Context(), func(w store.Writer) error { return r.Remember(w, time.Now(), "lyon") }); err != nil {
		t.Fatal(err)
	}
	if object, err := done(t, st, newRequest(t, "operator/ada", m)); err != nil || object != "lyon" {
		t.Errorf("its repetition: %q, %v", object, err)
	}
	if object, err := done(t, st, newRequest(t, "operator/bob", m)); err != nil || object != "" {
		t.Errorf("the same id of somebody else: %q, %v: nobody may see another's answer", object, err)
	}
	if _, err := done(t, st, newRequest(t, "operator/ada", &fleetv1.CreateSiteRequest{Name: "turin", RequestId: "r-1"})); err == nil {
		t.Error("the same id for another request was taken for a repetition")
	}
	none := newRequest(t, "operator/ada", &fleetv1.CreateSiteRequest{Name: "lyon"})
	if object, err := done(t, st, none); err != nil || object != "" {
		t.Errorf("a request without id: %q, %v", object, err)
	}
}

func TestBadRequestIDs(t *testing.T) {
	for _, id := range []string{"a b", "a\x00b", "é", string(make([]byte, 65))} {
		if _, err := requests.New("operator/ada", "x", &fleetv1.CreateSiteRequest{RequestId: id}); err == nil {
			t.Errorf("id %q was accepted", id)
		}
	}
	if _, err := requests.New("operator/ada", "x", &fleetv1.GetSiteRequest{}); err == nil {
		t.Error("a message without request_id was accepted")
	}
}

func TestPrune(t *testing.T) {
	st := storetest.New(t)
	now := time.Now()
	for i := range 130 {
		at := now.Add(-requests.Retention - time.Hour)
		if i < 10 {
			at = now
		}
		r := newRequest(t, "operator/ada", &fleetv1.CreateSiteRequest{RequestId: fmt.Sprint("r-", i)})
		if err := st.Update(t.Context(), func(w store.Writer) error { return r.Remember(w, at, "x") }); err != nil {
			t.Fatal(err)
		}
	}
	if err := requests.Prune(t.Context(), st, now); err != nil {
		t.Fatal(err)
	}
	for _, table := range []store.Table{store.TableRequests, store.TableRequestTimes} {
		n := 0
		_ = st.View(t.Context(), func(v store.Snapshot) error {
			return v.Scan(table, nil, nil, func(_, _ []byte) bool { n++; return true })
		})
		if n != 10 {
			t.Errorf("%s holds %d entries, want the 10 that are young enough", table, n)
		}
	}
}
