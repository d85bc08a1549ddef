package audit_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/store"
	"github.com/bandfleet/bandfleet/server/store/storetest"
)

func filled(t *testing.T) *store.Bolt {
	t.Helper()
	s := storetest.New(t)
	for i := range 6 {
		site := []string{"", "lyon", "turin"}[i%3]
		err := s.Update(t.Context(), func(w store.Writer) error {
			return audit.Append(w, time.Unix(int64(i), 0), audit.Entry{
				Site: site, Actor: identity.Name{Kind: identity.KindOperator, ID: "ada"}, Verb: "site.create", Object: fmt.Sprint("site/", i),
				Changes: []*storagev1.AuditChange{audit.Change("description", "", "plant")},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestChainsVerify(t *testing.T) {
	s := filled(t)
	if err := audit.Verify(t.Context(), s); err != nil {
		t.Fatalf("untouched chains: %v", err)
	}
	r := record(t, s, "lyon", 2)
	if r.GetActor() != "operator/ada" || r.GetObject() != "site/4" || r.GetTime().AsTime().Unix() != 4 {
		t.Errorf("record %v", r)
	}
	if first := record(t, s, audit.FleetChain, 1); len(first.GetPrevious()) != 32 {
		t.Errorf("the first record follows %x, want 32 zero bytes", first.GetPrevious())
	}
}

func record(t *testing.T, s store.Store, chain string, sequence uint64) *storagev1.AuditRecord {
	t.Helper()
	r := &storagev1.AuditRecord{}
	err := s.View(t.Context(), func(v store.Snapshot) error {
		text, err := v.Get(store.TableAudit, store.AuditKey(chain, sequence))
		return errors.Join(err, proto.Unmarshal(text, r))
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever can write to the store can change a record, but not without being found.
func TestTamperingIsFound(t *testing.T) {
	key := store.AuditKey("lyon", 1)
	rewrite := func(w store.Writer, r *storagev1.AuditRecord) error {
		text, err := proto.Marshal(r)
		return errors.Join(err, w.Put(store.TableAudit, key, text))
	}
	for want, tamper := range map[string]func(w store.Writer, r *storagev1.AuditRecord) error{
		`"lyon": record 1 was changed`: func(w store.Writer, r *storagev1.AuditRecord) error {
			r.Actor = "operator/eve"
			return rewrite(w, r)
		},
		`"lyon": record 2 does not follow`: func(w store.Writer, r *storagev1.AuditRecord) (err error) {
			r.Actor = "operator/eve"
			if r.Hash, err = audit.Hash(r); err != nil {
				return err
			}
			return rewrite(w, r)
		},
		`"lyon": record 2 follows record 0`: func(w store.Writer, _ *storagev1.AuditRecord) error {
			return w.Delete(store.TableAudit, key)
		},
		`"lyon": ends at record 1, and 2`: func(w store.Writer, _ *storagev1.AuditRecord) error {
			return w.Delete(store.TableAudit, store.AuditKey("lyon", 2))
		},
		`"lyon": its head is missing`: func(w store.Writer, _ *storagev1.AuditRecord) error {
			return w.Delete(store.TableAuditHeads, store.Key("lyon"))
		},
		`lies in the place of another`: func(w store.Writer, r *storagev1.AuditRecord) error {
			r.Chain = "turin"
			return rewrite(w, r)
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := filled(t)
			r := record(t, s, "lyon", 1)
			if err := s.Update(t.Context(), func(w store.Writer) error { return tamper(w, r) }); err != nil {
				t.Fatal(err)
			}
			if err := audit.Verify(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one that says %q", err, want)
			}
		})
	}
}

func TestReasonIsBounded(t *testing.T) {
	s := storetest.New(t)
	err := s.Update(t.Context(), func(w store.Writer) error {
		return audit.Append(w, time.Unix(1, 0), audit.Entry{Verb: "x", Object: "y", Reason: strings.Repeat("é", 5000) + "\xff"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := record(t, s, audit.FleetChain, 1); len(r.GetReason()) > 1100 || r.GetActor() != "server" {
		t.Errorf("a reason of %d bytes by %q", len(r.GetReason()), r.GetActor())
	}
}
