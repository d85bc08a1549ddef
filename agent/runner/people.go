package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

const (
	// lookEvery is the time between two looks at who is signed in while a task waits for a quiet moment.
	lookEvery = 3 * time.Second
	// lookHolds is how long a look is believed by a task that is about to start.
	lookHolds = time.Second
	// lookPatience bounds one look.
	lookPatience = 3 * time.Second
)

// presence is what was last seen of the people at this machine.
type presence struct {
	// looking says that a look is under way; wanted that one is to be made.
	looking, wanted bool
	// began and at are the beginning and the end of the last look, zero before the first.
	began, at time.Time
	// busy is why a task must wait: who is active, or why nobody can tell. Empty when nobody is.
	busy string
}

// waitsForQuiet says whether an entry is a task that must not start while a person is active. A dry run disturbs nobody.
func (e *entry) waitsForQuiet() bool {
	return e.needsPermit && e.task.GetWaitWhileInUse() && !e.task.GetDryRun()
}

// disturbs says whether an entry whose locks are free would disturb somebody, and notes who. It asks for a look when there is
// none since the locks are free, or the last one is too old to say.
func (r *Runner) disturbs(e *entry, now time.Time) bool {
	if e.free.IsZero() {
		e.free = now
	}
	p := &r.presence
	age := now.Sub(p.at)
	if !p.began.Before(e.free) && age <= lookHolds && p.busy == "" {
		return false
	}
	p.wanted = p.at.IsZero() || p.busy == "" || age >= lookEvery
	what := p.busy
	if what == "" {
		what = "it is not known yet whether somebody is signed in"
	}
	e.blocked = obstacle{agentv1.HoldReason_HOLD_REASON_IN_USE, what}
	return true
}

// takeLook says whether a look is to be made now, and notes that it is.
func (r *Runner) takeLook() bool {
	look := r.presence.wanted && !r.presence.looking
	r.presence.wanted = false
	r.presence.looking = r.presence.looking || look
	return look
}

// untilLook returns how long until the machine is looked at again for an entry.
func (r *Runner) untilLook(e *entry, now time.Time) time.Duration {
	if e.blocked.reason != agentv1.HoldReason_HOLD_REASON_IN_USE || r.presence.looking {
		return idle
	}
	return r.presence.at.Add(lookEvery).Sub(now)
}

// look finds out whether a person is active, and has the waiting tasks judged by it.
func (r *Runner) look(ctx context.Context) {
	began := time.Now()
	busy := busyWith(r.sessions(ctx))
	r.mu.Lock()
	r.presence = presence{began: began, at: time.Now(), busy: busy}
	r.mu.Unlock()
	r.poke()
}

// sessions reads who is signed in.
func (r *Runner) sessions(ctx context.Context) ([]*actionv1.UserSession, error) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	return contained(func() ([]*actionv1.UserSession, error) { return r.host.Users.Sessions(ctx) })
}

// busyWith says who is active. When nobody can tell, somebody may be; a machine that has nobody to ask never says so, and a task
// would wait on it for ever.
func busyWith(sessions []*actionv1.UserSession, err error) string {
	if err != nil && !errors.Is(err, host.ErrNotSupported) {
		return "cannot tell whether somebody is signed in: " + clip(err.Error(), maxName)
	}
	var who string
	others := -1
	for _, s := range sessions {
		if s.GetActivity() != actionv1.UserActivity_USER_ACTIVITY_IDLE && s.GetActivity() != actionv1.UserActivity_USER_ACTIVITY_AWAY {
			others++
			if who == "" {
				who = s.GetUser()
			}
		}
	}
	switch {
	case others < 0:
		return ""
	case others == 0:
		return fmt.Sprintf("in use by %s, active", who)
	}
	return fmt.Sprintf("in use by %s and %d more, active", who, others)
}

// seeUsers keeps for the result who is signed in while the run is planned.
func (c *course) seeUsers(ctx context.Context) {
	sessions, err := c.r.sessions(ctx)
	if err != nil {
		c.result.saw("signed in", "not known: "+err.Error())
		return
	}
	c.result.users = sessions
}
