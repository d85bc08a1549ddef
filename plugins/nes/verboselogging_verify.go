package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func (verboseLogging) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	files, problem, err := readLogFiles(ctx, &r.Run, wantedApplications(&r.Run))
	if err != nil {
		return nil, err
	}
	if problem != nil {
		return sdk.Verdict(sdk.Check("the files can be read back", "well-formed", problem.GetReason(), false)), nil
	}
	all, err := r.Leases(ctx)
	if err != nil {
		return nil, err
	}
	held := leasesOf(all, files)
	checks := checkLevels(r, files, held)
	runs, err := checkRuns(ctx, &r.Run, neshost.WebService, settleFor)
	if err != nil {
		return nil, err
	}
	checks = append(checks, runs)
	if r.String("state") != stateOff && len(r.Effects()) > 0 && r.String("restart") == restartIIS {
		checks = append(checks, checkDone(r, neshost.WebService+" was restarted", effectStartWeb, effectStartWebAgain))
	}
	return verboseVerdict(ctx, r, checks, held)
}

// checkLevels checks the switches after on and set, the leases after off.
func checkLevels(r *sdk.VerifyRun, files []logFile, held []*actionv1.LeaseState) []*actionv1.Check {
	var checks []*actionv1.Check
	for _, f := range files {
		r.Evidence(f.name(), "%s", f.words())
		if r.String("state") != stateOff {
			level := wantedLevel(&r.Run)
			checks = append(checks, sdk.Check(fmt.Sprintf("levels of %q", f.name()), "every switch "+level, f.words(), len(f.changes(level)) == 0))
		}
	}
	if r.String("state") == stateOff {
		checks = append(checks, sdk.Check("nothing holds the levels any more", "no lease", leasesText(held), len(held) == 0))
	}
	return checks
}

func leasesText(leases []*actionv1.LeaseState) string {
	var parts []string
	for _, l := range leases {
		parts = append(parts, leaseWords(l)+" until "+moment(l.GetUntil()))
	}
	return listOr(parts, "no lease")
}

func verboseVerdict(ctx context.Context, r *sdk.VerifyRun, checks []*actionv1.Check, held []*actionv1.LeaseState) (*actionv1.Verdict, error) {
	inv, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	apps := neshost.Applications(inv)
	if instance := r.String("instance"); instance != "" {
		apps = neshost.Of(apps, instance)
	}
	answers, byHand, err := checkAnswers(ctx, &r.Run, apps)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, answers...)...)
	v.NextStep = joinSteps(verboseNextStep(r, held, allHold(v.GetChecks())), byHand)
	return v, nil
}

// verboseNextStep says when the levels go back.
func verboseNextStep(r *sdk.VerifyRun, held []*actionv1.LeaseState, good bool) string {
	switch {
	case !good:
		return "see in the System and Application event logs of this host why, then run this again"
	case r.String("state") == stateOff:
		return ""
	case len(held) > 0:
		return fmt.Sprintf("reproduce the fault; the levels go back by themselves at %s, or earlier with verbose-logging state=off", moment(held[0].GetUntil()))
	case len(r.Effects()) > 0:
		return fmt.Sprintf("reproduce the fault; the levels go back by themselves after %s, or earlier with verbose-logging state=off", r.Duration("ttl"))
	default:
		return fmt.Sprintf("nothing will put these levels back by itself: when they are not needed any more, set them by hand (%s is usual) in %s",
			usual, strings.Join(wantedApplications(&r.Run), ", "))
	}
}
