package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Rules of findings.
const (
	ruleExpiry  = "certificate-expiry"
	ruleKey     = "certificate-key"
	ruleUnbound = "certificate-unbound"
	ruleBinding = "binding-certificate"
	ruleRoot    = "approved-root"
	ruleChain   = "nes-chain"
	ruleClock   = "clock-skew"
	ruleStore   = "certificate-store"
)

const (
	levelGood    = actionv1.FindingLevel_FINDING_LEVEL_GOOD
	levelUnknown = actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN
	levelWarning = actionv1.FindingLevel_FINDING_LEVEL_WARNING
	levelProblem = actionv1.FindingLevel_FINDING_LEVEL_PROBLEM
)

const (
	// firstWarning is when the end of a certificate is first spoken of, maxSkew how far a clock may be off: beyond it wrong clocks look
	// like certificates that have expired.
	firstWarning = 60 * day
	maxSkew      = 5 * time.Minute
	// serious is from when on the end of a certificate is a problem.
	serious = 7
)

// expiry says how near the end of a certificate is: the level, and in words ("within 30 days").
func expiry(c *actionv1.Certificate, now time.Time) (actionv1.FindingLevel, string) {
	left := c.GetNotAfter().AsTime().Sub(now)
	switch {
	case now.Before(c.GetNotBefore().AsTime()):
		return levelProblem, "not yet valid"
	case left <= 0:
		return levelProblem, "expired"
	}
	for _, days := range []int{1, 7, 14, 30, 60} {
		if left > time.Duration(days)*day {
			continue
		}
		words := fmt.Sprintf("ends within %d days", days)
		if days == 1 {
			words = "ends within 1 day"
		}
		if days <= serious {
			return levelProblem, words
		}
		return levelWarning, words
	}
	return levelGood, "valid"
}

// judgeCertificates looks at what the machine uses: the certificates with keys, the roots that it needs, and its bindings.
func (s *scan) judgeCertificates() {
	for _, store := range []string{storeWebHosting, storeMy} {
		for _, c := range s.stores[store] {
			s.judgeExpiry(c, store)
			s.judgeUse(c, store)
		}
	}
	for _, store := range []string{storeRoot, storeCA} {
		for _, c := range s.stores[store] {
			if s.needed[c.GetSha256()] {
				s.judgeExpiry(c, store)
			}
		}
	}
	for _, b := range s.report.GetBindings() {
		s.judgeBinding(b)
	}
}

// judgeExpiry is milder with a certificate that nothing uses.
func (s *scan) judgeExpiry(c *actionv1.Certificate, store string) {
	level, words := expiry(c, s.now)
	message := ""
	if level != levelGood {
		message = "replace it before it ends: the certificate of a NES host with tls-cert-rotate, a root with root-cert-install"
	}
	own := store == storeWebHosting || store == storeMy
	if own && s.web && level == levelProblem && !s.isBound(c, store) {
		level, message = levelWarning, "no binding serves it; it may be what an earlier one left"
	}
	s.find(ruleExpiry, level, store+": "+c.GetSubject(), fmt.Sprintf("%s, %s to %s, thumbprint %s", words, date(c.GetNotBefore().AsTime()), date(c.GetNotAfter().AsTime()),
		c.GetSha1()), "valid for more than 60 days", message)
}

func (s *scan) judgeUse(c *actionv1.Certificate, store string) {
	subject := store + ": " + c.GetSubject()
	bound := s.isBound(c, store)
	switch {
	case !c.GetHasPrivateKey() && bound:
		s.find(ruleKey, levelProblem, subject, "no private key", "a private key", "it is bound and cannot be served: import its PFX with tls-cert-rotate")
	case !c.GetHasPrivateKey():
		s.find(ruleKey, levelWarning, subject, "no private key", "a private key", "it cannot be served: import its PFX, or remove it")
	case s.web && !bound && c.GetServerAuth() && !c.GetIsCa():
		s.find(ruleUnbound, levelWarning, subject, "bound nowhere", "a binding that serves it", "bind it with https-binding-set, or leave it if it is an earlier one")
	}
}

func (s *scan) isBound(c *actionv1.Certificate, store string) bool {
	return slices.ContainsFunc(s.report.GetBindings(), func(b *actionv1.Binding) bool {
		return b.GetCertificateSha256() == c.GetSha256() && strings.EqualFold(b.GetStore(), store)
	})
}

func (s *scan) judgeBinding(b *actionv1.Binding) {
	subject := fmt.Sprintf("%s %s:%d%s", b.GetSite(), b.GetAddress(), b.GetPort(), b.GetHost())
	const expected = "a certificate that is in its store"
	const next = "bind one with https-binding-set"
	if b.GetCertificateSha256() == "" {
		s.find(ruleBinding, levelProblem, subject, "no certificate", expected, next)
		return
	}
	for store, there := range s.stores {
		has := func(c *actionv1.Certificate) bool { return c.GetSha256() == b.GetCertificateSha256() }
		if strings.EqualFold(store, b.GetStore()) && !slices.ContainsFunc(there, has) {
			s.find(ruleBinding, levelProblem, subject, "a certificate that is not in the store "+store, expected, next)
			return
		}
	}
	s.find(ruleBinding, levelGood, subject, "certificate sha256 "+b.GetCertificateSha256(), expected, "")
}

func (s *scan) judgeRoot(root *actionv1.ApprovedRoot, trusted bool) {
	if trusted {
		s.find(ruleRoot, levelGood, root.GetName(), "trusted", "trusted", "")
		return
	}
	s.find(ruleRoot, levelWarning, root.GetName(), "not trusted", "trusted", "install it with root-cert-install")
}

func (s *scan) judgeChain(subject string, found *actionv1.NetProbeResult) {
	const expected = "a chain that is trusted here"
	switch {
	case !found.GetHandshake():
		s.find(ruleChain, levelUnknown, subject, servedProblem(found, anyCertificate), expected, "no certificate was served; look at the network first")
	case !found.GetTrusted():
		s.find(ruleChain, levelProblem, subject, found.GetTrustProblem(), expected, "look whether its root is among the approved ones and trusted here, and whether its certificate has ended")
	default:
		s.find(ruleChain, levelGood, subject, "trusted", expected, "")
	}
}

func anyCertificate(*actionv1.Certificate) bool { return true }

func (s *scan) judgeClock(offset time.Duration) {
	level, message := levelGood, ""
	if offset.Abs() > maxSkew {
		level, message = levelProblem, "set the clock: with a wrong one good certificates look as if they had expired"
	}
	s.find(ruleClock, level, "clock", offset.Round(time.Second).String()+" from the server's", "at most 5m", message)
}
