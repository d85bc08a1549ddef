package jobs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/calendar"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// rollout draws one; half of them with nothing but a bound on how many run at once.
func (m *model) rollout() *fleetv1.Rollout {
	r := atOnce(rapid.Uint32Range(0, 2).Draw(m.rt, "slots"))
	r.MaxErrors, r.MaxConsecutive = rollout.Count(rapid.Uint32Range(1, 3).Draw(m.rt, "errors")), rapid.Uint32Range(0, 3).Draw(m.rt, "row")
	if rapid.Bool().Draw(m.rt, "plain") {
		return r
	}
	r.Waves = []*fleetv1.Amount{rollout.Count(rapid.Uint32Range(1, 2).Draw(m.rt, "canary"))}
	r.OnLimit = fleetv1.LimitAction(rapid.Int32Range(0, 3).Draw(m.rt, "on limit"))
	if rapid.Bool().Draw(m.rt, "per site") {
		r.MaxConcurrentPerSite = rollout.Count(1)
	}
	if rapid.Bool().Draw(m.rt, "floor") {
		r.Floor = &fleetv1.Floor{Label: "zone", Working: 1}
	}
	if rapid.Bool().Draw(m.rt, "soak") {
		r.Soak = durationpb.New(time.Minute)
	}
	return r
}

// order pauses or resumes one of the jobs, which may be done.
func (m *model) order(do func(*Engine, context.Context, *access.Principal, string, string) (*fleetv1.Job, error)) {
	if len(m.jobs) == 0 {
		return
	}
	job := m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(m.rt, "job")]
	done := m.now(job).GetState() == fleetv1.JobState_JOB_STATE_DONE
	if _, err := do(m.engine, m.t.Context(), admin(), job.GetId(), ""); err != nil && !done && !m.broken {
		m.rt.Fatal(err)
	}
}

// setSite opens lyon, closes it, or gives it a window that begins soon.
func (m *model) setSite() {
	soon := time.Now().Add(time.Duration(rapid.IntRange(-2, 2).Draw(m.rt, "minutes")) * time.Minute)
	window := &fleetv1.Window{Start: soon.UTC().Format("15:04"), End: soon.Add(3 * time.Minute).UTC().Format("15:04")}
	settings := map[string]*fleetv1.SiteSettings{"open": nil, "window": {Windows: []*fleetv1.Window{window}}}
	m.fleet.set("lyon", settings[rapid.SampledFrom([]string{"open", "window"}).Draw(m.rt, "settings")])
	if err := m.engine.SiteChanged(m.t.Context(), "lyon"); err != nil {
		m.rt.Fatal(err)
	}
}

func (m *model) now(job *fleetv1.Job) *fleetv1.Job {
	got, err := m.engine.Get(m.t.Context(), admin(), job.GetId())
	if err != nil {
		m.rt.Fatal(err)
	}
	return got
}

// mayStart holds for an agent that has heard all that the server has sent.
func (m *model) mayStart(a *agentModel, id string) {
	job, site := m.now(m.job(id)), m.fleet.terminals[a.index].GetTerminal().GetSite()
	c, err := calendar.New(m.fleet.settingsOf(site))
	if err != nil {
		m.rt.Fatal(err)
	}
	switch {
	case job.GetPause() != nil:
		m.rt.Fatalf("job %s starts on %s while it is paused: %v", id, terminalID(a.index), job.GetPause())
	case !job.GetDryRun() && !c.At(time.Now()).Open:
		m.rt.Fatalf("job %s starts on %s while %s is closed", id, terminalID(a.index), site)
	case m.approvers(job) < int(job.GetApproval().GetNeeded()):
		m.rt.Fatalf("job %s starts on %s with %d approvals that count, and needs %d: %v", id, terminalID(a.index), m.approvers(job),
			job.GetApproval().GetNeeded(), m.given[id])
	case job.GetApproval().GetNeeded() > 0 && a.approved[id] == "":
		m.rt.Fatalf("job %s starts on %s, and nobody said which plugin was approved", id, terminalID(a.index))
	case time.Now().Before(job.GetNotBefore().AsTime()):
		m.rt.Fatalf("job %s starts on %s before its time", id, terminalID(a.index))
	}
}

// check holds after every step.
func (m *model) check() {
	for _, job := range m.jobs {
		got := m.now(job)
		checkSum(m.t, got.GetCounts())
		m.checkCounts(got)
		m.checkRunning(got)
		m.checkLimit(got)
	}
	for attempt, n := range m.starts {
		if n > 1 {
			m.rt.Fatalf("attempt %s was started %d times", attempt, n)
		}
	}
	m.checkEngine()
}

func (m *model) checkRunning(job *fleetv1.Job) {
	running, ever := 0, 0
	sites := make(map[string]int)
	for _, a := range m.agents {
		if a.journal[job.GetId()] == started {
			running++
			sites[m.fleet.terminals[a.index].GetTerminal().GetSite()]++
		}
		if m.starts[fmt.Sprint(a.index, job.GetId())] > 0 {
			ever++
		}
	}
	// A task that the server has given up does not hold a slot for ever.
	given, p := int(job.GetCounts().GetUnknown()), job.GetProgress()
	if most := int(p.GetMaxConcurrent()); most > 0 && running > most+given {
		m.rt.Fatalf("%d tasks of job %s run at once, at most %d may", running, job.GetId(), most)
	}
	for site, n := range sites {
		if most := int(job.GetRollout().GetMaxConcurrentPerSite().GetCount()); most > 0 && n > most+given {
			m.rt.Fatalf("%d tasks of job %s run at once at %s, at most %d may", n, job.GetId(), site, most)
		}
	}
	if reach := int(p.GetReach()[p.GetWave()-1]); ever > reach {
		m.rt.Fatalf("%d tasks of job %s were started, and wave %d reaches %d", ever, job.GetId(), p.GetWave(), reach)
	}
}

