package host

import (
	"cmp"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// DefaultQuietAfter is how long after the last input a person counts as active.
	DefaultQuietAfter = time.Minute
	// LeastQuietAfter is the least that makes sense: somebody reads what the screen says.
	LeastQuietAfter = 10 * time.Second
	// MostQuietAfter is the most that makes sense: a task would never find a quiet moment in a shift.
	MostQuietAfter = time.Hour
	// maxSessions bounds what is told of a machine that very many people are signed in to. The active ones come first.
	maxSessions = 64
	// maxUserName bounds an account's name, in bytes.
	maxUserName = 256
)

// lastInput makes the session of a person whose last input is known. A moment ago, or in the future, is now.
func lastInput(user string, last, now time.Time, quietAfter time.Duration) *actionv1.UserSession {
	if quietAfter <= 0 {
		quietAfter = DefaultQuietAfter
	}
	if now.Sub(last) < quietAfter {
		return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_ACTIVE}
	}
	return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_IDLE, IdleSince: timestamppb.New(last)}
}

// SortedSessions orders sessions, the active ones first, then by name, and leaves out what is too much. Implementations of Users
// end with it.
func SortedSessions(sessions []*actionv1.UserSession) []*actionv1.UserSession {
	for _, s := range sessions {
		s.User = strings.ToValidUTF8(s.GetUser()[:min(len(s.GetUser()), maxUserName)], "")
	}
	slices.SortStableFunc(sessions, func(a, b *actionv1.UserSession) int {
		return cmp.Or(cmp.Compare(a.GetActivity(), b.GetActivity()), cmp.Compare(a.GetUser(), b.GetUser()))
	})
	return sessions[:min(len(sessions), maxSessions)]
}
