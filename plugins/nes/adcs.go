package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	effectStartCA      = "start-ca"
	effectStartCAAgain = "start-ca-again"
	caTimeout          = time.Minute
	caStableFor        = 30 * time.Second
)

// adcsStart starts a certificate authority that is stopped. There is no other action on a certificate authority, on purpose.
//
// An interrupted run is run again: a service that runs by then is left alone.
type adcsStart struct{}

func (adcsStart) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "adcs-start",
		Version: "1.0.0",
		Summary: "Start the certificate authority's service if it is stopped",
		Description: "The same as the green triangle in the Certificate Authority console. It only starts: it never stops, restarts or configures " +
			"a certificate authority.",
		Capabilities:  []*actionv1.Capability{sdk.ReadService(neshost.CertificateService), sdk.ControlService(neshost.CertificateService)},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE,
		Resources:     []string{"certs"},
		Interrupts:    "Nothing.",
		Undo:          "None is needed: a service that did not start is as it was.",
		Verifies:      "CertSvc keeps running for 30 seconds.",
		Source:        "The Network Device Enrollment Service setup failed because the certification authority could not be contacted",
		Roles:         []string{neshost.Role},
		MaxDuration:   durationpb.New(5 * time.Minute),
	}
}

func (adcsStart) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	s, err := r.Service(ctx, neshost.CertificateService)
	if err != nil {
		return nil, err
	}
	if refusal := notStartable(s); refusal != nil {
		return refusal, nil
	}
	if running(s) {
		return sdk.NoChange(neshost.CertificateService + " is running"), nil
	}
	if !stopped(s) {
		return sdk.Refuse(fmt.Sprintf("%s is %s", neshost.CertificateService, stateText(s)), "wait a minute, then run this again; it only starts what is stopped"), nil
	}
	return sdk.Ready(tries(s, caTimeout, effectStartCA, effectStartCAAgain)...), nil
}

func (adcsStart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	return startTwice(ctx, r, neshost.CertificateService, effectStartCA, effectStartCAAgain)
}

func (adcsStart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	c, err := checkRuns(ctx, &r.Run, neshost.CertificateService, caStableFor)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(c)
	if !c.GetOk() {
		v.NextStep = "look at the entries of the certificate authority in the Application event log; if revocation could not be checked, see action crl-http-allow"
	}
	return v, nil
}
