package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	usersFile   = "users.json"
	maxUserName = 64
	maxUsers    = 16
)

// userRecord is a person who is signed in.
type userRecord struct {
	Activity string `json:"activity"`
	// Since is when this activity was set.
	Since time.Time `json:"since"`
}

// activityOf reads an activity as `fleet-agent sim set` writes it. The empty one has nobody signed in.
func activityOf(text string) (actionv1.UserActivity, error) {
	switch text {
	case "active":
		return actionv1.UserActivity_USER_ACTIVITY_ACTIVE, nil
	case "idle":
		return actionv1.UserActivity_USER_ACTIVITY_IDLE, nil
	case "away":
		return actionv1.UserActivity_USER_ACTIVITY_AWAY, nil
	case "none":
		return actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED, nil
	}
	return 0, fmt.Errorf("%q is no activity: use active, idle, away or none", text)
}

// signedIn reads who is signed in, by name. A terminal that was made before there were users has none.
func (t *terminal) signedIn() (map[string]userRecord, error) {
	records := map[string]userRecord{}
	err := readJSON(filepath.Join(t.dir, usersFile), &records)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return records, err
}

// signIn has a person be signed in and do something, or be gone.
func (t *terminal) signIn(ctx context.Context, user, text string) error {
	activity, err := activityOf(text)
	if err != nil {
		return err
	}
	if user == "" || len(user) > maxUserName || strings.ContainsFunc(user, func(r rune) bool { return r < ' ' }) {
		return fmt.Errorf("want a name of 1 to %d bytes without control characters", maxUserName)
	}
	return t.exclusively(ctx, func() error {
		records, err := t.signedIn()
		if err != nil {
			return err
		}
		delete(records, user)
		if len(records) == maxUsers {
			return fmt.Errorf("%d people are signed in already: set one to none", maxUsers)
		}
		if activity != actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED {
			records[user] = userRecord{text, time.Now()}
		}
		return writeJSON(filepath.Join(t.dir, usersFile), records)
	})
}

// users is a simulated terminal's host.Users.
type users struct{ *terminal }

// Sessions implements host.Users.
func (v users) Sessions(context.Context) ([]*actionv1.UserSession, error) {
	records, err := v.signedIn()
	if err != nil {
		return nil, fmt.Errorf("user sessions: %w", err)
	}
	var sessions []*actionv1.UserSession
	for _, name := range slices.Sorted(maps.Keys(records)) {
		activity, err := activityOf(records[name].Activity)
		if err != nil {
			return nil, fmt.Errorf("user sessions: user %q: %w", name, err)
		}
		s := &actionv1.UserSession{User: name, Activity: activity}
		if activity == actionv1.UserActivity_USER_ACTIVITY_IDLE {
			s.IdleSince = timestamppb.New(records[name].Since)
		}
		sessions = append(sessions, s)
	}
	return host.SortedSessions(sessions), nil
}
