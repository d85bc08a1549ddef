package link

import (
	"errors"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestEachSessionBeginsWithAWriteOfItsOwn: two hellos of an intact journal never have the same sequence, and without the write there is
// no session, because the server would take the journal for an older copy.
func TestEachSessionBeginsWithAWriteOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner, journal := newFleet(t), newFakeRunner(), &fakeJournal{sequence: 6}
		startLink(t, f, runner, func(l *Link) { l.config.Journal = journal })
		for want := uint64(7); want < 10; want++ {
			c := <-f.sessions
			if got := c.welcome(t).GetJournalSequence(); got != want {
				t.Errorf("hello with the journal's sequence %d, want %d", got, want)
			}
			runner.want(t, "started")
			if want == 9 {
				journal.broken = errors.New("disk full")
			}
			c.over <- status.Error(codes.Unavailable, "cut")
			runner.want(t, "ended")
		}
		c := <-f.sessions
		if m, err := c.stream.Recv(); err == nil {
			t.Errorf("a journal that cannot be written to still said %v", m)
		}
		c.over <- nil
	})
}
