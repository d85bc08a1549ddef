package policy

import (
	"context"
	"slices"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// holds says whether a signal has one of a step's values. Agents tell each signal that a fault is made of as a piece of evidence of its name.
// What the fault itself does not tell, because a line of a log or a person has told of it, the states say that stand open beside it.
// A condition on what nobody has told of does not hold.
func (c *Case) holds(is *catalogue.Is) bool {
	if is == nil {
		return true
	}
	if values := valuesOf(c.fault, is.Signal); len(values) > 0 {
		return oneHolds(is, values)
	}
	for _, f := range c.beside {
		if oneHolds(is, valuesOf(f, is.Signal)) {
			return true
		}
	}
	return false
}

func oneHolds(is *catalogue.Is, values []string) bool {
	return slices.ContainsFunc(values, func(v string) bool { return slices.Contains(is.Values, v) })
}

// valuesOf is what a fault tells of a signal.
func valuesOf(f *fleetv1.Fault, signal string) (values []string) {
	for _, e := range f.GetEvidence() {
		if e.GetName() == signal {
			values = append(values, e.GetValue())
		}
	}
	return values
}

// asksBeside says whether a step has a condition on what the fault does not tell.
func (c *Case) asksBeside() bool {
	return c.entry != nil && slices.ContainsFunc(c.entry.Remedy.Steps, func(s catalogue.Step) bool {
		return s.If != nil && len(valuesOf(c.fault, s.If.Signal)) == 0
	})
}

// statesAt are the other states that stand open at a fault's terminal. Of those that are about something of several, only such as are about
// the same thing count.
func (e *Engine) statesAt(ctx context.Context, f *fleetv1.Fault) (states []*fleetv1.Fault, err error) {
	r := &fleetv1.ListFaultsRequest{Site: f.GetSite(), Terminal: f.GetTerminalId(), PageSize: pageSize}
	page, err := e.cfg.Faults.List(ctx, principal(serverName), r)
	if isNotFound(err) {
		return nil, nil
	}
	for _, o := range page.GetFaults() {
		same := o.GetSubject() == "" || f.GetSubject() == "" || o.GetSubject() == f.GetSubject()
		if o.GetId() != f.GetId() && o.GetTerminalId() == f.GetTerminalId() && o.GetConfidence() == agentv1.Confidence_CONFIDENCE_STATE && same {
			states = append(states, o)
		}
	}
	return states, err
}
