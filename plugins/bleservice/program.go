package bleservice

import (
	"fmt"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// NotApproved returns the refusal for a program that the agent would not run, nil for one that it would. It names the hash that the
// file has, so that a person can compare it and approve it.
func NotApproved(p *actionv1.ProgramState) *actionv1.Plan {
	switch {
	case !p.GetKnown():
		return sdk.Refuse(fmt.Sprintf("program %q is not on the allow-list of this terminal's agent", p.GetProgram()),
			"add it under programs in the agent's configuration (name, path, sha256), restart the agent, then run this again")
	case !p.GetExists():
		return sdk.Refuse(fmt.Sprintf("program %q is not there: no file %q", p.GetProgram(), p.GetPath()),
			"install its package on the terminal, or correct its path under programs in the agent's configuration")
	case !p.GetApproved():
		return sdk.Refuse(fmt.Sprintf("program %q is not approved: file %q has sha256 %s", p.GetProgram(), p.GetPath(), p.GetSha256()),
			"compare that hash with the vendor's; if it is right, add it to the program's sha256 list under programs in the agent's configuration")
	}
	return nil
}
