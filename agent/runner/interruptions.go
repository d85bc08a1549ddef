package runner

import (
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// change is a moment from which a service was out of service, or back.
type change struct {
	service string
	at      time.Time
	up      bool
}

// interruptions works out from what was done, and from the moments at which a service was found down after it, what was
// out of service and for how long. A service that did not run before is not interrupted.
func interruptions(effects []*actionv1.RecordedEffect, undone []*actionv1.Undo, down []change, end time.Time) []*actionv1.Interruption {
	var changes []change
	for _, e := range effects {
		changes = append(changes, changesOf(e)...)
	}
	changes = append(changes, down...)
	for _, u := range undone {
		if s := u.GetState().GetService(); s != nil {
			changes = append(changes, changeFound(u, s)...)
		}
	}
	slices.SortStableFunc(changes, func(a, b change) int { return a.at.Compare(b.at) })
	return outages(changes, end)
}

// changesOf reads one effect: a service goes out of service when the effect that ends it begins, and is back when the effect
// after which it runs ends.
func changesOf(e *actionv1.RecordedEffect) []change {
	before, after := e.GetBefore().GetService(), e.GetAfter().GetService()
	if before == nil || !e.GetChanged() {
		return nil
	}
	var changes []change
	if before.GetStatus() != actionv1.ServiceStatus_SERVICE_STATUS_STOPPED {
		changes = append(changes, change{before.GetService(), e.GetStarted().AsTime(), false})
	}
	if after.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING {
		changes = append(changes, change{before.GetService(), e.GetFinished().AsTime(), true})
	}
	return changes
}

// changeFound reads what undoing found.
func changeFound(u *actionv1.Undo, s *actionv1.ServiceState) []change {
	at := u.GetFinished().AsTime()
	switch {
	case s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		return []change{{s.GetService(), at, true}}
	case u.GetOutcome() == actionv1.UndoOutcome_UNDO_OUTCOME_NOT_NEEDED:
		return nil
	}
	return []change{{s.GetService(), at, false}}
}

// outages pairs each first moment of being out with the next of being back.
func outages(changes []change, end time.Time) []*actionv1.Interruption {
	down := make(map[string]time.Time)
	var order []string
	var out []*actionv1.Interruption
	for _, c := range changes {
		since, isDown := down[c.service]
		switch {
		case !c.up && !isDown:
			down[c.service] = c.at
			order = append(order, c.service)
		case c.up && isDown:
			out = append(out, &actionv1.Interruption{Service: c.service, Duration: durationpb.New(c.at.Sub(since))})
			delete(down, c.service)
		}
	}
	for _, service := range order {
		if since, isDown := down[service]; isDown {
			out = append(out, &actionv1.Interruption{Service: service, Duration: durationpb.New(end.Sub(since)), Ongoing: true})
			delete(down, service)
		}
	}
	return out
}
