package upkeep

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/artifacts"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/catalogue"
	"github.com/bandfleet/bandfleet/server/certificates"
	"github.com/bandfleet/bandfleet/server/guided"
	"github.com/bandfleet/bandfleet/server/inventory"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/notify"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/schedule"
	"github.com/bandfleet/bandfleet/server/secrets"
	"github.com/bandfleet/bandfleet/server/store"
)

// Check reads a store, or a backup of one, from end to end and changes nothing. say is told what was found sound, a line at a
// time; the error names the first fault and its place.
func Check(ctx context.Context, path string, say func(line string)) error {
	st, err := open(path)
	if err != nil {
		return err
	}
	defer st.Close()
	return checkStore(ctx, st, path, say)
}

func checkStore(ctx context.Context, st store.Store, path string, say func(line string)) error {
	bytes, err := size(path)
	if err != nil {
		return err
	}
	// Opening it has done this.
	say(fmt.Sprintf("file: %d bytes; every page is in its place and every record agrees with its checksum", bytes))
	epoch, err := store.Epoch(ctx, st)
	if err != nil {
		return fmt.Errorf("store %q: epoch: %w", path, err)
	}
	say(fmt.Sprintf("schema: version %d, epoch %d", store.SchemaVersion, epoch))
	for _, part := range []struct {
		name   string
		verify func(context.Context, store.Store) (string, error)
	}{
		{"inventory", inventory.Verify}, {"requests", requests.Verify}, {"jobs", jobs.Verify}, {"artefacts", artifacts.Verify},
		{"secrets", secrets.Verify}, {"certificates", certificates.Verify}, {"schedules", schedule.Verify},
		{"catalogue", catalogue.Verify}, {"guided tasks", guided.Verify}, {"notices", notify.Verify}, {"audit", verifyAudit},
	} {
		found, err := part.verify(ctx, st)
		if err != nil {
			return fmt.Errorf("store %q: %s: %w", path, part.name, err)
		}
		say(fmt.Sprintf("%s: %s; all agree", part.name, found))
	}
	return nil
}

// CheckFiles reads the files of artefacts of a stopped server from end to end, compares them with the store and changes nothing. The
// error names those that are gone or damaged.
func CheckFiles(ctx context.Context, dataDir string, say func(line string)) error {
	st, err := open(Path(dataDir))
	if err != nil {
		return err
	}
	defer st.Close()
	found, err := artifacts.VerifyFiles(ctx, st, artifacts.PathIn(dataDir))
	if err != nil {
		return fmt.Errorf("artefacts in %q: %w", dataDir, err)
	}
	say("artefacts: " + found + "; all that are complete have their hash")
	return nil
}

func verifyAudit(ctx context.Context, st store.Store) (found string, err error) {
	if err := audit.Verify(ctx, st); err != nil {
		return "", err
	}
	chains, records := 0, uint64(0)
	err = st.View(ctx, func(v store.Snapshot) error {
		var bad error
		err := v.Scan(store.TableAuditHeads, nil, nil, func(_, value []byte) bool {
			head := &storagev1.AuditHead{}
			bad = proto.Unmarshal(value, head)
			chains++
			records += head.GetSequence()
			return bad == nil
		})
		if err == nil {
			err = bad
		}
		return err
	})
	return fmt.Sprintf("%d chains of %d records", chains, records), err
}
