package jobs

import (
	"slices"
	"time"
)

const (
	// awayPatience is how long a terminal that was served may be offline in a soak before that counts against the job: a line
	// that is cut for a moment, and a restart of the server, say nothing about the terminal.
	awayPatience = time.Minute
	// maxSick is how many sick terminals are named.
	maxSick = 20
)

// soak is the time after a wave in which the health of the terminals that were served well is watched.
type soak struct {
	until time.Time
	// served are watched; sick are those of them that are offline or unhealthy.
	served map[*terminal]*task
	sick   []*task
}

// ill are the sick ones; none when there is no soak.
func (s *soak) ill() []*task {
	if s == nil {
		return nil
	}
	return s.sick
}

// leave watches those no longer that somebody has forgiven.
func (s *soak) leave(unwatched []uint32) {
	if s == nil {
		return
	}
	for term, t := range s.served {
		if slices.Contains(unwatched, t.index) {
			s.drop(term)
		}
	}
	s.sick = nil
}

func (s *soak) drop(t *terminal) {
	delete(s.served, t)
	t.soaks--
}

// watchServed begins a soak, or takes it up again.
func (e *Engine) watchServed(j *job, until time.Time) {
	j.soak = &soak{until: until, served: make(map[*terminal]*task)}
	for _, t := range j.tasks {
		if _, gone := e.retired[t.terminalID]; gone || t.phase != done || !isSuccess(t.status) {
			continue
		}
		t.terminal = e.terminal(t.terminalID)
		t.terminal.soaks++
		j.soak.served[t.terminal] = t
	}
	j.soak.leave(j.rec.GetUnwatched())
	e.soaking = append(e.soaking, j)
	j.lookNoLaterThan(e.now())
}

// endSoak watches nobody any more.
func (e *Engine) endSoak(j *job) {
	if j.soak == nil {
		return
	}
	for term := range j.soak.served {
		j.soak.drop(term)
		e.forget(term)
	}
	j.soak = nil
	e.soaking = slices.DeleteFunc(e.soaking, func(o *job) bool { return o == j })
}

// leaveSoaks watches a terminal no longer that was decommissioned: where it is gone to says nothing about the job.
func (e *Engine) leaveSoaks(t *terminal) {
	for _, j := range e.soaking {
		if j.soak.served[t] != nil {
			j.soak.drop(t)
			j.lookNoLaterThan(e.now())
		}
	}
}

// conditionChanged tells the soaks that watch a terminal.
func (e *Engine) conditionChanged(t *terminal) {
	t.weigh()
	if t.soaks == 0 {
		return
	}
	for _, j := range e.soaking {
		if j.soak.served[t] != nil {
			j.lookNoLaterThan(e.now())
		}
	}
}

// lookAtSoak finds who is sick, stops the job when they are too many, and ends the soak when its time is over and nobody's
// condition is in doubt.
func (e *Engine) lookAtSoak(j *job, now time.Time) {
	if j.soak == nil {
		return
	}
	doubt := e.findSick(j, now)
	e.judge(j)
	switch {
	case j.soak == nil || j.shut(now) != byNothing:
	case now.Before(j.soak.until):
		j.lookNoLaterThan(j.soak.until)
	case !doubt:
		e.nextWave(j)
		e.advance(j)
	}
}

// findSick works out who is sick. In doubt are those who went offline a short time ago.
func (e *Engine) findSick(j *job, now time.Time) (doubt bool) {
	before := len(j.soak.sick)
	j.soak.sick = j.soak.sick[:0]
	for term, t := range j.soak.served {
		away := term.lostAt.Add(awayPatience)
		switch {
		case term.online && term.faulty, !term.online && !now.Before(away):
			j.soak.sick = append(j.soak.sick, t)
		case !term.online:
			doubt = true
			// To the second, so that a line that serves many is looked at a few times only.
			j.lookNoLaterThan(away.Truncate(time.Second).Add(time.Second))
		}
	}
	slices.SortFunc(j.soak.sick, func(a, b *task) int { return int(a.index) - int(b.index) })
	if len(j.soak.sick) != before {
		j.changedItself()
	}
	return doubt
}
