package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// auditCommands judge the record of a server that was stopped.
func auditCommands(f *fleet) map[string]command {
	return map[string]command{
		// audited ACTOR VERB OBJECT: the record has an entry by this actor, of this verb and about this object; each is a regular
		// expression that fits the whole of it. Each record of a server names its actor.
		"audited": func(ts *testscript.TestScript, _ bool, args []string) {
			if len(args) != 3 {
				ts.Fatalf("usage: audited ACTOR VERB OBJECT")
			}
			want, err := regexp.Compile("^" + strings.Join(args, " ") + "$")
			ts.Check(err)
			wantAudited(ts, f.dataDir, want)
		},
	}
}

func wantAudited(ts *testscript.TestScript, dataDir string, want *regexp.Regexp) {
	st, err := store.OpenReadOnly(filepath.Join(dataDir, "store.db"))
	ts.Check(err)
	defer st.Close()
	var all []string
	ts.Check(st.View(context.Background(), func(v store.Snapshot) error {
		return v.Scan(store.TableAudit, nil, nil, func(_, value []byte) bool {
			rec := &storagev1.AuditRecord{}
			ts.Check(proto.Unmarshal(value, rec))
			if rec.GetActor() == "" {
				ts.Fatalf("a record without an actor: %v", rec)
			}
			all = append(all, rec.GetActor()+" "+rec.GetVerb()+" "+rec.GetObject())
			return true
		})
	}))
	for _, line := range all {
		if want.MatchString(line) {
			return
		}
	}
	ts.Fatalf("the record has no entry that fits %q, want one; it has:\n%s", want, strings.Join(all, "\n"))
}
