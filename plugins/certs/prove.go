package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// applySwitch does what was planned and proves it, from this host first: any error has the agent bind again what was bound before.
func applySwitch(ctx context.Context, r *sdk.ApplyRun) error {
	bind := r.Planned(effectBind).GetEffect().GetBindingSet().GetAfter()
	if bind == nil {
		return errors.New("the plan has no binding")
	}
	target, err := ownTarget(ctx, &r.Run, bind)
	if err != nil {
		return err
	}
	if r.Planned(effectImport) != nil {
		if err := r.MustDo(ctx, effectImport); err != nil {
			return err
		}
	}
	r.Progress("binding the certificate")
	if err := r.MustDo(ctx, effectBind); err != nil {
		return err
	}
	if err := awaitServed(ctx, &r.Run, target, bind.GetCertificateSha256()); err != nil {
		return err
	}
	if r.Planned(effectCanaries) == nil {
		return nil
	}
	r.Progress("terminals try the new certificate")
	rec, err := r.Do(ctx, effectCanaries)
	if err != nil {
		return err
	}
	if rec.GetError() != "" {
		return sdk.Fail("terminals do not accept the new certificate: "+rec.GetError(), "see to what those terminals trust, then run this again")
	}
	return nil
}

func ownTarget(ctx context.Context, r *sdk.Run, b *actionv1.Binding) (*actionv1.ProbeTarget, error) {
	site, err := r.Site(ctx)
	if err != nil {
		return nil, err
	}
	own := ownHostOf(site)
	if own == nil {
		return nil, errors.New("the server no longer knows this machine as a NES host of its site")
	}
	return own.target(b), nil
}

// awaitServed connects to this host by its own name until the certificate is served. The web server needs a moment to take it.
func awaitServed(ctx context.Context, r *sdk.Run, target *actionv1.ProbeTarget, sha256 string) error {
	var problem string
	for try := range serveTries {
		if try > 0 {
			if err := r.Wait(ctx, serveWait); err != nil {
				return err
			}
		}
		found, err := r.ProbeNet(ctx, target, probeTimeout)
		if err != nil {
			return err
		}
		if problem = servedProblem(found, func(c *actionv1.Certificate) bool { return c.GetSha256() == sha256 }); problem == "" {
			return nil
		}
	}
	return sdk.Fail(fmt.Sprintf("%s:%d does not serve the new certificate as it should: %s", target.GetHost(), target.GetPort(), problem),
		"look at what the reason says on this host, then run this again")
}

// servedProblem says why a connection is not as it should be; empty when the wanted certificate is served and trusted.
func servedProblem(found *actionv1.NetProbeResult, wanted func(*actionv1.Certificate) bool) string {
	switch {
	case found.GetNameProblem() != "":
		return "its name has no address: " + found.GetNameProblem()
	case !found.GetConnected():
		return "no connection: " + found.GetConnectProblem()
	case !found.GetHandshake() || len(found.GetChain()) == 0:
		return "no TLS: " + found.GetTlsProblem()
	case !wanted(found.GetChain()[0]):
		return "it serves " + named(found.GetChain()[0])
	case !found.GetTrusted():
		return "this host does not trust the chain: " + found.GetTrustProblem()
	}
	return ""
}

// verifySwitch proves from the parameters and the records alone that the binding serves the certificate with this thumbprint.
func verifySwitch(ctx context.Context, r *sdk.VerifyRun, thumbprint string) (*actionv1.Verdict, error) {
	b, bound, err := checkBinding(ctx, &r.Run, thumbprint)
	if err != nil {
		return nil, err
	}
	target, err := ownTarget(ctx, &r.Run, b)
	if err != nil {
		return nil, err
	}
	found, err := r.ProbeNet(ctx, target, probeTimeout)
	if err != nil {
		return nil, err
	}
	applications, err := checkApplications(ctx, &r.Run, b.GetSite(), target)
	if err != nil {
		return nil, err
	}
	canaries, err := checkCanaries(ctx, r, found)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(slices.Concat([]*actionv1.Check{bound, checkHandshake(target, found, thumbprint)}, applications, canaries)...)
	if !allHold(v.GetChecks()) {
		v.NextStep = "see to what did not hold, then run this again; what was bound before is bound again"
	}
	return v, nil
}

