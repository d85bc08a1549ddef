package main

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Values of the parameter source; a kept file is fromBackup and its name.
const (
	fromProfile = "site-profile"
	fromDefault = "default"
	fromNothing = "absent"
	fromBackup  = "backup:"
)

// nbeConfigReset replaces nbe.toml, or brings it back to the site's profile.
type nbeConfigReset struct{}

func (nbeConfigReset) Manifest() *actionv1.Action {
	return nbeAction(&actionv1.Action{
		Name:    "nbe-config-reset",
		Version: "1.0.0",
		Summary: "Bring nbe.toml back to the site's profile, the vendor's defaults or a kept file",
		Description: "Use it when nbe.toml cannot be read, has values that are not allowed, or a change did not help. site-profile sets the keys that the " +
			"server keeps for the site; default copies nbe.default.toml, which may switch BLE tap off; backup:NAME brings a kept file back; absent removes " +
			"nbe.toml, so that the endpoint's own defaults hold. The present agent_url stays, and never turns from a central Nymi Agent to a local one.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Text("source", "", "where the values come from", 120,
				`site-profile|default|absent|backup:nbe\.toml\.[A-Za-z0-9._-]+\.bak`,
				"site-profile, default, absent, or backup: with the name of a kept file, such as backup:nbe.toml.0123456789ab.bak")),
			sdk.Enum(keyAgentURL, urlKeep, "keep: the present one, if it can be read; inventory: the one that the server has for the site", urlKeep, urlInventory),
		},
		WhenRules: []*actionv1.WhenRule{
			{Param: keyAgentURL, Value: urlInventory, Approvals: 1, Reason: "it decides which machine the terminal's bands are handled by"},
		},
		Verifies: "nbe.toml reads back with the values of its source, or is gone; after a restart the service runs as a new process and keeps running through " +
			"stable_for; the port of a changed agent_url is reachable.",
	})
}

func (nbeConfigReset) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	folder, err := readNBE(ctx, r)
	if err != nil {
		return nil, err
	}
	site, err := r.Site(ctx)
	if err != nil {
		return nil, err
	}
	if r.String(keyAgentURL) == urlInventory {
		if inventoryAddress(site) == "" {
			return noInventoryAddress(), nil
		}
		if refusal, err := unreachable(ctx, r, site, inventoryAddress(site)); err != nil || refusal != nil {
			return refusal, err
		}
	}
	x := reset{r: r, folder: folder, site: site}
	switch source := r.String("source"); source {
	case fromProfile:
		return x.toProfile(ctx)
	case fromNothing:
		return x.toNothing(ctx)
	default:
		from, err := sourceFile(ctx, r, source)
		if err != nil {
			return nil, err
		}
		return x.toCopy(ctx, from)
	}
}

// sourceFile reads the file that nbe.toml is to be a copy of, nil when it is to be none.
func sourceFile(ctx context.Context, r *sdk.Run, source string) (*actionv1.ConfigState, error) {
	if name, kept := strings.CutPrefix(source, fromBackup); kept {
		return readTOML(ctx, r, name)
	}
	if source == fromDefault {
		return readTOML(ctx, r, bleservice.TemplateFile)
	}
	return nil, nil
}

// reset is one planning of nbe-config-reset.
type reset struct {
	r      *sdk.Run
	folder nbe
	site   *actionv1.Surroundings
}

// readable says whether nbe.toml is there and can be read.
func (x reset) readable() bool {
	return x.folder.file.GetExists() && x.folder.file.GetMalformed() == ""
}

// present is the agent_url that the terminal has now, "" when that cannot be told.
func (x reset) present() string {
	if !x.readable() {
		return ""
	}
	return addressIn(x.folder.file)
}

// toProfile sets the keys of the site's profile, in a copy of the vendor's file when nbe.toml is not usable.
func (x reset) toProfile(ctx context.Context) (*actionv1.Plan, error) {
	wanted := numbersOf(x.site.GetNbeProfile())
	if len(wanted) == 0 {
		return sdk.Refuse("the server has no profile of nbe.toml for this site", "set one with fleetctl site set --nbe KEY=VALUE, or use another source"), nil
	}
	base := x.folder.file
	if !x.readable() {
		base = x.folder.defaults
	}
	if refusal := unusable(base, "run runtime-install, or bring a kept file back with source=backup:NAME"); refusal != nil {
		return refusal, nil
	}
	if refusal := x.wantAddress(addressIn(base), wanted); refusal != nil {
		return refusal, nil
	}
	return planSet(ctx, x.r, x.folder, base, wanted, false)
}

