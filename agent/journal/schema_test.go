package journal

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// TestDrawing fills a journal and compares its buckets, and the fixed keys, with the drawing in schema.go: a drawing that
// nobody checks rots.
func TestDrawing(t *testing.T) {
	source, err := os.ReadFile("schema.go")
	must(t, err)
	var drawn []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\s*)(\S+?)(/$| .*→)`).FindAllStringSubmatch(string(source), -1) {
		drawn = append(drawn, strings.TrimSpace(m[2]))
	}
	want := map[string]string{"meta": "id version epoch sequence news sent orders", "news": "NEWS", "faults": "FAULT", "breakers": "BREAKER", "tasks": "TASK", "open": "TASK", "retired": "TIME", "effects": "TASK", "obligations": "RESOURCE", "artifacts": "FILE", "leases": "LEASE"}
	j := fresh(t)
	finish(t, j, "j-1", noon)
	_, _, err = j.Accept(task("j-2"), noon)
	must(t, err)
	must(t, j.Start(key("j-2"), noon, "b"))
	_, err = j.EffectIntent(key("j-2"), 1, effect("e"))
	must(t, err)
	must(t, j.PutObligation(&storagev1.Obligation{Resource: "r"}))
	must(t, j.PutLease(&storagev1.JournalLease{Id: "l"}))
	must(t, j.PutArtifact(&storagev1.JournalArtifact{File: "f"}))
	must(t, j.PutNews(&agentv1.News{Sequence: 1}, Beside{
		Opened: &agentv1.FaultReport{Entry: "e"}, Breaker: &storagev1.JournalBreaker{Entry: "e", Action: "a"},
	}))
	must(t, j.PutOrders(&agentv1.Orders{Version: "v"}))
	must(t, j.db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if !slices.Contains(drawn, string(name)) {
				t.Errorf("bucket %q is not drawn in schema.go", name)
			}
			if b.Stats().KeyN == 0 {
				t.Errorf("bucket %q is empty in a journal with something of everything", name)
			}
			for field := range strings.FieldsSeq(want[string(name)]) {
				if !slices.Contains(drawn, field) {
					t.Errorf("%q of bucket %q is not drawn in schema.go", field, name)
				}
			}
			delete(want, string(name))
			return nil
		})
	}))
	if len(want) > 0 {
		t.Errorf("not in the file: %v", want)
	}
}

// TestKeysAreApart: no task's key may begin with another's, else one's effects would be read as the other's.
func TestKeysAreApart(t *testing.T) {
	var keys [][]byte
	for _, k := range []*agentv1.TaskKey{{JobId: "a"}, {JobId: "a", Attempt: 1}, {JobId: "a", Attempt: 256}, {JobId: "ab"}, {JobId: "a\x01"}} {
		b, err := taskKey(k)
		must(t, err)
		keys = append(keys, b)
	}
	for i, a := range keys {
		for k, b := range keys {
			if i != k && strings.HasPrefix(string(a), string(b)) {
				t.Errorf("key %q begins with key %q", a, b)
			}
		}
	}
}
