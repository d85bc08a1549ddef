package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// lookAtRoots records whether the site's approved roots are trusted here.
func lookAtRoots(ctx context.Context, e *exam) {
	const rule, expected = "root", "in the store of trusted roots"
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown(rule, "approved roots", expected, err.Error())
		return
	}
	if len(site.GetApprovedRoots()) == 0 {
		e.unknown(rule, "approved roots", expected, "the site has no approved roots; add them to the site")
		return
	}
	trusted, err := e.store(ctx, "Root")
	if err != nil {
		e.unknown(rule, "approved roots", expected, err.Error())
		return
	}
	for _, root := range site.GetApprovedRoots() {
		c := certificateOf(trusted, root.GetSha256())
		e.judge(c != nil, problem, rule, root.GetName(), map[bool]string{true: "trusted", false: "not trusted"}[c != nil], expected,
			fmt.Sprintf("run root-cert-install cert=%s on this terminal", root.GetName()))
		if c != nil {
			e.validity("root-valid", root.GetName(), c, "approve and install the root that follows it (action root-cert-install)")
		}
	}
}

func certificateOf(all []*actionv1.Certificate, sha256 string) *actionv1.Certificate {
	for _, c := range all {
		if c.GetSha256() == sha256 {
			return c
		}
	}
	return nil
}

// validity judges when a certificate is valid.
func (e *exam) validity(rule, subject string, c *actionv1.Certificate, message string) {
	from, to, now := c.GetNotBefore().AsTime(), c.GetNotAfter().AsTime(), time.Now()
	value := "not after " + to.UTC().Format(time.DateOnly)
	level := problem
	switch {
	case now.After(to):
		value += ", expired"
	case now.Before(from):
		value = "not before " + from.UTC().Format(time.DateOnly)
	case now.Add(soon).After(to):
		level = warning
	}
	good := !now.After(to) && !now.Before(from) && !now.Add(soon).After(to)
	e.judge(good, level, rule, subject, value, "valid for 30 days and more", message)
}

// lookAtBindings records the https bindings of NES' sites and the certificates that are bound.
func lookAtBindings(ctx context.Context, e *exam) {
	const rule, expected = "binding", "an https binding with a certificate"
	bindings, err := e.r.Bindings(ctx)
	if err != nil {
		e.unknown(rule, "https bindings", expected, err.Error())
		return
	}
	sites := e.nesSites(ctx)
	found := 0
	for _, b := range bindings {
		if containsFold(sites, b.GetSite()) {
			found++
			e.binding(ctx, b)
		}
	}
	if found == 0 {
		e.judge(false, problem, rule, sites[0], "no https binding", expected, "make one with action https-binding-set")
	}
}

// nesSites are the sites of the NES applications; the default one when IIS names none.
func (e *exam) nesSites(ctx context.Context) []string {
	inv, err := e.webServer(ctx)
	sites := neshost.Sites(neshost.Applications(inv))
	if err != nil || len(sites) == 0 {
		return []string{neshost.DefaultSite}
	}
	return sites
}

func (e *exam) binding(ctx context.Context, b *actionv1.Binding) {
	const rule, expected = "binding", "a certificate that is in its store, with its key"
	subject := fmt.Sprintf("%s, %s:%d", b.GetSite(), b.GetAddress(), b.GetPort())
	if b.GetHost() != "" {
		subject += ", " + b.GetHost()
	}
	if b.GetCertificateSha256() == "" {
		e.judge(false, problem, rule, subject, "no certificate", expected, "bind one with action https-binding-set")
		return
	}
	if b.GetStore() != "My" && b.GetStore() != "WebHosting" {
		e.unknown(rule, subject, expected, fmt.Sprintf("it is in the store %q, which is not looked at", b.GetStore()))
		return
	}
	all, err := e.store(ctx, b.GetStore())
	if err != nil {
		e.unknown(rule, subject, expected, err.Error())
		return
	}
	c := certificateOf(all, b.GetCertificateSha256())
	e.judge(c != nil, problem, rule, subject, map[bool]string{true: c.GetSubject(), false: "not in store " + b.GetStore()}[c != nil], expected,
		"bind a certificate that is there (action https-binding-set)")
	if c == nil {
		return
	}
	e.judge(c.GetHasPrivateKey(), problem, "binding-key", subject, map[bool]string{true: "there", false: "missing"}[c.GetHasPrivateKey()], "the private key is there",
		"import the certificate with its key (action tls-cert-rotate)")
	e.validity("binding-valid", subject, c, "replace it (action tls-cert-rotate); its root must be trusted by all terminals first")
}
