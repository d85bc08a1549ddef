package host

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"golang.org/x/sys/windows"
)

// wtsUsers asks Windows' session manager who is signed in (Remote Desktop Services API, which knows the console too).
type wtsUsers struct {
	quietAfter time.Duration
}

// Sessions implements Users. Session 0 is that of services and no person's; a session without a user is a sign-in screen.
func (u wtsUsers) Sessions(context.Context) ([]*actionv1.UserSession, error) {
	listed, err := wtsSessions()
	if err != nil {
		return nil, wtsError(err)
	}
	var sessions []*actionv1.UserSession
	for _, id := range listed {
		info, err := wtsQuery(id)
		switch {
		case errors.Is(err, windows.ERROR_FILE_NOT_FOUND), errors.Is(err, windows.ERROR_CTX_WINSTATION_NOT_FOUND):
			continue // it has just ended
		case err != nil:
			return nil, wtsError(fmt.Errorf("session %d: %w", id, err))
		}
		if s := info.session(u.quietAfter); s != nil {
			sessions = append(sessions, s)
		}
	}
	return SortedSessions(sessions), nil
}

func wtsError(err error) error {
	if errors.Is(err, windows.ERROR_CALL_NOT_IMPLEMENTED) || errors.Is(err, windows.ERROR_PROC_NOT_FOUND) {
		return fmt.Errorf("user sessions: this Windows does not tell them: %w", ErrNotSupported)
	}
	return fmt.Errorf("user sessions: %w", err)
}

// wtsSessions returns the ids of all sessions but that of services (WTSEnumerateSessionsW).
func wtsSessions() ([]uint32, error) {
	var first *windows.WTS_SESSION_INFO
	var count uint32
	if err := windows.WTSEnumerateSessions(0, 0, 1, &first, &count); err != nil {
		return nil, err
	}
	defer windows.WTSFreeMemory(uintptr(unsafe.Pointer(first))) //nolint:gosec // memory of the API's own
	var ids []uint32
	for _, s := range unsafe.Slice(first, count) {
		if s.SessionID != 0 {
			ids = append(ids, s.SessionID)
		}
	}
	return ids, nil
}

// wtsInfo is WTSINFOEXW with its only level, 1 (wtsapi32.h). Times are in units of 100 ns since 1601.
type wtsInfo struct {
	level          uint32
	_              uint32
	sessionID      uint32
	state          uint32
	flags          int32
	station        [33]uint16
	user           [21]uint16
	domain         [18]uint16
	logonTime      int64
	connectTime    int64
	disconnectTime int64
	lastInputTime  int64
	currentTime    int64
	_              [6]uint32
}

// wtsQuery reads one session (WTSQuerySessionInformationW, class WTSSessionInfoEx).
func wtsQuery(id uint32) (wtsInfo, error) {
	const classSessionInfoEx = 25
	proc := windows.NewLazySystemDLL("wtsapi32.dll").NewProc("WTSQuerySessionInformationW")
	if err := proc.Find(); err != nil {
		return wtsInfo{}, windows.ERROR_PROC_NOT_FOUND
	}
	var answer *wtsInfo
	var size uint32
	done, _, err := proc.Call(0, uintptr(id), classSessionInfoEx,
		uintptr(unsafe.Pointer(&answer)), uintptr(unsafe.Pointer(&size))) //nolint:gosec // variables of this frame
	if done == 0 {
		return wtsInfo{}, fmt.Errorf("this Windows does not tell of it: %w", err)
	}
	defer windows.WTSFreeMemory(uintptr(unsafe.Pointer(answer))) //nolint:gosec // memory of the API's own
	if answer == nil || uintptr(size) < unsafe.Sizeof(*answer) || answer.level != 1 {
		return wtsInfo{}, fmt.Errorf("the answer has %d bytes and another layout", size)
	}
	return *answer, nil
}

// session says what a person's session is like; nil when nobody is signed in to it. Windows does not always know the last input
// at the console; somebody is taken to be active then.
func (i wtsInfo) session(quietAfter time.Duration) *actionv1.UserSession {
	const locked = 0 // WTS_SESSIONSTATE_LOCK
	user := windows.UTF16ToString(i.user[:])
	idle := time.Duration(i.currentTime-i.lastInputTime) * 100
	switch {
	case user == "":
		return nil
	case i.state == windows.WTSDisconnected || i.flags == locked:
		return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_AWAY}
	case i.lastInputTime == 0:
		return &actionv1.UserSession{User: user, Activity: actionv1.UserActivity_USER_ACTIVITY_ACTIVE}
	}
	now := time.Now()
	return lastInput(user, now.Add(-idle), now, quietAfter)
}
