package journal

import (
	"encoding/binary"
	"errors"
)

// version reads the version of the file's drawing.
func (j *Journal) version(tx tables) (uint32, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return 0, j.corrupt(`it has no "meta"`)
	}
	version, err := j.unseal(meta, keyVersion, "version")
	if err != nil {
		return 0, err
	}
	if len(version) != 4 {
		return 0, j.corrupt("its version is damaged")
	}
	return binary.BigEndian.Uint32(version), nil
}

// upgrade brings the file of an earlier version to this one, in one transaction. Any other file is left for check to judge.
func (j *Journal) upgrade() error {
	var found uint32
	err := j.view(func(tx tables) (err error) {
		found, err = j.version(tx)
		return err
	})
	if err != nil || found < 1 || found >= schemaVersion {
		return err
	}
	return j.rewrite(func(tx tables) error { return upgradeFrom(tx, found) })
}

func upgradeFrom(tx tables, found uint32) error {
	if found < 2 {
		// Version 2 has the spool's records.
		if _, err := tx.CreateBucket(bucketArtifacts); err != nil {
			return err
		}
	}
	// Version 3 has leases, faults and what is told of them, and counts what is written to it.
	for _, name := range [][]byte{bucketLeases, bucketNews, bucketFaults, bucketBreakers} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(
		noNews(meta),
		seal(meta, keySequence, binary.BigEndian.AppendUint64(nil, 1)),
		seal(meta, keyVersion, binary.BigEndian.AppendUint32(nil, schemaVersion)),
	)
}
