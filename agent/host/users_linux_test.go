package host

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	godbus "github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestSessionOf: what logind says of a session (the properties as `loginctl show-session` has them), and what becomes of it.
func TestSessionOf(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	usec := func(ago time.Duration) uint64 { return uint64(now.Add(-ago).UnixMicro()) }
	atWork := func() map[string]any {
		return map[string]any{
			"Class": "user", "State": "active", "Active": true, "Remote": false, "LockedHint": false, "IdleHint": false, "IdleSinceHint": uint64(0),
		}
	}
	with := func(changes map[string]any) map[string]any {
		p := atWork()
		for name, value := range changes {
			p[name] = value
		}
		return p
	}
	session := func(activity actionv1.UserActivity) *actionv1.UserSession {
		return &actionv1.UserSession{User: "alice", Activity: activity}
	}
	const (
		active = actionv1.UserActivity_USER_ACTIVITY_ACTIVE
		away   = actionv1.UserActivity_USER_ACTIVITY_AWAY
	)
	quiet := session(actionv1.UserActivity_USER_ACTIVITY_IDLE)
	quiet.IdleSince = timestamppb.New(now.Add(-time.Minute))
	for name, c := range map[string]struct {
		properties map[string]any
		want       *actionv1.UserSession
	}{
		"at work":                         {atWork(), session(active)},
		"from afar":                       {with(map[string]any{"Remote": true}), session(active)},
		"no input for a minute":           {with(map[string]any{"IdleHint": true, "IdleSinceHint": usec(time.Minute)}), quiet},
		"no input for almost a minute":    {with(map[string]any{"IdleHint": true, "IdleSinceHint": usec(59 * time.Second)}), session(active)},
		"the clock was set back":          {with(map[string]any{"IdleHint": true, "IdleSinceHint": usec(-time.Hour)}), session(active)},
		"idle, and nobody says how long":  {with(map[string]any{"IdleHint": true}), session(active)},
		"locked":                          {with(map[string]any{"LockedHint": true}), session(away)},
		"another session is in front":     {with(map[string]any{"Active": false, "State": "online"}), session(away)},
		"signing out":                     {with(map[string]any{"Active": false, "State": "closing"}), nil},
		"sign-in screen":                  {with(map[string]any{"Class": "greeter"}), nil},
		"started by cron":                 {with(map[string]any{"Class": "background"}), nil},
		"service manager of a person":     {with(map[string]any{"Class": "manager"}), nil},
		"light session of newer systemds": {with(map[string]any{"Class": "user-light"}), session(active)},
	} {
		variants := map[string]godbus.Variant{}
		for key, value := range c.properties {
			variants[key] = godbus.MakeVariant(value)
		}
		if diff := cmp.Diff(c.want, sessionOf("alice", variants, now, time.Minute), protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := sessionOf("alice", nil, now, time.Minute); got != nil {
		t.Errorf("a session without a class is %v, want nobody's", got)
	}
}

// TestQuietAfter: the time is the configured one, and a minute unless it is.
func TestQuietAfter(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		configured, silent time.Duration
		active             bool
	}{{0, 59 * time.Second, true}, {0, time.Minute, false}, {10 * time.Second, 9 * time.Second, true}, {10 * time.Second, 10 * time.Second, false}, {time.Hour, 59 * time.Minute, true}} {
		got := lastInput("alice", now.Add(-c.silent), now, c.configured).GetActivity() == actionv1.UserActivity_USER_ACTIVITY_ACTIVE
		if got != c.active {
			t.Errorf("quiet after %v, silent for %v: active is %v, want %v", c.configured, c.silent, got, c.active)
		}
	}
}

// TestWhoKnowsOfNoSessions tells a machine without logind from one whose logind is in trouble: only on the latter may somebody
// be at work.
func TestWhoKnowsOfNoSessions(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"no logind":       {godbus.Error{Name: "org.freedesktop.DBus.Error.ServiceUnknown"}, true},
		"logind masked":   {godbus.Error{Name: "org.freedesktop.systemd1.UnitMasked"}, true},
		"no answer":       {godbus.Error{Name: "org.freedesktop.DBus.Error.NoReply"}, false},
		"no right to ask": {godbus.Error{Name: "org.freedesktop.DBus.Error.AccessDenied"}, false},
	} {
		if got := isBusError(c.err, "ServiceUnknown", "NameHasNoOwner", "UnitMasked", "NoSuchUnit"); got != c.want {
			t.Errorf("%s: nobody to ask is %v, want %v", name, got, c.want)
		}
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	if _, err := (logindUsers{}).Sessions(t.Context()); !errors.Is(err, ErrNotSupported) {
		t.Errorf("Sessions without a bus = %v, want %v", err, ErrNotSupported)
	}
	deaf := t.TempDir() + "/file"
	if err := os.WriteFile(deaf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+deaf)
	if _, err := (logindUsers{}).Sessions(t.Context()); err == nil || errors.Is(err, ErrNotSupported) {
		t.Errorf("Sessions of a bus in trouble = %v, want an error that is not %q: somebody may be at work", err, ErrNotSupported)
	}
}

func TestSortedSessionsAreBounded(t *testing.T) {
	var sessions []*actionv1.UserSession
	for i := range 100 {
		sessions = append(sessions, &actionv1.UserSession{User: fmt.Sprintf("user-%03d", i), Activity: actionv1.UserActivity_USER_ACTIVITY_AWAY})
	}
	sessions[99].Activity = actionv1.UserActivity_USER_ACTIVITY_ACTIVE
	got := SortedSessions(sessions)
	if len(got) != maxSessions || got[0].GetUser() != "user-099" {
		t.Errorf("%d sessions, the first is %v; want %d, the active one first: it must not be cut off", len(got), got[0], maxSessions)
	}
}
