package detect

import (
	"context"
	"errors"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// soon is how long before its end a certificate is said to be expiring.
const soon = 30 * 24 * time.Hour

// validity is what a certificate's dates say. One that is not valid yet is as useless as one that is over.
func validity(c *actionv1.Certificate, now time.Time) string {
	switch {
	case ended(c, now):
		return "expired"
	case now.Add(soon).After(c.GetNotAfter().AsTime()):
		return "expiring"
	}
	return "ok"
}

func certificateSeen(c *actionv1.Certificate) []seen {
	return []seen{
		said("certificate", c.GetSubject()), said("not after", c.GetNotAfter().AsTime().UTC().Format(time.RFC3339)),
		said("thumbprint", c.GetSha1()), said("store", c.GetStore()),
	}
}

// readRoots reads whether the site's approved roots are trusted here.
func readRoots(ctx context.Context, v view) ([]Reading, error) {
	const signal = "root-certificate"
	if len(v.site.GetApprovedRoots()) == 0 {
		return nil, nil
	}
	trusted, err := v.cfg.Host.Certificates.List(ctx, "Root")
	if err != nil {
		return nil, err
	}
	var all []Reading
	for _, root := range v.site.GetApprovedRoots() {
		c := bySHA256(trusted, root.GetSha256())
		if c == nil {
			all = append(all, readOf(signal, root.GetName(), "missing", said("sha256", root.GetSha256())))
			continue
		}
		all = append(all, readOf(signal, root.GetName(), validity(c, time.Now()), certificateSeen(c)...))
	}
	return all, nil
}

func bySHA256(all []*actionv1.Certificate, sha256 string) *actionv1.Certificate {
	for _, c := range all {
		if strings.EqualFold(c.GetSha256(), sha256) {
			return c
		}
	}
	return nil
}

// readOwnCertificate judges the agent's own certificate by the server's clock. It is renewed at two thirds of its life; one that has less than
// a fifth left was not.
func readOwnCertificate(_ context.Context, v view) ([]Reading, error) {
	const signal = "agent-certificate"
	if v.cfg.Certificate == nil || v.cfg.Certificate() == nil {
		return unknown(errors.New("the agent has none"), signal), nil
	}
	own := v.cfg.Certificate()
	life, left := own.NotAfter.Sub(own.NotBefore), own.NotAfter.Sub(v.cfg.Now())
	return []Reading{read(signal, either(left < life/5, "expiring", "ok"), said("not after", own.NotAfter.UTC().Format(time.RFC3339)))}, nil
}

// readAuthorities reads the CA certificates of NES in the stores of authorities and of the machine's own certificates. They are known by their
// names: those of the vendor's authorities have NES or Nymi in them.
func readAuthorities(ctx context.Context, v view) ([]Reading, error) {
	var all []Reading
	for _, store := range []string{"CA", "My"} {
		list, err := v.cfg.Host.Certificates.List(ctx, store)
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if c.GetIsCa() && ofNES(c) {
				all = append(all, readOf("ca-certificate", c.GetSha256(), validity(c, time.Now()), certificateSeen(c)...))
			}
		}
	}
	return all, nil
}

func ofNES(c *actionv1.Certificate) bool {
	name := strings.ToUpper(c.GetSubject())
	return strings.Contains(name, "NYMI") || strings.Contains(name, "NES") && strings.Contains(name, "L2") || strings.Contains(name, "NESL1") ||
		strings.Contains(name, "L2_")
}
