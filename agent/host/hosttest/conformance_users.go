package hosttest

import (
	"slices"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	active = actionv1.UserActivity_USER_ACTIVITY_ACTIVE
	idle   = actionv1.UserActivity_USER_ACTIVITY_IDLE
	away   = actionv1.UserActivity_USER_ACTIVITY_AWAY
	gone   = actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED
)

// testSessions holds for whoever is signed in, nobody included.
func testSessions(t *testing.T, f Fixture) {
	sessions, err := f.Host.Users.Sessions(within(t, longWait))
	if f.NoUsers {
		wantError(t, "Sessions", err, host.ErrNotSupported, "user sessions")
		return
	}
	if err != nil {
		t.Fatalf("Sessions = %v, want success", err)
	}
	for i, s := range sessions {
		if s.GetUser() == "" || s.GetActivity() == gone {
			t.Errorf("session %v, want a name and an activity", s)
		}
		if s.IdleSince != nil && (s.GetActivity() == active || s.GetIdleSince().AsTime().After(time.Now())) {
			t.Errorf("session %v: idle since is for people without input, and in the past", s)
		}
		if i > 0 && s.GetActivity() < sessions[i-1].GetActivity() {
			t.Errorf("sessions are %v, want the active ones first: a long list is cut", sessions)
		}
	}
}

func testSignedIn(t *testing.T, f Fixture) {
	for _, step := range []struct {
		user     string
		activity actionv1.UserActivity
		want     []string
	}{
		{"zoe", active, []string{"zoe ACTIVE"}},
		{"alice", away, []string{"zoe ACTIVE", "alice AWAY"}},
		{"zoe", idle, []string{"zoe IDLE", "alice AWAY"}},
		{"alice", active, []string{"alice ACTIVE", "zoe IDLE"}},
		{"alice", gone, []string{"zoe IDLE"}},
		{"nobody", gone, []string{"zoe IDLE"}},
	} {
		f.SignIn(t, step.user, step.activity)
		sessions, err := f.Host.Users.Sessions(t.Context())
		if err != nil {
			t.Fatalf("Sessions = %v, want success", err)
		}
		var got []string
		for _, s := range sessions {
			got = append(got, s.GetUser()+" "+s.GetActivity().String()[len("USER_ACTIVITY_"):])
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("after %q was set to %v: sessions are %q, want %q", step.user, step.activity, got, step.want)
		}
		testSessions(t, f)
	}
}
