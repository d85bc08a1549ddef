package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	godbus "github.com/godbus/dbus/v5"
)

const (
	logind        = "org.freedesktop.login1"
	logindPath    = "/org/freedesktop/login1"
	logindSession = logind + ".Session"
)

// logindUsers asks systemd-logind who is signed in (org.freedesktop.login1(5)).
type logindUsers struct {
	quietAfter time.Duration
}

// Sessions implements Users. A machine without a system bus, or without logind on it, knows of no sessions: ErrNotSupported.
func (u logindUsers) Sessions(ctx context.Context) ([]*actionv1.UserSession, error) {
	sessions, err := u.read(ctx)
	switch {
	case err == nil:
		return SortedSessions(sessions), nil
	case errors.Is(err, fs.ErrNotExist), isBusError(err, "ServiceUnknown", "NameHasNoOwner", "UnitMasked", "NoSuchUnit"):
		return nil, fmt.Errorf("user sessions: systemd-logind does not run here: %w", ErrNotSupported)
	}
	return nil, fmt.Errorf("user sessions: systemd-logind does not answer: %w", whileWaiting(ctx, err))
}

// isBusError says whether the bus or systemd answered with one of its errors, by the last part of the error's name.
func isBusError(err error, names ...string) bool {
	answered, ok := errors.AsType[godbus.Error](err)
	if !ok {
		return false
	}
	for _, name := range names {
		if strings.HasSuffix(answered.Name, "."+name) {
			return true
		}
	}
	return false
}

func (u logindUsers) read(ctx context.Context) ([]*actionv1.UserSession, error) {
	conn, err := godbus.ConnectSystemBus(godbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing was written
	var listed []logindEntry
	call := conn.Object(logind, logindPath).CallWithContext(ctx, logind+".Manager.ListSessions", 0)
	if err := call.Store(&listed); err != nil {
		return nil, err
	}
	var sessions []*actionv1.UserSession
	for _, entry := range listed {
		var properties map[string]godbus.Variant
		call := conn.Object(logind, entry.Path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.GetAll", 0, logindSession)
		switch err := call.Store(&properties); {
		case isBusError(err, "UnknownObject", "NoSuchSession"):
			continue // it has just ended
		case err != nil:
			return nil, err
		}
		if s := sessionOf(entry.User, properties, time.Now(), u.quietAfter); s != nil {
			sessions = append(sessions, s)
		}
	}
	return sessions, nil
}

// logindEntry is a line of ListSessions.
type logindEntry struct {
	ID   string
	UID  uint32
	User string
	Seat string
	Path godbus.ObjectPath
}

// sessionOf reads what logind says of a session; nil when it is no person's (a greeter, a service), or has been signed out of.
// A session whose idleness nobody reports to logind counts as active.
func sessionOf(user string, properties map[string]godbus.Variant, now time.Time, quietAfter time.Duration) *actionv1.UserSession {
	text := func(name string) string { s, _ := properties[name].Value().(string); return s }
	is := func(name string) bool { b, _ := properties[name].Value().(bool); return b }
	since, _ := properties["IdleSinceHint"].Value().(uint64)
	switch {
	case !strings.HasPrefix(text("Class"), "user") || text("State") == "closing":
		return nil
	case is("LockedHint") || !is("Active"):
		return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_AWAY}
	case is("IdleHint") && since > 0:
		return lastInput(user, time.UnixMicro(int64(since)), now, quietAfter)
	}
	return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_ACTIVE}
}
