package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// maxChain bounds a chain; real ones have three certificates.
const maxChain = 8

// trusted is what this machine knows of issuers.
type trusted struct {
	roots, between []*actionv1.Certificate
}

func readTrusted(ctx context.Context, r *sdk.Run) (t trusted, err error) {
	if t.roots, err = r.Certificates(ctx, storeRoot); err != nil {
		return t, err
	}
	t.between, err = r.Certificates(ctx, storeCA)
	return t, err
}

// rootsOf follows a certificate's issuers by name, through what comes with it and what the machine has, to the trusted roots at its end:
// more than one when they have the same name. Signatures are not looked at here: the handshake after the change proves the chain.
func (t trusted) rootsOf(leaf *actionv1.Certificate, with []*actionv1.Certificate, now time.Time) (roots []*actionv1.Certificate, problem string) {
	issuers := slices.Concat(with, t.between)
	last := leaf
	for range maxChain {
		for _, root := range t.roots {
			isAnchor := root.GetSha256() == last.GetSha256() || (!last.GetSelfSigned() && root.GetSubject() == last.GetIssuer())
			if isAnchor && now.Before(root.GetNotAfter().AsTime()) {
				roots = append(roots, root)
			}
		}
		if len(roots) > 0 || last.GetSelfSigned() {
			break
		}
		next := slices.IndexFunc(issuers, func(c *actionv1.Certificate) bool { return c.GetSubject() == last.GetIssuer() && c.GetIsCa() })
		if next < 0 {
			break
		}
		last = issuers[next]
	}
	if len(roots) == 0 {
		return nil, fmt.Sprintf("its chain ends at %q, whose issuer %q is not trusted on this host", last.GetSubject(), last.GetIssuer())
	}
	return roots[:min(len(roots), maxChain)], ""
}

func hashes(certificates []*actionv1.Certificate) []string {
	var out []string
	for _, c := range certificates {
		out = append(out, c.GetSha256())
	}
	return out
}
