// Package storetest is the conformance suite of the store interface, and stores for the tests of other packages.
package storetest

import (
	"path/filepath"
	"testing"

	"github.com/bandfleet/bandfleet/server/store"
)

// New opens an empty store in a temporary directory and closes it when the test ends.
func New(t testing.TB) *store.Bolt {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatalf("open an empty store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

// Run checks an implementation. open returns an empty store that the suite may close; the suite does not reopen it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for name, check := range map[string]func(*testing.T, store.Store){
		"reads what was written":        readsWhatWasWritten,
		"an update sees its writes":     seesItsOwnWrites,
		"values are copies":             valuesAreCopies,
		"scans are ordered":             scansAreOrdered,
		"scans keep to their bounds":    scansKeepToBounds,
		"a failed update is undone":     failedUpdateIsUndone,
		"a panic is contained":          panicIsContained,
		"failures do not spread":        failuresDoNotSpread,
		"updates are serial":            updatesAreSerial,
		"views are consistent":          viewsAreConsistent,
		"too many writes":               tooManyWrites,
		"bad keys and tables":           badKeysAndTables,
		"an ended context does nothing": endedContext,
		"watch tells of commits":        watchTellsOfCommits,
		"a slow watcher resyncs":        slowWatcherResyncs,
		"watch ends":                    watchEnds,
		"close writes what is queued":   closeWritesWhatIsQueued,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer s.Close()
			check(t, s)
		})
	}
}
