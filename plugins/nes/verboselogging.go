package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/rights"
)

// Values of the parameters state and restart.
const (
	stateOn  = "on"
	stateOff = "off"
	stateSet = "set"

	restartIIS     = "iis"
	restartRecycle = "recycle"
	restartNone    = "none"
)

// verboseLogging raises the log levels of the NES applications for a time, and puts them back before that when it is asked to.
//
// An interrupted run is left to Verify: the levels that were set and the restart that was done say whether it came about. If not, the agent puts
// the files back; running it again would restart IIS twice.
type verboseLogging struct{}

func (verboseLogging) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "verbose-logging",
		Version: "1.0.0",
		Summary: "Raise the log levels of NES for a time, after which they go back by themselves",
		Description: "state=on sets every switch of the chosen applications' web.config to level (Verbose unless another is given), state=set to the level " +
			"that is given; both need ttl, and IIS is restarted once after all files. When ttl is over, the agent puts back what each switch had before, " +
			"also after a restart and without the server; a switch that somebody has changed meanwhile is left alone. state=off does that now. Nothing " +
			"but the levels is changed in a file. To make it last longer: state=off, then state=on.",
		Params:        verboseParams(),
		WhenRules:     verboseRules(),
		Capabilities:  append(verboseCapabilities(), probeCapabilities()...),
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"iis"},
		Disruptive:    true,
		Interrupts: "Sign-ins, enrolment and the console of this host, for 15 to 60 seconds, now and again when the levels go back. With restart=none " +
			"too: the web server starts an application anew when its web.config changes.",
		Undo:        "Exactly: the files get their earlier bytes back. Once it has succeeded, the agent does so by itself at the end of ttl.",
		Verifies:    "Every switch reads back as asked; W3SVC runs and was restarted where that was asked for; the three applications answer without 5xx, where the host's address is known.",
		Source:      "Log Files > NES log files > Enabling Verbose Logging",
		Roles:       []string{"nes-host"},
		MaxDuration: durationpb.New(15 * time.Minute),
	}
}

func verboseParams() []*actionv1.Param {
	return []*actionv1.Param{
		sdk.Required(sdk.Enum("state", "", "on: raise the levels; off: put them back now; set: set them to level for a time", stateOn, stateOff, stateSet)),
		sdk.Enum("level", "", "level to set, from the least detail to the most; with state=on Verbose unless given", levels()...),
		sdk.List(sdk.Enum("services", "", "applications whose levels are changed; all three unless given", neshost.Names()...)),
		instanceParam(),
		{
			Name: "ttl", Type: actionv1.ParamType_PARAM_TYPE_DURATION, Min: "1s", Max: "24h0m0s",
			Help: "after how long the levels go back by themselves; the agent refuses less than its own minimum (5m unless configured)",
		},
		sdk.Enum("restart", restartIIS, "iis: restart W3SVC once after all files; recycle: only the pools of NES; none: neither", restartIIS, restartRecycle, restartNone),
	}
}

func verboseRules() []*actionv1.WhenRule {
	const forgotten = "levels that were raised must not be forgotten"
	return []*actionv1.WhenRule{
		{Param: "state", Value: stateOn, Needs: "ttl", Reason: forgotten},
		{Param: "state", Value: stateSet, Needs: "ttl", Reason: forgotten},
		{Param: "state", Value: stateSet, Needs: "level", Reason: "it is not known which level is meant"},
	}
}

func verboseCapabilities() []*actionv1.Capability {
	caps := []*actionv1.Capability{
		sdk.ReadService(neshost.WebService), sdk.ControlService(neshost.WebService), sdk.WriteIIS(rights.RunIIS), sdk.UseLeases(),
	}
	for _, name := range neshost.Names() {
		caps = append(caps, sdk.ReadConfig(name, neshost.WebConfig), sdk.EditConfig(name, neshost.WebConfig))
	}
	return caps
}

// wantedLevel is the level to set.
func wantedLevel(r *sdk.Run) string {
	if level := r.String("level"); level != "" {
		return level
	}
	return verbose
}

// wantedApplications are those whose files are meant.
func wantedApplications(r *sdk.Run) []string {
	if text := r.String("services"); text != "" {
		return strings.Split(text, ",")
	}
	return neshost.Names()
}

func (verboseLogging) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	t, refusal, err := findInstance(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	web, err := r.Service(ctx, neshost.WebService)
	if err != nil {
		return nil, err
	}
	if refusal := refuseUnlessRuns(web, "run iis-restart mode=ensure-running on this host, then run this again"); refusal != nil {
		return refusal, nil
	}
	files, refusal, err := readLogFiles(ctx, r, wantedApplications(r))
	if err != nil || refusal != nil {
		return refusal, err
	}
	all, err := r.Leases(ctx)
	if err != nil {
		return nil, err
	}
	var p *actionv1.Plan
	if r.String("state") == stateOff {
		p = planOff(files, leasesOf(all, files))
	} else {
		p = planLevels(r, t, web, files, leasesOf(all, files))
	}
	if p.GetVerdict() != refused {
		p.Warnings = append(p.Warnings, t.warnings...)
	}
	return p, nil
}

