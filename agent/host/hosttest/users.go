package hosttest

import (
	"context"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/proto"
)

// SignIn has a person be signed in, or be doing something else; USER_ACTIVITY_UNSPECIFIED signs the person out. A new Memory
// has nobody signed in.
func (m *Memory) SignIn(user string, activity actionv1.UserActivity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var others []*actionv1.UserSession
	for _, s := range m.users {
		if s.GetUser() != user {
			others = append(others, s)
		}
	}
	if activity != actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED {
		others = append(others, &actionv1.UserSession{User: user, Activity: activity})
	}
	m.users = host.SortedSessions(others)
}

// HideUsers has the reading of sessions come to err; nil has it work again.
func (m *Memory) HideUsers(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.usersErr = err
}

// memoryUsers is Memory's host.Users.
type memoryUsers struct{ m *Memory }

// Sessions implements host.Users.
func (v memoryUsers) Sessions(context.Context) ([]*actionv1.UserSession, error) {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if v.m.usersErr != nil {
		return nil, v.m.usersErr
	}
	var sessions []*actionv1.UserSession
	for _, s := range v.m.users {
		sessions = append(sessions, proto.CloneOf(s))
	}
	return sessions, nil
}
