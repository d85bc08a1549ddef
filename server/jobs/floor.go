package jobs

import (
	"context"
	"fmt"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// condition is what decides whether a terminal works for people: it is online, healthy, and in the hands of no job.
type condition struct {
	// faulty is true when its last facts show a fault.
	faulty bool
	// hands is how many tasks that take it out of use it is being served by.
	hands int
	works bool
	// groups are those that it counts in, one for each active job with a floor at its site.
	groups []*group
	// soaks is how many soaks watch it.
	soaks int
}

// watched reports whether it must be remembered although it has no tasks.
func (c *condition) watched() bool { return len(c.groups) > 0 || c.soaks > 0 }

// weigh works out whether the terminal works, and tells its groups when that has changed.
func (t *terminal) weigh() {
	works := t.online && !t.faulty && t.hands == 0
	if works == t.works {
		return
	}
	t.works = works
	for _, g := range t.groups {
		if works {
			g.working++
			g.wake()
		} else {
			g.working--
		}
	}
	if !works {
		t.unpark()
	}
}

// unpark queues the tasks again that had waited for the floor: a terminal that does not work cannot lower it.
func (t *terminal) unpark() {
	for _, o := range t.open {
		if o.parked {
			o.parked = false
			o.queue.push(o)
		}
	}
}

// group is the terminals that stand in for each other under a job's floor.
type group struct {
	site, value string
	floor       *fleetv1.Floor
	// working is how many of its members work now.
	working, members int
	// parked are tasks that would break the floor, the first to wait first. It may hold some that are parked no longer.
	parked []*task
}

type groupKey struct{ site, value string }

// allows reports whether the floor holds when the terminal is taken out.
func (g *group) allows(t *terminal) bool {
	return g == nil || !t.works || g.working-1 >= int(g.floor.GetWorking())
}

// park lets a task wait until more of the group work.
func (g *group) park(t *task) {
	t.queued, t.parked = true, true
	g.parked = append(g.parked, t)
}

// wake queues as many parked tasks again as the floor has room for.
func (g *group) wake() {
	for spare := g.working - int(g.floor.GetWorking()); spare > 0 && g.wakeOne(); spare-- {
	}
}

// wakeOne queues the next parked task again, if there is one.
func (g *group) wakeOne() bool {
	for len(g.parked) > 0 {
		t := g.parked[0]
		g.parked[0] = nil
		g.parked = g.parked[1:]
		if t.parked {
			t.parked = false
			t.queue.push(t)
			return true
		}
	}
	return false
}

func (g *group) dismiss() {
	for _, t := range g.parked {
		if t.parked {
			t.queued, t.parked = false, false
		}
	}
	g.parked = nil
}

func (g *group) words() string {
	where := groupKey{g.site, g.value}.words(g.floor)
	return fmt.Sprintf("%d of %s %s %s, and %d must", g.working, countOf(g.members, "terminal"), where, choose(g.working, "works", "work"), g.floor.GetWorking())
}

func (k groupKey) words(floor *fleetv1.Floor) string {
	if k.value == "" {
		return fmt.Sprintf("without %s at %s", floor.GetLabel(), k.site)
	}
	return fmt.Sprintf("with %s=%s at %s", floor.GetLabel(), k.value, k.site)
}

// tooHigh says for which groups of its targets the floor is so high that none of them is ever served while it works.
func (d *draft) tooHigh(members []member) (list []string) {
	size, of := make(map[groupKey]int), make(map[string]groupKey)
	for _, m := range members {
		size[m.groupKey]++
		of[m.id] = m.groupKey
	}
	floor := d.rollout.GetFloor()
	told := make(map[groupKey]bool)
	for _, t := range d.targets {
		key, counts := of[t.id()]
		if n := size[key]; counts && t.problem == "" && !told[key] && n <= int(floor.GetWorking()) {
			told[key] = true
			list = append(list, fmt.Sprintf("%s %s, and %d must keep working: none is served while it works",
				countOf(n, "user terminal"), key.words(floor), floor.GetWorking()))
		}
	}
	return list
}

// member is a user terminal of a site, with the value that decides about its group.
type member struct {
	id string
	groupKey
}

// members reads who counts under a job's floor: every user terminal of its sites. It is read when the job is created or taken
// up again, and stays so.
func (e *Engine) members(ctx context.Context, job *fleetv1.Job) ([]member, error) {
	floor := job.GetRollout().GetFloor()
	if floor == nil {
		return nil, nil
	}
	var all []member
	for _, name := range job.GetSites() {
		terminals, err := e.inv.AtSite(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("job %q: terminals of site %q: %w", job.GetId(), name, err)
		}
		for _, rec := range terminals {
			if t := rec.GetTerminal(); t.GetRole() == fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL {
				all = append(all, member{t.GetId(), groupKey{name, t.GetLabels()[floor.GetLabel()]}})
			}
		}
	}
	return all, nil
}

// formGroups puts the members into groups.
func (e *Engine) formGroups(j *job, all []member) map[string]*group {
	of := make(map[string]*group, len(all))
	for _, m := range all {
		g := j.groups[m.groupKey]
		if g == nil {
			g = &group{site: m.site, value: m.value, floor: j.plan.Floor()}
			j.groups[m.groupKey] = g
		}
		t := e.terminal(m.id)
		t.groups = append(t.groups, g)
		g.members++
		if t.works {
			g.working++
		}
		of[m.id] = g
	}
	j.members = all
	return of
}

// dissolveGroups forgets the groups of a job that is done.
func (e *Engine) dissolveGroups(j *job) {
	for _, m := range j.members {
		if t := e.terminals[m.id]; t != nil {
			t.groups = withoutGroup(t.groups, j.groups[m.groupKey])
			e.forget(t)
		}
	}
	j.members, j.groups = nil, nil
}

func withoutGroup(list []*group, g *group) []*group {
	var kept []*group
	for _, o := range list {
		if o != g {
			kept = append(kept, o)
		}
	}
	return kept
}
