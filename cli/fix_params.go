package cli

import (
	"errors"
	"strings"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// checkParams refuses parameters that no offered version of the action takes, before the server is asked. When some version
// takes them, the server refuses the terminals of the others.
func checkParams(offered *fleetv1.GetActionResponse, given map[string]string) error {
	var firstErr error
	for _, o := range offered.GetActions() {
		_, err := params.Resolve(o.GetAction(), given)
		if err == nil {
			return nil
		}
		if firstErr == nil {
			firstErr = err
		}
	}
	if firstErr == nil {
		return nil
	}
	name := offered.GetActions()[0].GetAction().GetName()
	e := exit.Errorf(exit.BadInput, "action %q: these parameters are refused; nothing was created", name)
	if bad, ok := errors.AsType[*params.Error](firstErr); ok {
		for _, p := range bad.Problems {
			e.Details = append(e.Details, problemWord(p))
		}
	}
	return e.Then("see `fleetctl describe action %s`", name)
}

// problemWord writes what is wrong with a parameter; a rule over several of them names them itself.
func problemWord(p params.Problem) string {
	if strings.HasPrefix(p.Reason, p.Param) {
		return p.Reason
	}
	return p.Param + " " + p.Reason
}