// checkLimit wants a job with a limit reached to be paused or stopped as long as something of it could still start.
func (m *model) checkLimit(job *fleetv1.Job) {
	p, c := job.GetProgress(), job.GetCounts()
	reached := p.GetErrors() >= p.GetMaxErrors() && p.GetMaxErrors() > 0 || p.GetConsecutive() >= p.GetMaxConsecutive() && p.GetMaxConsecutive() > 0
	counts := job.GetRollout().GetOnLimit() == fleetv1.LimitAction_LIMIT_ACTION_CONTINUE
	expired := !time.Now().Before(job.GetExpires().AsTime())
	if reached && !counts && !expired && c.GetWaiting()+c.GetRunning() > 0 && job.GetPause() == nil && !job.GetCancelled() {
		m.rt.Fatalf("job %s has %d failures, %d in a row, and goes on: %v", job.GetId(), p.GetErrors(), p.GetConsecutive(), p)
	}
}

// rollouts is how the active jobs' rollouts stand, in words. Who is sick shows only after a while.
func (m *model) rollouts() string {
	var words []string
	for _, job := range m.jobs {
		got := m.now(job)
		p := got.GetProgress()
		words = append(words, fmt.Sprintf("%s wave %d, %d failures, %d in a row, paused by %q, until %s", job.GetId(), p.GetWave(),
			int(p.GetErrors())-len(p.GetSick()), p.GetConsecutive(), got.GetPause().GetBy(), p.GetSoakUntil().AsTime()))
	}
	return strings.Join(words, "\n")
}

// checkEngine compares what the engine counts as it goes with what it comes to, and wants the floor to hold where something
// was permitted since the last step.
func (m *model) checkEngine() {
	granted := m.takeGranted()
	err := m.engine.do(m.t.Context(), func() {
		for _, j := range m.engine.active {
			m.checkSpread(j)
			m.checkGroups(j, granted)
		}
		clear(m.worked)
		for id, t := range m.engine.terminals {
			m.worked[id] = t.works
		}
	})
	if err != nil {
		m.rt.Fatal(err)
	}
	if len(m.faults) > 0 {
		m.rt.Fatal(strings.Join(m.faults, "; "))
	}
}

// fault notes what is wrong, for the test's own goroutine to say.
func (m *model) fault(format string, args ...any) {
	m.faults = append(m.faults, fmt.Sprintf(format, args...))
}

// takeGranted are the terminals that were permitted something since it was asked last.
func (m *model) takeGranted() map[string]bool {
	granted := make(map[string]bool)
	m.wire.mu.Lock()
	defer m.wire.mu.Unlock()
	for id, sent := range m.wire.sent {
		for _, s := range sent[min(m.seen[id], len(sent)):] {
			if s.GetDispatch().GetPermitValidFor() != nil {
				granted[id] = true
			}
		}
		m.seen[id] = len(sent)
	}
	return granted
}

func (m *model) checkSpread(j *job) {
	slots, placed, ran, ready := 0, 0, 0, 0
	for _, t := range j.tasks {
		if t.slot {
			slots++
		}
		if t.placed {
			placed++
		}
		if t.placed && t.phase == done {
			ran++
		}
	}
	for _, q := range j.queues {
		ready += len(q.ready)
	}
	if slots != j.slots || placed != j.placed || ran != j.ran || ready != j.ready {
		m.fault("job %s counts %d slots, %d places, %d that ran and %d ready; they are %d, %d, %d and %d",
			j.id, j.slots, j.placed, j.ran, j.ready, slots, placed, ran, ready)
	}
}

func (m *model) checkGroups(j *job, granted map[string]bool) {
	working := make(map[groupKey]int)
	took, others := make(map[groupKey]bool), make(map[groupKey]bool)
	for _, member := range j.members {
		t := m.engine.terminals[member.id]
		if t.online && !t.faulty && t.hands == 0 {
			working[member.groupKey]++
		}
		for _, o := range t.open {
			took[member.groupKey] = took[member.groupKey] || o.job == j && o.slot && granted[member.id] && m.worked[member.id] && !t.faulty
			// A job without a floor takes what it likes.
			others[member.groupKey] = others[member.groupKey] || o.job.plan.Floor() == nil && o.slot && granted[member.id]
		}
	}
	for key, g := range j.groups {
		if g.working != working[key] {
			m.fault("job %s counts %d terminals of %v that work, and they are %d", j.id, g.working, key, working[key])
		}
		if took[key] && !others[key] && g.working < int(g.floor.GetWorking()) {
			m.fault("job %s took a terminal of %v out of use, and %d work where %d must", j.id, key, g.working, g.floor.GetWorking())
		}
	}
}
