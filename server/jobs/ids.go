package jobs

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// idSource makes job ids: fixed width, sorted by time of creation, unguessable.
type idSource struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
}

func newIDSource() *idSource { return &idSource{entropy: ulid.Monotonic(rand.Reader, 0)} }

func (s *idSource) next(now time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := ulid.New(ulid.Timestamp(now), s.entropy)
	return id.String(), err
}

// validID keeps what is no id away from the store's keys.
func validID(id string) bool {
	_, err := ulid.ParseStrict(id)
	return err == nil
}
