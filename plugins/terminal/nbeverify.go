package main

import (
	"context"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// expectation is what nbe.toml must be like in the end, beside what the recorded effects say.
type expectation struct {
	// wanted values by key, as TOML text; keys that must be present.
	wanted  map[string]string
	present []string
	// like is the file whose values it must have, save agent_url; nil for none.
	like *actionv1.ConfigState
	gone bool
}

// verifyNBE checks that nbe.toml is as the recorded effects left it and has the wanted values, and that the endpoint took it up.
func verifyNBE(ctx context.Context, r *sdk.VerifyRun, e expectation) (*actionv1.Verdict, error) {
	file, err := readTOML(ctx, &r.Run, bleservice.ConfigFile)
	if err != nil {
		return nil, err
	}
	r.Evidence("nbe.toml", "%s", describeFile(file))
	for _, c := range r.Effect(effectEdit).GetEffect().GetConfigEdit().GetChanges() {
		e.wanted[c.GetKey()] = c.GetAfter()
	}
	checks := append(checkFile(r, file, e), e.checkValues(file)...)
	fileHolds := bleservice.AllHold(checks)
	running, err := checkService(ctx, r)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, running...)...)
	v.NextStep = nbeNextStep(r, fileHolds, bleservice.AllHold(running))
	return v, nil
}

// checkFile checks that nbe.toml is there and readable, or gone, and after a copy alone that it is that copy.
func checkFile(r *sdk.VerifyRun, file *actionv1.ConfigState, e expectation) []*actionv1.Check {
	if e.gone {
		return []*actionv1.Check{sdk.Check("nbe.toml is gone", "no nbe.toml", describeFile(file), !file.GetExists())}
	}
	observed := describeFile(file)
	if file.GetMalformed() != "" {
		observed = file.GetMalformed()
	}
	checks := []*actionv1.Check{sdk.Check("nbe.toml can be read", "readable", observed, file.GetExists() && file.GetMalformed() == "")}
	copied := r.Effect(effectCopy).GetAfter().GetFile().GetSha256()
	if copied != "" && r.Effect(effectEdit) == nil {
		checks = append(checks, sdk.Check("nbe.toml is the copy", "sha256 "+copied, "sha256 "+file.GetSha256(), file.GetSha256() == copied))
	}
	return checks
}

func (e expectation) checkValues(file *actionv1.ConfigState) []*actionv1.Check {
	var checks []*actionv1.Check
	for _, key := range allKeys() {
		text, there := textOf(file, key)
		want, asked := e.wanted[key]
		switch {
		case asked:
			checks = append(checks, sdk.Check(key+" reads back", want, inWords(file, key), there && same(text, want)))
		case slices.Contains(e.present, key):
			checks = append(checks, sdk.Check(key+" is there", "a value", inWords(file, key), there))
		}
	}
	if e.like != nil {
		other := differing(file, e.like, e.wanted)
		checks = append(checks, sdk.Check("nbe.toml has the values of "+e.like.GetPath(), "no other value", orNone(other), len(other) == 0))
	}
	return checks
}

func orNone(keys []string) string {
	if len(keys) == 0 {
		return "no other value"
	}
	return "other: " + strings.Join(keys, ", ")
}

// checkService checks the endpoint when it was restarted, and the Nymi Agent's port when agent_url changed.
func checkService(ctx context.Context, r *sdk.VerifyRun) ([]*actionv1.Check, error) {
	if r.Effect(bleservice.EffectStart) == nil {
		return nil, nil
	}
	checks, state, err := bleservice.VerifyRuns(ctx, r, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	checks = append(checks, bleservice.NewProcess(r, bleservice.Endpoint, state))
	if !changes(r, keyAgentURL) {
		return checks, nil
	}
	reachable, err := bleservice.VerifyReachable(ctx, &r.Run)
	return append(checks, reachable), err
}

// changes says whether the recorded edit changed one of these keys.
func changes(r *sdk.VerifyRun, keys ...string) bool {
	return slices.ContainsFunc(r.Effect(effectEdit).GetEffect().GetConfigEdit().GetChanges(), func(c *actionv1.ConfigChange) bool {
		return slices.Contains(keys, c.GetKey())
	})
}

// nbeNextStep is what a person does next, worst first.
func nbeNextStep(r *sdk.VerifyRun, fileHolds, serviceHolds bool) string {
	changed := r.Effect(effectCopy) != nil || r.Effect(effectRemove) != nil || r.Effect(effectEdit) != nil
	switch {
	case !fileHolds:
		return "find out what else changes nbe.toml on this terminal (an installer, a software distribution), then run this again"
	case !serviceHolds:
		return "nbe.toml is put back as it was: look at the endpoint's entries in the event log of this terminal, and at the address in agent_url if that was to change"
	case changed && r.Effect(bleservice.EffectStart) == nil:
		return "run ble-restart on this terminal, so that the endpoint reads nbe.toml"
	case changes(r, tapKeys()...) || r.Effect(effectCopy) != nil || r.Effect(effectRemove) != nil:
		return "ask the user to tap three times: the values read back, and only a person can tell that a tap works"
	default:
		return ""
	}
}
