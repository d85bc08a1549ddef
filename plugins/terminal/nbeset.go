package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// nbeMaxDuration is more than the longest course: stop, start twice and the watch at their greatest, and probes.
const nbeMaxDuration = 10 * time.Minute

// Values of the parameter agent_url.
const (
	urlKeep      = "keep"
	urlDefault   = "from-default"
	urlInventory = "inventory"
)

// bypassApprovers is how many others must agree that proximity no longer counts: one more than any site asks for as a rule.
const bypassApprovers = 2

// nbeConfigSet changes keys of nbe.toml, and no other byte of it.
type nbeConfigSet struct{}

func (nbeConfigSet) Manifest() *actionv1.Action {
	return nbeAction(&actionv1.Action{
		Name:    "nbe-config-set",
		Version: "1.0.0",
		Summary: "Change keys of nbe.toml, restart the Bluetooth Endpoint and prove that it runs with them",
		Description: "Only the keys that are given change; comments, order, unknown keys and line ends stay. Without an nbe.toml it is made from the " +
			"template first. rssi_tap_threshold=-42 switches BLE tap on (the guide's recommendation); closer to 0 means closer to the antenna. Nothing is " +
			"restarted when every key has its value already. It cannot prove that a tap works: ask the user to tap three times.",
		Params: append(nbeKeyParams(),
			sdk.Enum(keyAgentURL, urlKeep, "keep: leave it; from-default: the one of nbe.default.toml; inventory: the site's central Nymi Agent",
				urlKeep, urlDefault, urlInventory),
			sdk.Text("from_template", bleservice.TemplateFile, "the file that nbe.toml is made from when there is none", 64,
				`[A-Za-z0-9][A-Za-z0-9._-]*\.toml`, "the name of a .toml file in the endpoint's folder"),
			sdk.Bool("force", false, "allow rssi_cutoff_far that is not below rssi_cutoff_close"),
			sdk.Bool("allow_proximity_bypass", false, "allow rssi_cutoff_close=0: Lock Control then no longer asks how near the band is"),
		),
		OrderRules: []*actionv1.OrderRule{{
			Lesser: keyCutoffFar, Greater: keyCutoffClose, Unless: "force", Reason: "a band would count as far before it is not close any more",
		}},
		WhenRules: []*actionv1.WhenRule{
			{Param: keyCutoffClose, Value: "0", Requires: "allow_proximity_bypass", Approvals: bypassApprovers,
				Reason: "it switches the proximity check of Lock Control off"},
			{Param: keyAgentURL, Value: urlInventory, Approvals: 1, Reason: "it decides which machine the terminal's bands are handled by"},
		},
		Verifies: "Every key that was given reads back; after a restart the service runs as a new process and keeps running through stable_for; the port of " +
			"a changed agent_url is reachable.",
	})
}

func nbeKeyParams() []*actionv1.Param {
	return []*actionv1.Param{
		sdk.Integer(keyTapThreshold, -127, 0, "signal strength of a tap in dBm; 0 switches BLE tap off, -42 is recommended"),
		sdk.Integer(keyWindowTap, 1, 1000, "how many measurements a tap is averaged over; more is slower and less sensitive"),
		sdk.Integer(keyWindowLong, 1, 10000, "how many measurements the trend of the distance is averaged over"),
		sdk.Integer(keyCutoffClose, -127, 0, "signal strength in dBm from which a band is close"),
		sdk.Integer(keyCutoffFar, -127, -1, "signal strength in dBm below which a band is far; less than rssi_cutoff_close"),
	}
}

func (nbeConfigSet) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	wanted := givenNumbers(r)
	if len(wanted) == 0 && r.String(keyAgentURL) == urlKeep {
		return sdk.Refuse("no key of nbe.toml was given", "give at least one of "+strings.Join(numberKeys(), ", ")+", or agent_url"), nil
	}
	folder, err := readNBE(ctx, r)
	if err != nil {
		return nil, err
	}
	base, refusal, err := baseOf(ctx, r, folder)
	if err != nil || refusal != nil {
		return refusal, err
	}
	if refusal, err := wantAddress(ctx, r, folder, base, wanted); err != nil || refusal != nil {
		return refusal, err
	}
	return planSet(ctx, r, folder, base, wanted, r.Bool("force"))
}

// givenNumbers are the keys that the parameters name, as TOML text.
func givenNumbers(r *sdk.Run) map[string]string {
	wanted := map[string]string{}
	for _, key := range numberKeys() {
		if r.IsSet(key) {
			wanted[key] = strconv.FormatInt(r.Int(key), 10)
		}
	}
	return wanted
}

// baseOf returns the file whose values hold where nothing is given: nbe.toml, or the template that it is made from.
func baseOf(ctx context.Context, r *sdk.Run, folder nbe) (*actionv1.ConfigState, *actionv1.Plan, error) {
	if folder.file.GetExists() {
		return folder.file, unusable(folder.file, "see what was done to it; nbe-config-reset puts a good one in its place"), nil
	}
	template, err := readTOML(ctx, r, r.String("from_template"))
	if err != nil {
		return nil, nil, err
	}
	return template, unusable(template, "there is no nbe.toml either: name a good file with from_template, or run runtime-install"), nil
}

