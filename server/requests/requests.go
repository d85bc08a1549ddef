// Package requests makes creation repeatable: it remembers what a request with a request_id created, in the transaction that
// created it, so that a caller who got no answer may ask again. Domain packages call it in their creating calls.
package requests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"regexp"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Retention is how long a request_id is remembered at least.
const Retention = 7 * 24 * time.Hour

// pruneChunk is how many requests one update forgets.
const pruneChunk = 50

var idPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Request is a creating call. The zero ID means that the caller does not want it remembered.
type Request struct {
	// Operator is who asks and Verb what for; the same id of another operator or verb is another request.
	Operator, Verb, ID string
	digest             []byte
}

// New reads the request_id of a message, which may be empty.
func New(operator, verb string, m proto.Message) (*Request, error) {
	bare := proto.Clone(m)
	field := bare.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil {
		return nil, errors.New("requests: message " + string(bare.ProtoReflect().Descriptor().FullName()) + " has no request_id")
	}
	r := &Request{Operator: operator, Verb: verb, ID: bare.ProtoReflect().Get(field).String()}
	if r.ID == "" {
		return r, nil
	}
	if !idPattern.MatchString(r.ID) {
		return nil, refusal.New(refusal.Invalid, "BAD_REQUEST_ID", "request id: must be 1 to 64 letters, digits, dots, dashes or underscores").At("request_id").
			Then("give one such as a ULID, or leave it out")
	}
	bare.ProtoReflect().Clear(field)
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	r.digest = sum[:]
	return r, nil
}

// Done returns what this request created earlier, or "" when it is new. The same id with other content is refused.
func (r *Request) Done(from store.Reader) (object string, err error) {
	if r.ID == "" {
		return "", nil
	}
	text, err := from.Get(store.TableRequests, r.key())
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	record := &storagev1.RequestRecord{}
	if err := proto.Unmarshal(text, record); err != nil {
		return "", err
	}
	if !bytes.Equal(record.GetDigest(), r.digest) {
		return "", refusal.New(refusal.Invalid, "REQUEST_ID_REUSED", "request id %q: was used for another request", r.ID).
			At("request_id").Then("use a new id for a new request")
	}
	return record.GetObject(), nil
}

// Remember notes what was created. It writes two keys.
func (r *Request) Remember(w store.Writer, now time.Time, object string) error {
	if r.ID == "" {
		return nil
	}
	text, err := proto.Marshal(&storagev1.RequestRecord{Object: object, Time: timestamppb.New(now), Digest: r.digest})
	if err != nil {
		return err
	}
	return errors.Join(
		w.Put(store.TableRequests, r.key(), text),
		w.Put(store.TableRequestTimes, store.RequestTimeKey(now.UnixNano(), r.key()), nil))
}

func (r *Request) key() []byte { return store.Key(r.Operator, r.Verb, r.ID) }

// Prune forgets requests that are older than Retention.
func Prune(ctx context.Context, st store.Store, now time.Time) error {
	before := store.Number(uint64(now.Add(-Retention).UnixNano()))
	for {
		var old [][]byte
		err := st.View(ctx, func(v store.Snapshot) error {
			return v.Scan(store.TableRequestTimes, nil, nil, func(key, _ []byte) bool {
				if bytes.Compare(key, before) >= 0 || len(old) == pruneChunk {
					return false
				}
				old = append(old, bytes.Clone(key))
				return true
			})
		})
		if err != nil || len(old) == 0 {
			return err
		}
		if err := st.Update(ctx, func(w store.Writer) error { return forget(w, old) }); err != nil {
			return err
		}
	}
}

func forget(w store.Writer, timeKeys [][]byte) error {
	var err error
	for _, key := range timeKeys {
		err = errors.Join(err,
			w.Delete(store.TableRequests, key[len(store.Number(0)):]),
			w.Delete(store.TableRequestTimes, key))
	}
	return err
}
