package host

import (
	"testing"
	"time"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
)

// TestSessionOfWindows: what WTSINFOEX says of a session, and what becomes of it.
func TestSessionOfWindows(t *testing.T) {
	const (
		active  = actionv1.UserActivity_USER_ACTIVITY_ACTIVE
		idle    = actionv1.UserActivity_USER_ACTIVITY_IDLE
		away    = actionv1.UserActivity_USER_ACTIVITY_AWAY
		nobody  = actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED
		second  = int64(10_000_000)
		now     = int64(134_000_000_000_000_000)
		unknown = -1
	)
	for name, c := range map[string]struct {
		user  string
		state uint32
		flags int32
		input int64
		want  actionv1.UserActivity
	}{
		"at work":                    {"alice", windows.WTSActive, 1, now - second, active},
		"no input for a minute":      {"alice", windows.WTSActive, 1, now - 60*second, idle},
		"locked":                     {"alice", windows.WTSActive, 0, now - second, away},
		"disconnected":               {"alice", windows.WTSDisconnected, 1, now - second, away},
		"lock unknown":               {"alice", windows.WTSActive, unknown, now - 61*second, idle},
		"console, input not told of": {"alice", windows.WTSActive, 1, 0, active},
		"sign-in screen":             {"", windows.WTSConnected, 1, now, nobody},
	} {
		info := wtsInfo{level: 1, state: c.state, flags: c.flags, lastInputTime: c.input, currentTime: now}
		for i, r := range c.user {
			info.user[i] = uint16(r)
		}
		got := info.session(time.Minute)
		if got.GetActivity() != c.want || got.GetUser() != c.user {
			t.Errorf("%s: %v, want %q, %v", name, got, c.user, c.want)
		}
	}
}

// TestLayoutOfWTSINFOEX: the places of the fields in wtsapi32.h's 64-bit layout.
func TestLayoutOfWTSINFOEX(t *testing.T) {
	var info wtsInfo
	if user, logon, size := unsafe.Offsetof(info.user), unsafe.Offsetof(info.logonTime), unsafe.Sizeof(info); user != 86 || logon != 168 || size != 232 {
		t.Errorf("user name at %d, logon time at %d, size %d; want 86, 168 and 232", user, logon, size)
	}
}
