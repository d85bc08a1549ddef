package journal

import (
	"fmt"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/boltfile"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// TestJournalsOfEarlierVersionsAreTakenOver: an agent that is updated must not forget what it has run.
func TestJournalsOfEarlierVersionsAreTakenOver(t *testing.T) {
	for _, version := range []byte{1, 2} {
		t.Run(fmt.Sprint(version), func(t *testing.T) { testTakeover(t, version) })
	}
}

func testTakeover(t *testing.T, version byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	id := j.ID()
	_, _, err := j.Accept(task("j-1"), noon)
	must(t, err)
	must(t, j.db.Update(func(tx *bbolt.Tx) error {
		if version < 2 {
			must(t, tx.DeleteBucket(bucketArtifacts))
		}
		for _, name := range [][]byte{bucketLeases, bucketNews, bucketFaults, bucketBreakers} {
			must(t, tx.DeleteBucket(name))
		}
		for _, key := range [][]byte{keySequence, keyNews, keySent} {
			must(t, tx.Bucket(bucketMeta).Delete(key))
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, boltfile.SealFor(keyVersion, []byte{0, 0, 0, version}))
	}))
	must(t, j.Close())
	var told uint64
	for range 2 {
		j = open(t, path)
		if j.Sequence() == 0 || j.Sequence() < told {
			t.Errorf("opened with the sequence %d, want at least %d and not 0: the server would take it for a copy, or for one that does not count", j.Sequence(), told)
		}
		recs, err := j.OpenTasks()
		if err != nil || len(recs) != 1 || j.ID() != id {
			t.Fatalf("the journal holds %v, %v and has the id %q, want its task and the id %q", recs, err, j.ID(), id)
		}
		must(t, j.PutArtifact(&storagev1.JournalArtifact{File: "f", Reference: &actionv1.ArtifactReference{Kind: "output"}}))
		must(t, j.PutNews(&agentv1.News{Sequence: 1}, Beside{}))
		told = j.Sequence()
		must(t, j.Close())
	}
}

func TestArtifactsAreRememberedUntilTheyAreDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := open(t, path)
	for _, file := range []string{"b", "a"} {
		must(t, j.PutArtifact(&storagev1.JournalArtifact{File: file, Key: key("j-1"), Reference: &actionv1.ArtifactReference{Kind: "output", Size: 7}}))
	}
	must(t, j.Close())
	j = open(t, path)
	all, err := j.Artifacts()
	if err != nil || len(all) != 2 || all[0].GetFile() != "a" || all[0].GetReference().GetSize() != 7 || all[0].GetKey().GetJobId() != "j-1" {
		t.Errorf("after a restart %v, %v; want both records whole", all, err)
	}
	must(t, j.DropArtifact("a"))
	must(t, j.DropArtifact("a"))
	if all, err = j.Artifacts(); err != nil || len(all) != 1 || all[0].GetFile() != "b" {
		t.Errorf("after one was dropped %v, %v; want the other", all, err)
	}
	if err := j.PutArtifact(&storagev1.JournalArtifact{}); err == nil {
		t.Error("an artefact without a file was journalled: nobody could read or remove it")
	}
}
