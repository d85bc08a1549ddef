package certificates

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares what scans have found with the index over the ends and with the terminals. The error names the first that does not
// agree; found says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		scans, certificates, ends := 0, 0, 0
		var bad error
		err := v.Scan(store.TableCertificates, nil, nil, func(key, value []byte) bool {
			rec := &storagev1.CertificatesRecord{}
			if bad = errors.Join(ctx.Err(), proto.Unmarshal(value, rec)); bad == nil {
				bad = verifyRecord(v, string(key[min(1, len(key)):]), rec)
			}
			if bad != nil {
				bad = fmt.Errorf("table %q: record %q: %w", store.TableCertificates, key, bad)
			}
			scans, certificates = scans+1, certificates+len(rec.GetReport().GetCertificates())
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
		err = v.Scan(store.TableCertificateEnds, nil, nil, func(_, _ []byte) bool { ends++; return true })
		if err == nil && ends != scans {
			err = fmt.Errorf("table %q: holds %d records, and %d belong there", store.TableCertificateEnds, ends, scans)
		}
		found = fmt.Sprintf("%d certificates on %d terminals", certificates, scans)
		return err
	})
	return found, err
}

func verifyRecord(v store.Snapshot, id string, rec *storagev1.CertificatesRecord) error {
	if t, err := terminal(v, id); err != nil || t == nil {
		return errors.Join(err, fmt.Errorf("there is no terminal %q", id))
	}
	if _, err := v.Get(store.TableCertificateEnds, store.CertificateEndKey(firstEnd(rec), id)); err != nil {
		return fmt.Errorf("its first end in table %q: %w", store.TableCertificateEnds, err)
	}
	return nil
}
