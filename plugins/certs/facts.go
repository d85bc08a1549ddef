package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Stores of the machine. The web server binds what is in two of them (guide: Server Certificates); roots are in the third.
const (
	storeWebHosting = "WebHosting"
	storeMy         = "My"
	storeRoot       = "Root"
	storeCA         = "CA"
)

const day = 24 * time.Hour

// serverTime is the time by the server's clock, as far as the agent knows it: a machine whose clock is wrong must not take a good
// certificate for an expired one.
func serverTime(m *actionv1.MachineState) time.Time {
	return time.Now().Add(-m.GetClockOffset().AsDuration())
}

// readTime reads the server's time.
func readTime(ctx context.Context, r *sdk.Run) (time.Time, error) {
	m, err := r.MachineState(ctx)
	return serverTime(m), err
}

// named is a certificate in words: `"CN=nes-lyon-1" (thumbprint 5f3a…, ends 2026-12-15)`.
func named(c *actionv1.Certificate) string {
	return fmt.Sprintf("%q (thumbprint %s, ends %s)", c.GetSubject(), c.GetSha1(), date(c.GetNotAfter().AsTime()))
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// hasThumbprint says whether a certificate has this SHA-1 or SHA-256.
func hasThumbprint(c *actionv1.Certificate, thumbprint string) bool {
	return thumbprint != "" && (strings.EqualFold(c.GetSha1(), thumbprint) || strings.EqualFold(c.GetSha256(), thumbprint))
}

// uncovered are those of the names for which a certificate is not good.
func uncovered(c *actionv1.Certificate, names []string) []string {
	var out []string
	for _, name := range names {
		if !coversName(c, name) {
			out = append(out, name)
		}
	}
	return out
}

// coversName compares as TLS clients do (RFC 6125): a star stands for one label, the first one. The subject's own name counts for nothing.
func coversName(c *actionv1.Certificate, name string) bool {
	if ip := net.ParseIP(name); ip != nil {
		for _, text := range c.GetIpAddresses() {
			if ip.Equal(net.ParseIP(text)) {
				return true
			}
		}
		return false
	}
	_, parent, _ := strings.Cut(name, ".")
	for _, pattern := range c.GetDnsNames() {
		rest, star := strings.CutPrefix(pattern, "*.")
		if strings.EqualFold(pattern, name) || (star && parent != "" && strings.EqualFold(rest, parent)) {
			return true
		}
	}
	return false
}

// list reads a parameter that is a list.
func list(r *sdk.Run, name string) []string {
	if !r.IsSet(name) {
		return nil
	}
	return strings.Split(r.String(name), ",")
}

// some joins names, and counts those that are too many for a person to read.
func some(names []string) string {
	const most = 40
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// unanswered is the plan of a run whose question to the server had no answer. What the agent does not let it ask is no such thing.
func unanswered(ctx context.Context, err error) (*actionv1.Plan, error) {
	if ctx.Err() != nil {
		return nil, err
	}
	return sdk.Refuse(err.Error(), "see to what the reason says, and that the agent has a session with the server; then plan again"), nil
}
