package main

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// httpsBindingSet has the web server serve a certificate that is on the host already, and makes the binding when it is missing.
type httpsBindingSet struct{}

func (httpsBindingSet) Manifest() *actionv1.Action {
	a := switchAction(1)
	a.Name, a.Version = "https-binding-set", "1.0.0"
	a.Summary = "Have a NES host serve a certificate that it has already"
	a.Description = "Use it when a NES host serves the wrong certificate, or has no https binding. The certificate must be in the store Web Hosting or My with its " +
		"private key. It checks the certificate and the trust of the terminals as tls-cert-rotate does, binds it, and has terminals connect. Whatever fails, what " +
		"was bound before is bound again, or the binding that it made is removed."
	a.Params = append([]*actionv1.Param{
		sdk.Required(thumbprintParam("thumbprint", "the thumbprint (SHA-1 or SHA-256) of the certificate")),
	}, a.GetParams()...)
	a.Undo = "What was bound before is bound again, within seconds; a binding that it made is removed. No certificate is removed."
	a.MaxDuration = durationpb.New(maxSwitch)
	return a
}

func (httpsBindingSet) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	for _, store := range []string{storeWebHosting, storeMy} {
		there, err := r.Certificates(ctx, store)
		if err != nil {
			return nil, err
		}
		for _, c := range there {
			if !hasThumbprint(c, r.String("thumbprint")) {
				continue
			}
			if !c.GetHasPrivateKey() {
				return sdk.Refuse(fmt.Sprintf("the certificate %s is in the store %s without its private key", named(c), store),
					"import its PFX with tls-cert-rotate"), nil
			}
			return planSwitch(ctx, r, candidate{Certificate: c, store: store}, nil)
		}
	}
	return sdk.Refuse(fmt.Sprintf("no certificate with the thumbprint %s is in the store %s or %s", r.String("thumbprint"), storeWebHosting, storeMy),
		"look at those that are with `fleetctl certs`, or import one with tls-cert-rotate"), nil
}

func (httpsBindingSet) Apply(ctx context.Context, r *sdk.ApplyRun) error { return applySwitch(ctx, r) }

func (httpsBindingSet) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	return verifySwitch(ctx, r, r.String("thumbprint"))
}