// planLevels brings every switch to the wanted level, for ttl.
func planLevels(r *sdk.Run, t target, web *actionv1.ServiceState, files []logFile, held []*actionv1.LeaseState) *actionv1.Plan {
	level := wantedLevel(r)
	edits := planEdits(r, files, level)
	switch {
	case r.Duration("ttl") <= 0:
		return sdk.Refuse("no ttl was given; levels that were raised must not be forgotten", "give ttl, such as ttl=2h")
	case r.String("state") == stateSet && !r.IsSet("level"):
		return sdk.Refuse("no level was given", "give level="+strings.Join(levels(), "|"))
	case len(held) > 0 && len(edits) > 0:
		return sdk.Refuse(fmt.Sprintf("the levels are held by %s until %s", leaseWords(held[0]), moment(held[0].GetUntil())),
			"run verbose-logging state=off on this host to put them back now, then run this again")
	case len(held) > 0:
		return sdk.NoChange(fmt.Sprintf("every switch is %s already, under %s until %s", level, leaseWords(held[0]), moment(held[0].GetUntil())))
	case len(edits) == 0:
		p := sdk.NoChange(fmt.Sprintf("every switch is %s already", level))
		p.Warnings = append(p.Warnings, "no lease holds these levels: nothing will put them back by itself")
		return p
	}
	return sdk.Ready(append(edits, planRestart(r, t, web)...)...)
}

func leaseWords(l *actionv1.LeaseState) string {
	if l.GetJob() == "" {
		return fmt.Sprintf("lease %q", l.GetId())
	}
	return fmt.Sprintf("lease %q of job %s", l.GetId(), l.GetJob())
}

// planEdits is an edit for each file that has a switch of another level.
func planEdits(r *sdk.Run, files []logFile, level string) []*actionv1.PlannedEffect {
	var edits []*actionv1.PlannedEffect
	ttl := r.Duration("ttl")
	var restarted []string
	if r.String("restart") == restartIIS {
		restarted = []string{neshost.WebService}
	}
	for _, f := range files {
		changes := f.changes(level)
		if len(changes) == 0 {
			continue
		}
		edit := sdk.Leased(sdk.ConfigEdit(f.application, neshost.WebConfig, switches, changes...), ttl, restarted...)
		edits = append(edits, sdk.Planned(editID(f.application), edit, f.words(), fmt.Sprintf("every switch %s, for %s", level, ttl)))
	}
	return edits
}

func editID(application string) string { return "edit-" + application }

// planRestart is what has the applications read their files, beside what the web server does by itself.
func planRestart(r *sdk.Run, t target, web *actionv1.ServiceState) []*actionv1.PlannedEffect {
	switch r.String("restart") {
	case restartIIS:
		return planWebRestart(web, webTimeout)
	case restartRecycle:
		return planRecycle(neshost.Pools(t.apps))
	default:
		return nil
	}
}

// planOff ends the leases that hold the files.
func planOff(files []logFile, held []*actionv1.LeaseState) *actionv1.Plan {
	if len(held) == 0 {
		return planNothingHeld(files)
	}
	effects := make([]*actionv1.PlannedEffect, len(held))
	for i, l := range held {
		effects[i] = sdk.Planned(releaseID(l), sdk.LeaseRelease(l.GetId()),
			fmt.Sprintf("%s holds %s until %s", leaseWords(l), strings.Join(l.GetResources(), ", "), moment(l.GetUntil())),
			"what each switch had before, where it still has what was set")
	}
	return sdk.Ready(effects...)
}

func releaseID(l *actionv1.LeaseState) string { return "release-" + l.GetId() }

// planNothingHeld: without a lease nobody knows what the levels were before, and none is assumed.
func planNothingHeld(files []logFile) *actionv1.Plan {
	for _, f := range files {
		if f.detailed() {
			return sdk.Refuse(fmt.Sprintf("file %q has %s, and no lease says what it had before", f.name(), f.words()),
				fmt.Sprintf("set the levels in the file by hand; %s is usual", usual))
		}
	}
	return sdk.NoChange("no lease holds a log level, and none is Verbose")
}

func (verboseLogging) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, p := range r.Plan().GetEffects() {
		switch {
		case p.GetEffect().GetServiceStop() != nil:
			return applyWebRestart(ctx, r)
		default:
			if err := r.MustDo(ctx, p.GetId()); err != nil {
				return err
			}
		}
	}
	return nil
}
