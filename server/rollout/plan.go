package rollout

import (
	"time"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Plan is a resolved rollout in numbers of terminals. It is never changed.
type Plan struct {
	// Reach is how many terminals each wave reaches together with those before it. It grows, and its last is all.
	Reach []int
	// MaxConcurrent is how many run at once at most; 0 means any number.
	MaxConcurrent int
	// Soak is how long the health of those served is watched after each wave but the last.
	Soak time.Duration

	rollout *fleetv1.Rollout
}

// NewPlan works out the numbers of a rollout that Resolve has made.
func NewPlan(r *fleetv1.Rollout, servable int) *Plan {
	return &Plan{
		Reach: reach(r.GetWaves(), servable), MaxConcurrent: Share(r.GetMaxConcurrent(), servable),
		Soak: r.GetSoak().AsDuration(), rollout: r,
	}
}

// reach leaves out waves that come to no more terminals than the one before: with few targets 1 and 5 % may be the same.
func reach(waves []*fleetv1.Amount, servable int) []int {
	var out []int
	last := 0
	for _, w := range waves {
		if n := min(Share(w, servable), servable); n > last {
			out, last = append(out, n), n
		}
	}
	if last < servable || len(out) == 0 {
		out = append(out, servable)
	}
	return out
}

// Share is what an amount comes to: its number, or the share of so many, rounded up and at least 1. An amount that is not set
// is 0.
func Share(a *fleetv1.Amount, of int) int {
	switch a := a.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		return int(a.Count)
	case *fleetv1.Amount_Percent:
		return max(1, (of*int(a.Percent)+99)/100)
	default:
		return 0
	}
}

// IsLast reports whether no wave follows. Waves count from 1.
func (p *Plan) IsLast(wave int) bool { return wave >= len(p.Reach) }

// Reaches is how many terminals a wave reaches together with those before it.
func (p *Plan) Reaches(wave int) int { return p.Reach[min(max(wave, 1), len(p.Reach))-1] }

// MaxErrors is how many failures are the limit in a wave; 0 means that there is none.
func (p *Plan) MaxErrors(wave int) int { return Share(p.rollout.GetMaxErrors(), p.Reaches(wave)) }

// MaxConsecutive is how many failures one after the other are the limit; 0 means that there is none.
func (p *Plan) MaxConsecutive() int { return int(p.rollout.GetMaxConsecutive()) }

// MaxPerSite is how many run at once at most on a site where the job has so many servable targets; 0 means any number.
func (p *Plan) MaxPerSite(servable int) int {
	return Share(p.rollout.GetMaxConcurrentPerSite(), servable)
}

// Floor keeps terminals working; nil when none is asked for.
func (p *Plan) Floor() *fleetv1.Floor { return p.rollout.GetFloor() }

// OnLimit is what happens when a limit is reached.
func (p *Plan) OnLimit() fleetv1.LimitAction { return p.rollout.GetOnLimit() }

// AtLimit reports whether failures have reached a limit of a wave.
func (p *Plan) AtLimit(wave, errors, consecutive int) bool {
	most, row := p.MaxErrors(wave), p.MaxConsecutive()
	return most > 0 && errors >= most || row > 0 && consecutive >= row
}

// Progress is how far it is in numbers.
func (p *Plan) Progress(wave, errors, consecutive int) *fleetv1.RolloutProgress {
	out := &fleetv1.RolloutProgress{
		Wave: uint32(wave), Errors: uint32(errors), Consecutive: uint32(consecutive),
		MaxErrors: uint32(p.MaxErrors(wave)), MaxConsecutive: uint32(p.MaxConsecutive()), MaxConcurrent: uint32(p.MaxConcurrent),
	}
	for _, n := range p.Reach {
		out.Reach = append(out.Reach, uint32(n))
	}
	return out
}
