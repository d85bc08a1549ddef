// Package rollout is the arithmetic of how a job spreads over its targets: which defaults apply to what was asked for, whether
// that makes sense, and which numbers it comes to. It is pure; server/jobs has it check a job's rollout and goes by its plan.
package rollout

import (
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// The defaults.
const (
	defaultCanary      = 1
	defaultConcurrent  = 10 // percent
	defaultErrors      = 20 // percent
	defaultConsecutive = 3
	// few is the greatest number of targets that need no bound on how many run at once.
	few = 5
)

// Resolve checks what was asked for and fills in what is left unset. Servable is how many targets are not refused from the
// start. A job that changes nothing is not careful: it gets no defaults, and what stays unset in the answer does not apply. The
// error is a refusal that names the field under spec.rollout.
func Resolve(asked *fleetv1.Rollout, servable int, careful bool) (*fleetv1.Rollout, error) {
	if err := check(asked); err != nil {
		return nil, err
	}
	r := &fleetv1.Rollout{}
	if asked != nil {
		r = proto.CloneOf(asked)
	}
	if careful {
		fillCareful(r, servable)
	}
	if last := len(r.GetWaves()) - 1; last < 0 || r.GetWaves()[last].GetPercent() != 100 {
		r.Waves = append(r.Waves, Percent(100))
	}
	if r.GetOnLimit() == fleetv1.LimitAction_LIMIT_ACTION_UNSPECIFIED {
		r.OnLimit = fleetv1.LimitAction_LIMIT_ACTION_PAUSE
	}
	if r.GetSoak().AsDuration() == 0 {
		r.Soak = nil
	}
	return r, nil
}

func fillCareful(r *fleetv1.Rollout, servable int) {
	if len(r.GetWaves()) == 0 {
		r.Waves = []*fleetv1.Amount{Count(defaultCanary)}
	}
	if r.GetMaxConcurrent() == nil {
		r.MaxConcurrent = Percent(defaultConcurrent)
		if servable <= few {
			r.MaxConcurrent = Percent(100)
		}
	}
	if r.GetMaxErrors() == nil {
		r.MaxErrors = Percent(defaultErrors)
	}
	if r.GetMaxConsecutive() == 0 {
		r.MaxConsecutive = defaultConsecutive
	}
}

// Percent makes a share.
func Percent(p uint32) *fleetv1.Amount {
	return &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: p}}
}

// Count makes a plain number.
func Count(n uint32) *fleetv1.Amount { return &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: n}} }

// AllAtOnce is a rollout without waves and with no bound on how many run at once.
func AllAtOnce() *fleetv1.Rollout {
	return &fleetv1.Rollout{Waves: []*fleetv1.Amount{Percent(100)}, MaxConcurrent: Percent(100)}
}