// wantAddress adds agent_url to what is wanted, as the parameter says. It never leads away from a site's central Nymi Agent.
func wantAddress(ctx context.Context, r *sdk.Run, folder nbe, base *actionv1.ConfigState, wanted map[string]string) (*actionv1.Plan, error) {
	from := r.String(keyAgentURL)
	if from == urlKeep && folder.file.GetExists() {
		return nil, nil
	}
	site, err := r.Site(ctx)
	if err != nil {
		return nil, err
	}
	next := addressIn(base)
	switch from {
	case urlDefault:
		if next = addressIn(folder.defaults); next == "" {
			return sdk.Refuse("nbe.default.toml has no agent_url", "copy the address from a healthy terminal of the same site by hand, or reinstall the Nymi Runtime"), nil
		}
	case urlInventory:
		if next = inventoryAddress(site); next == "" {
			return noInventoryAddress(), nil
		}
	}
	if refusal := wouldLoseCentral(site, addressIn(folder.file), next); refusal != nil {
		return refusal, nil
	}
	if refusal := want(next, from, wanted); refusal != nil || from != urlInventory {
		return refusal, nil
	}
	return unreachable(ctx, r, site, next)
}

// want adds an address to what is wanted, or refuses one that the endpoint could not use.
func want(address, from string, wanted map[string]string) *actionv1.Plan {
	if address == "" {
		return nil
	}
	_, err := bleservice.ParseAgentURL(address, from)
	text, ok := quoted(address)
	if err != nil || !ok {
		return noAddress(address, from)
	}
	wanted[keyAgentURL] = text
	return nil
}

// planSet plans to give nbe.toml the wanted values. base is nbe.toml, or what is copied there first because nbe.toml is not usable.
func planSet(
	ctx context.Context, r *sdk.Run, folder nbe, base *actionv1.ConfigState, wanted map[string]string, force bool,
) (*actionv1.Plan, error) {
	problem := cutoffProblem(folder, base, wanted)
	_, asksClose := wanted[keyCutoffClose]
	_, asksFar := wanted[keyCutoffFar]
	if problem != "" && (asksClose || asksFar) && !force {
		return sdk.Refuse(problem, "give rssi_cutoff_close and rssi_cutoff_far that go together, or run nbe-config-set with force=true"), nil
	}
	var changes []*actionv1.PlannedEffect
	if base != folder.file {
		changes = append(changes, planCopy(folder.file, base))
	}
	if edit := planEdit(base, wanted); edit != nil {
		changes = append(changes, edit)
	}
	if len(changes) == 0 {
		return warned(sdk.NoChange("nbe.toml has these values already"), base, wanted, problem), nil
	}
	p, err := planFiles(ctx, r, folder.file, changes...)
	if err != nil {
		return nil, err
	}
	return warned(p, base, wanted, problem), nil
}

// warned adds what a person should know before saying yes.
func warned(p *actionv1.Plan, base *actionv1.ConfigState, wanted map[string]string, problem string) *actionv1.Plan {
	if problem != "" && p.GetVerdict() != actionv1.PlanVerdict_PLAN_VERDICT_REFUSED {
		p.Warnings = append(p.Warnings, problem)
	}
	if wanted[keyTapThreshold] == "0" {
		p.Warnings = append(p.Warnings, "rssi_tap_threshold = 0 switches BLE tap off")
	}
	if wanted[keyCutoffClose] == "0" {
		p.Warnings = append(p.Warnings, "rssi_cutoff_close = 0 switches the proximity check of Lock Control off")
	}
	if wanted[keyAgentURL] == "" && addressIn(base) == "" {
		p.Warnings = append(p.Warnings, "nbe.toml has no agent_url, which the vendor requires; set it with agent_url=from-default or agent_url=inventory")
	}
	return p
}

// cutoffProblem says why the cutoffs that would hold do not go together, "" when they do. A close of 0 switches proximity off, so far
// does not matter then.
func cutoffProblem(folder nbe, base *actionv1.ConfigState, wanted map[string]string) string {
	near := effective(keyCutoffClose, guideCutoffClose, folder, base, wanted)
	far := effective(keyCutoffFar, guideCutoffFar, folder, base, wanted)
	if near == 0 || far < near {
		return ""
	}
	return fmt.Sprintf("rssi_cutoff_far would be %d, and must be less than rssi_cutoff_close, which would be %d: a band would count as far before it is "+
		"not close any more", far, near)
}

// effective is the value that would hold: the wanted one, else that of the file, of the vendor's defaults, of the guide.
func effective(key string, guide int64, folder nbe, base *actionv1.ConfigState, wanted map[string]string) int64 {
	if n, ok := decode(wanted[key]).(int64); ok {
		return n
	}
	if n, ok := number(key, base, folder.defaults); ok {
		return n
	}
	return guide
}

func (nbeConfigSet) Apply(ctx context.Context, r *sdk.ApplyRun) error { return applyFiles(ctx, r) }

func (nbeConfigSet) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	e := expectation{wanted: givenNumbers(&r.Run)}
	if r.String(keyAgentURL) != urlKeep {
		e.present = []string{keyAgentURL}
	}
	return verifyNBE(ctx, r, e)
}
