package link

import (
	"context"
	"time"

	"github.com/bandfleet/bandfleet/agent/identity"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// longestNap bounds a single wait for the due time: timers stand still while a machine sleeps, its clock does not.
const longestNap = time.Hour

// due is when a certificate is to be renewed: at two thirds of its life, spread over a twentieth of it so that machines
// that enrolled together do not come together. Random is in [0, 1).
func due(notBefore, notAfter time.Time, random float64) time.Time {
	life := notAfter.Sub(notBefore)
	return notBefore.Add(life/3*2 + time.Duration(random*float64(life)/20))
}

// keepCertificate renews the certificate whenever it is due, until ctx ends.
func (l *Link) keepCertificate(ctx context.Context) {
	failures := 0
	random := chance()
	for ctx.Err() == nil {
		notBefore, notAfter := l.config.Identity.Life()
		if wait := due(notBefore, notAfter, random).Sub(l.now()); wait > 0 {
			sleep(ctx, min(wait, longestNap))
			continue
		}
		err := l.renew(ctx)
		if err == nil {
			failures, random = 0, chance()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		l.logRenewal(err, notAfter)
		most := grow(l.timing.renewRetry, l.timing.renewRetryMost, failures)
		failures++
		sleep(ctx, most/2+time.Duration(chance()*float64(most/2)))
	}
}

// renew exchanges the certificate over a connection of its own. The session is not touched, and a session that outlived the
// certificate it was opened with does not stand in the way.
func (l *Link) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.timing.call)
	defer cancel()
	server := l.config.Identity.Record().Server
	csr, err := l.config.Identity.Request()
	if err != nil {
		return err
	}
	conn, err := open(server, l.config.Identity.TLS(), l.dial)
	if err != nil {
		return err
	}
	// The answer is already here when the connection closes.
	defer func() { _ = conn.Close() }()
	answer, err := agentv1.NewAgentServiceClient(conn).Renew(ctx, &agentv1.RenewRequest{Csr: csr})
	if err != nil {
		return explain(server, err)
	}
	if err := l.config.Identity.Renew(identity.Grant{Chain: answer.GetCertificateChain(), Bundle: answer.GetTrustBundle()}); err != nil {
		return err
	}
	_, notAfter := l.config.Identity.Life()
	l.config.Log.Info("certificate renewed", "valid_until", notAfter)
	return nil
}

func (l *Link) logRenewal(err error, notAfter time.Time) {
	if left := notAfter.Sub(l.now()); left <= 0 {
		l.config.Log.Error("the certificate has expired and was not renewed", "expired", notAfter, "cause", err, "next", nextReEnrol)
		return
	}
	l.config.Log.Warn("the certificate was not renewed yet", "valid_until", notAfter, "cause", err)
}