// checkBinding reads what is bound.
func checkBinding(ctx context.Context, r *sdk.Run, thumbprint string) (*actionv1.Binding, *actionv1.Check, error) {
	all, err := r.Bindings(ctx)
	if err != nil {
		return nil, nil, err
	}
	b, problem := wantedOf(r).among(all)
	if problem != "" {
		return nil, nil, errors.New(problem)
	}
	bound, err := servedBy(ctx, r, b)
	observed := "nothing"
	if bound != nil {
		observed = named(bound)
	}
	r.Evidence("bound after", "%s", observed)
	return b, sdk.Check("the binding has the certificate", "thumbprint "+thumbprint, observed, hasThumbprint(bound, thumbprint)), err
}

func checkHandshake(target *actionv1.ProbeTarget, found *actionv1.NetProbeResult, thumbprint string) *actionv1.Check {
	problem := servedProblem(found, func(c *actionv1.Certificate) bool { return hasThumbprint(c, thumbprint) })
	return sdk.Check("a TLS handshake gives the certificate", fmt.Sprintf("%s:%d serves it with a trusted chain", target.GetHost(), target.GetPort()),
		orGood(problem, "served and trusted"), problem == "")
}

func orGood(problem, good string) string {
	if problem == "" {
		return good
	}
	return problem
}

func allHold(checks []*actionv1.Check) bool {
	for _, c := range checks {
		if !c.GetOk() {
			return false
		}
	}
	return true
}

// maxApplications bounds how many applications of a site are tried; NES has three.
const maxApplications = 8

// checkApplications asks each application of the site by https. Any answer but an error of the server is good: most want a sign-in.
func checkApplications(ctx context.Context, r *sdk.Run, site string, target *actionv1.ProbeTarget) ([]*actionv1.Check, error) {
	const serverError = 500
	web, err := r.IIS(ctx)
	if err != nil {
		return nil, err
	}
	var checks []*actionv1.Check
	for _, a := range web.GetApplications() {
		if !strings.EqualFold(a.GetSite(), site) || len(checks) == maxApplications {
			continue
		}
		t := proto.CloneOf(target)
		t.HttpPath = strings.TrimSuffix(a.GetPath(), "/") + "/"
		found, err := r.ProbeNet(ctx, t, probeTimeout)
		if err != nil {
			return nil, err
		}
		status := found.GetHttpStatus()
		observed := fmt.Sprintf("HTTP status %d", status)
		if status == 0 {
			observed = orGood(found.GetHttpProblem(), "no answer")
		}
		checks = append(checks, sdk.Check("the application "+t.GetHttpPath()+" answers", "no error of the server", observed, status > 0 && status < serverError))
	}
	return checks, nil
}

// checkCanaries holds a run that was interrupted to what was promised: a binding that was changed counts only when terminals have tried it,
// unless there are none to try.
func checkCanaries(ctx context.Context, r *sdk.VerifyRun, found *actionv1.NetProbeResult) ([]*actionv1.Check, error) {
	const name = "terminals accept the certificate"
	if r.Int("canaries") == 0 || r.Effect(effectBind) == nil {
		return nil, nil
	}
	expected := "those that were asked connect and trust it"
	if rec := r.Effect(effectCanaries); rec != nil {
		verdicts := rec.GetAfter().GetPeers().GetVerdicts()
		return []*actionv1.Check{sdk.Check(name, expected, orGood(rec.GetError(), fmt.Sprintf("%d terminals did", len(verdicts))), rec.GetError() == "")}, nil
	}
	t, err := readTrusted(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	now, err := readTime(ctx, &r.Run)
	if err != nil || len(found.GetChain()) == 0 {
		return nil, err
	}
	roots, problem := t.rootsOf(found.GetChain()[0], found.GetChain()[1:], now)
	if problem != "" {
		return []*actionv1.Check{sdk.Check(name, expected, problem, false)}, nil
	}
	cov, err := r.Coverage(ctx, hashes(roots)...)
	if err != nil {
		return nil, err
	}
	if cov.GetTrusting() == 0 {
		return nil, nil
	}
	return []*actionv1.Check{sdk.Check(name, expected, "they were not asked any more", false)}, nil
}
