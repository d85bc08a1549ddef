package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// instancePattern is what IIS and Windows allow of an application's name, less what nobody uses.
const instancePattern = `[A-Za-z0-9][A-Za-z0-9._ -]*`

// instanceParam names the instance of NES where a host has several.
func instanceParam() *actionv1.Param {
	return sdk.Text("instance", "", "name of the NES instance (the folder that holds its three applications); needed when the host has several",
		100, instancePattern, "letters, digits, dots, dashes, underscores and blanks, beginning with a letter or digit")
}

// target is the NES instance that a run is about.
type target struct {
	apps     []neshost.Application
	warnings []string
}

// findInstance reads which applications a run is about, or refuses. A host whose web server names none is worked on by the agent's
// own folders, unless an instance was asked for.
func findInstance(ctx context.Context, r *sdk.Run) (target, *actionv1.Plan, error) {
	inv, err := r.IIS(ctx)
	if err != nil {
		return target{}, nil, err
	}
	if !inv.GetInstalled() {
		return target{}, noIIS(), nil
	}
	all := neshost.Applications(inv)
	return pickInstance(all, r.String("instance"))
}

func noIIS() *actionv1.Plan {
	return sdk.Refuse("this terminal has no IIS", "run this on the NES host; if it is one, install IIS there first")
}

func pickInstance(all []neshost.Application, wanted string) (target, *actionv1.Plan, error) {
	names := neshost.Instances(all)
	known := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, wanted) })
	switch {
	case wanted != "" && !known:
		return target{}, sdk.Refuse(fmt.Sprintf("there is no NES instance %q on this host; it has: %s", wanted, listOr(names, "none that IIS names")),
			"give the name of an instance that is there, or leave instance out"), nil
	case wanted == "" && len(names) > 1:
		return target{}, sdk.Refuse(fmt.Sprintf("this host has several NES instances: %s", strings.Join(names, ", ")),
			"say which one with instance=NAME; the agent's roots nes, nenrollment and authenticationservice must be its folders"), nil
	case wanted == "" && len(names) == 0:
		return target{warnings: []string{"IIS names no NES applications: the folders of the agent's configuration are used"}}, nil, nil
	case len(names) > 1:
		return target{apps: neshost.Of(all, wanted), warnings: []string{fmt.Sprintf(
			"this host has several NES instances; the agent's roots nes, nenrollment and authenticationservice must be the folders of %q", wanted)}}, nil, nil
	default:
		return target{apps: all}, nil, nil
	}
}

func listOr(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return strings.Join(names, ", ")
}
