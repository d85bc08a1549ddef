package journal

import "encoding/binary"

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
	if err != nil || found != 1 {
		return err
	}
	// Version 2 has the spool's records.
	return j.write(func(tx tables) error {
		if _, err := tx.CreateBucket(bucketArtifacts); err != nil {
			return err
		}
		return seal(tx.Bucket(bucketMeta), keyVersion, binary.BigEndian.AppendUint32(nil, 2))
	})
}
