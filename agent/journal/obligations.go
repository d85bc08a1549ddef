package journal

import (
	"errors"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// PutObligation journals something that must still be put right, or what became of trying. There is one for each resource.
func (j *Journal) PutObligation(o *storagev1.Obligation) error {
	if o.GetResource() == "" {
		return errors.New("obligation without a resource")
	}
	return j.write(func(tx tables) error {
		return put(tx.Bucket(bucketObligations), []byte(o.GetResource()), o)
	})
}

// DropObligation forgets what was put right. A resource without an obligation is no error.
func (j *Journal) DropObligation(resource string) error {
	return j.write(func(tx tables) error {
		return tx.Bucket(bucketObligations).Delete([]byte(resource))
	})
}

// Obligations returns what must still be put right, by resource.
func (j *Journal) Obligations() ([]*storagev1.Obligation, error) {
	var all []*storagev1.Obligation
	err := j.view(func(tx tables) error {
		b := tx.Bucket(bucketObligations)
		return b.ForEach(func(key, _ []byte) error {
			o := &storagev1.Obligation{}
			if err := j.read(b, key, string(key), o); err != nil {
				return err
			}
			all = append(all, o)
			return nil
		})
	})
	return all, err
}
