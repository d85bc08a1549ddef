package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/store"
)

// Verify compares the records of secrets with their keys and their terminals. The error names the first that does not agree; found
// says in words how many there are.
func Verify(ctx context.Context, st store.Store) (found string, err error) {
	err = st.View(ctx, func(v store.Snapshot) error {
		n := 0
		var bad error
		err := v.Scan(store.TableSecrets, nil, nil, func(key, value []byte) bool {
			n++
			if bad = errors.Join(ctx.Err(), verifyRecord(v, key, value)); bad != nil {
				bad = fmt.Errorf("table %q: record %q: %w", store.TableSecrets, key, bad)
			}
			return bad == nil
		})
		found = fmt.Sprintf("%d secrets", n)
		return errors.Join(err, bad)
	})
	return found, err
}

func verifyRecord(v store.Snapshot, key, value []byte) error {
	s := &storagev1.SecretRecord{}
	if err := proto.Unmarshal(value, s); err != nil {
		return err
	}
	secret := s.GetSecret()
	switch want := store.SecretKey(secret.GetTerminalId(), secret.GetName()); {
	case !bytes.Equal(key, want):
		return fmt.Errorf("lies under the key of another; its own is %q", want)
	case secret.GetVersion() == 0 || s.GetSealed().GetVersion() != secret.GetVersion() || s.GetSealed().GetName() != secret.GetName():
		return fmt.Errorf("what is sealed is version %d of %q, and it is said to be version %d", s.GetSealed().GetVersion(), s.GetSealed().GetName(), secret.GetVersion())
	}
	_, err := terminal(v, secret.GetTerminalId())
	return err
}
