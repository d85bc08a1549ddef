package link

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestCertificateIsRenewedAtTwoThirdsWithoutDroppingTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, runner := newFleet(t), newFakeRunner()
		f.refuseRenewal = []error{status.Error(codes.Unavailable, "busy")}
		l := startLink(t, f, runner)
		c := <-f.sessions
		c.welcome(t)
		begun, life := time.Now(), f.ca.Life
		old := l.config.Identity.TLS()

		if at := (<-f.renewals).Sub(begun); at < life/3*2 || at > life/3*2+life/20 {
			t.Errorf("first renewal after %v of a life of %v, want at two thirds and at most a twentieth later", at, life)
		}
		first := time.Now()
		if again := (<-f.renewals).Sub(first); again < 30*time.Second || again > time.Minute {
			t.Errorf("renewal tried again after %v, want 30s to 1m", again)
		}
		synctest.Wait()
		if _, notAfter := l.config.Identity.Life(); notAfter.Before(begun.Add(life + life/2)) {
			t.Errorf("certificate is valid until %v, want the new one's end", notAfter)
		}
		if l.config.Identity.TLS() == old {
			t.Error("the TLS configuration is the old one: a resumed session would show the old certificate")
		}
		c.send(t, plain("still here"))
		runner.want(t, "started", "cancel j-9 still here")
		if len(f.sessions) != 0 {
			t.Error("the session was opened anew, want it undisturbed")
		}
	})
}

func TestDueFollowsTheLife(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		random float64
		want   time.Duration
	}{{0, 60 * time.Hour}, {0.5, 60*time.Hour + 135*time.Minute}} {
		if got := due(begin, begin.Add(90*time.Hour), tc.random).Sub(begin); got != tc.want {
			t.Errorf("due after %v of 90h with random %v, want %v", got, tc.random, tc.want)
		}
	}
}