// numbersOf are the numbers of a profile: agent_url has a parameter of its own.
func numbersOf(profile map[string]string) map[string]string {
	wanted := map[string]string{}
	for _, key := range numberKeys() {
		if text, ok := profile[key]; ok {
			wanted[key] = text
		}
	}
	return wanted
}

// wantAddress adds agent_url to what is wanted when the server's is to be used. next is the one that holds else.
func (x reset) wantAddress(next string, wanted map[string]string) *actionv1.Plan {
	inventory := x.r.String(keyAgentURL) == urlInventory
	if inventory {
		next = inventoryAddress(x.site)
	}
	if refusal := wouldLoseCentral(x.site, x.present(), next); refusal != nil || !inventory {
		return refusal
	}
	return want(next, urlInventory, wanted)
}

// toNothing removes nbe.toml.
func (x reset) toNothing(ctx context.Context) (*actionv1.Plan, error) {
	file := x.folder.file
	if !file.GetExists() {
		return sdk.NoChange("there is no nbe.toml"), nil
	}
	if x.site.GetCentralAgent() {
		return sdk.Refuse("the Nymi Agent of this site is central, and without nbe.toml the endpoint looks for one on this terminal",
			"use source=site-profile or source=default instead"), nil
	}
	effect := sdk.FileRemove(bleservice.Root, bleservice.ConfigFile, file.GetSha256())
	return planFiles(ctx, x.r, file, sdk.Planned(effectRemove, effect, describeFile(file), "no nbe.toml: the endpoint's own defaults hold"))
}

// toCopy makes nbe.toml a copy of a file. The vendor's file never brings its own agent_url along when there is one already, nor does a
// kept file where the Nymi Agent is central.
func (x reset) toCopy(ctx context.Context, from *actionv1.ConfigState) (*actionv1.Plan, error) {
	if refusal := unusable(from, "name another source: look at the kept files with diagnose, or use source=site-profile"); refusal != nil {
		return refusal, nil
	}
	after, keep := proto.CloneOf(from), []string(nil)
	if x.present() != "" && (from.GetPath() == bleservice.TemplateFile || x.site.GetCentralAgent()) {
		keep = []string{keyAgentURL}
		set(after, keyAgentURL, *pointer(x.folder.file, keyAgentURL))
	}
	wanted := map[string]string{}
	if refusal := x.wantAddress(addressIn(after), wanted); refusal != nil {
		return refusal, nil
	}
	edit := planEdit(after, wanted)
	if x.readable() && edit == nil && len(differing(x.folder.file, after, nil)) == 0 && addressIn(x.folder.file) == addressIn(after) {
		return sdk.NoChange("nbe.toml has the values of " + from.GetPath() + " already"), nil
	}
	changes := []*actionv1.PlannedEffect{planCopy(x.folder.file, from, keep...)}
	if edit != nil {
		changes = append(changes, edit)
	}
	p, err := planFiles(ctx, x.r, x.folder.file, changes...)
	if err != nil {
		return nil, err
	}
	return tapWarning(p, after), nil
}

// set gives a key a value in what was read of a file.
func set(c *actionv1.ConfigState, key, text string) {
	for _, v := range c.GetValues() {
		if v.GetKey() == key {
			v.Value = text
			return
		}
	}
	c.Values = append(c.Values, &actionv1.ConfigValue{Key: key, Value: text})
}

// tapWarning says when a file leaves BLE tap off, as the vendor's own does in the releases that the guide is about.
func tapWarning(p *actionv1.Plan, after *actionv1.ConfigState) *actionv1.Plan {
	threshold, ok := number(keyTapThreshold, after)
	if p.GetVerdict() == actionv1.PlanVerdict_PLAN_VERDICT_READY && (!ok || threshold == 0) {
		p.Warnings = append(p.Warnings, "BLE tap is off with this file: rssi_tap_threshold is "+inWords(after, keyTapThreshold))
	}
	return p
}

func (nbeConfigReset) Apply(ctx context.Context, r *sdk.ApplyRun) error { return applyFiles(ctx, r) }

func (nbeConfigReset) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	source := r.String("source")
	e := expectation{wanted: map[string]string{}, gone: source == fromNothing}
	var err error
	if e.like, err = sourceFile(ctx, &r.Run, source); err != nil {
		return nil, err
	}
	if source == fromProfile && len(r.Effects()) == 0 {
		site, err := r.Site(ctx)
		if err != nil {
			return nil, err
		}
		e.wanted = numbersOf(site.GetNbeProfile())
	}
	return verifyNBE(ctx, r, e)
}
