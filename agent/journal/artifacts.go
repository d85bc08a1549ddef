package journal

import (
	"errors"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// PutArtifact journals a file that waits in the spool until the server has it.
func (j *Journal) PutArtifact(a *storagev1.JournalArtifact) error {
	if a.GetFile() == "" {
		return errors.New("artefact without a file")
	}
	return j.write(func(tx tables) error {
		return put(tx.Bucket(bucketArtifacts), []byte(a.GetFile()), a)
	})
}

// DropArtifact forgets a file of the spool. One that is not there is no error.
func (j *Journal) DropArtifact(file string) error {
	return j.write(func(tx tables) error {
		return tx.Bucket(bucketArtifacts).Delete([]byte(file))
	})
}

// Artifacts returns what waits in the spool, by name of its file.
func (j *Journal) Artifacts() ([]*storagev1.JournalArtifact, error) {
	var all []*storagev1.JournalArtifact
	err := j.view(func(tx tables) error {
		b := tx.Bucket(bucketArtifacts)
		return b.ForEach(func(key, _ []byte) error {
			a := &storagev1.JournalArtifact{}
			if err := j.read(b, key, string(key), a); err != nil {
				return err
			}
			all = append(all, a)
			return nil
		})
	})
	return all, err
}
