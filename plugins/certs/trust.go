package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// checkTrust asks which terminals trust one of the roots, and refuses unless those that do not, or of which it is not known, are exactly
// the ones that are accepted by name. A terminal that is cut off by a change is one that somebody has said yes to.
func checkTrust(ctx context.Context, r *sdk.Run, roots []*actionv1.Certificate) (*actionv1.Coverage, *actionv1.Plan, error) {
	cov, err := r.Coverage(ctx, hashes(roots)...)
	if err != nil {
		refusal, err := unanswered(ctx, err)
		return nil, refusal, err
	}
	without := slices.Concat(cov.GetMissing(), cov.GetUnknown())
	slices.Sort(without)
	r.Evidence("trust", "%d of %d terminals that use this host trust %s", cov.GetTrusting(), cov.GetUsers(), some(subjects(roots)))
	for _, e := range []struct {
		name  string
		names []string
	}{{"terminals that do not trust it", cov.GetMissing()}, {"terminals of which it is not known", cov.GetUnknown()}, {"of these offline", cov.GetOffline()}} {
		if len(e.names) > 0 {
			r.Evidence(e.name, "%s", strings.Join(e.names, ", "))
		}
	}
	return cov, trustRefusal(cov, without, list(r, "accept_missing")), nil
}

func trustRefusal(cov *actionv1.Coverage, without, accepted []string) *actionv1.Plan {
	if lacking := int(cov.GetUsers()) - int(cov.GetTrusting()); lacking > len(without) {
		return sdk.Refuse(fmt.Sprintf("%d of %d terminals that use this host do not trust the new certificate's root", lacking, cov.GetUsers()),
			"install the root on them with root-cert-install first: they are too many to be accepted by name")
	}
	open, needless := except(without, accepted), except(accepted, without)
	switch {
	case len(open) > 0:
		return sdk.Refuse(fmt.Sprintf("%d of %d terminals that use this host trust the new certificate's root; these do not, or it is not known of them: %s",
			cov.GetTrusting(), cov.GetUsers(), some(open)),
			"install the root on them with root-cert-install and scan them with cert-scan; or accept each by name with accept_missing="+strings.Join(without, ","))
	case len(needless) > 0:
		return sdk.Refuse(fmt.Sprintf("accept_missing names %s, which trust the new certificate's root or do not use this host", some(needless)),
			"name exactly the terminals that may be cut off, then plan again")
	}
	return nil
}

// except are those of the names that are not among others, whatever their case.
func except(names, others []string) []string {
	var out []string
	for _, name := range names {
		if !slices.ContainsFunc(others, func(o string) bool { return strings.EqualFold(o, name) }) {
			out = append(out, name)
		}
	}
	return out
}

func subjects(certificates []*actionv1.Certificate) []string {
	var out []string
	for _, c := range certificates {
		out = append(out, c.GetSubject())
	}
	return slices.Compact(out)
}
