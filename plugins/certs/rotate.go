package main

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// tlsCertRotate imports a certificate with its key and has the web server serve it.
//
// An interrupted run is left to Verify: the recorded binding tells whether the change came about, and one whose canaries were not asked
// any more is put back.
type tlsCertRotate struct{}

func (tlsCertRotate) Manifest() *actionv1.Action {
	a := switchAction(30)
	a.Name, a.Version = "tls-cert-rotate", "1.0.0"
	a.Summary = "Have a NES host serve a new TLS certificate, and prove that terminals accept it"
	a.Description = "Use it when the certificate of a NES host is about to end. Put its PFX with `fleetctl secret put` first; nobody but the host can open it. " +
		"It checks the certificate (key, dates, names in use, chain), that every terminal that uses the host trusts its root, imports it, binds it, and has " +
		"terminals connect. Whatever fails, what was bound before is bound again. The earlier certificate stays on the host."
	a.Params = append([]*actionv1.Param{
		sdk.Required(sdk.Secret("pfx", "the PFX with the certificate and its private key, as it was put: secret:NAME")),
		sdk.Secret("pfx_password", "the password of the PFX, as it was put: secret:NAME"),
		sdk.Required(thumbprintParam("expected_thumbprint", "the thumbprint (SHA-1 or SHA-256) of the certificate that the PFX must hold, as approvers have seen it")),
		sdk.Enum("store", storeWebHosting, "the store that it is imported into", storeWebHosting, storeMy),
	}, a.GetParams()...)
	a.Capabilities = append(a.Capabilities, sdk.UseSecrets(), sdk.AddCertificate(storeWebHosting), sdk.AddCertificate(storeMy))
	a.Undo = "What was bound before is bound again, within seconds; the imported certificate is removed again with its key. The certificate that was served " +
		"before is never removed."
	a.MaxDuration = durationpb.New(maxSwitch)
	return a
}

func (tlsCertRotate) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	facts, err := r.Secret(ctx, r.SecretRef("pfx"), r.SecretRef("pfx_password"))
	if err != nil {
		return unanswered(ctx, err)
	}
	if facts.GetProblem() != "" || len(facts.GetChain()) == 0 || !facts.GetHasPrivateKey() {
		return sdk.Refuse(fmt.Sprintf("the PFX %s cannot be used: %s", r.SecretRef("pfx"), pfxProblem(facts)), putAgain), nil
	}
	leaf := facts.GetChain()[0]
	if !hasThumbprint(leaf, r.String("expected_thumbprint")) {
		return sdk.Refuse(fmt.Sprintf("the PFX holds the certificate %s, not the one with the expected thumbprint %s", named(leaf), r.String("expected_thumbprint")),
			putAgain), nil
	}
	return planSwitch(ctx, r, candidate{Certificate: leaf, with: facts.GetChain()[1:], store: r.String("store")}, importEffect)
}

const putAgain = "put the right PFX with `fleetctl secret put`, then plan again"

func pfxProblem(f *actionv1.SecretFacts) string {
	switch {
	case f.GetProblem() != "":
		return f.GetProblem()
	case !f.GetHasPrivateKey():
		return "it holds no private key"
	}
	return "it holds no certificate"
}

// importEffect plans the import; nil when the certificate is there with its key already.
func importEffect(ctx context.Context, r *sdk.Run, c candidate) (*actionv1.PlannedEffect, error) {
	there, err := r.Certificates(ctx, c.store)
	if err != nil {
		return nil, err
	}
	for _, other := range there {
		if other.GetSha256() == c.GetSha256() && other.GetHasPrivateKey() {
			return nil, nil
		}
	}
	return sdk.Planned(effectImport, sdk.CertificateImport(c.store, c.GetSha256(), r.SecretRef("pfx"), r.SecretRef("pfx_password")),
		"not in the store "+c.store, named(c.Certificate)+" with its private key in the store "+c.store), nil
}

func (tlsCertRotate) Apply(ctx context.Context, r *sdk.ApplyRun) error { return applySwitch(ctx, r) }

func (tlsCertRotate) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	return verifySwitch(ctx, r, r.String("expected_thumbprint"))
}
