package main

import (
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// candidate is a certificate that a binding is to serve.
type candidate struct {
	*actionv1.Certificate
	// with is what comes with it in its PFX.
	with []*actionv1.Certificate
	// store is where the binding finds it.
	store string
}

// problems says why it must not be served: for less than minDays, not for all names in use, or not for TLS servers.
func (c candidate) problems(now time.Time, minDays int64, names []string) []string {
	var out []string
	left := c.GetNotAfter().AsTime().Sub(now)
	switch {
	case now.Before(c.GetNotBefore().AsTime()):
		out = append(out, "it is not valid before "+date(c.GetNotBefore().AsTime()))
	case left <= 0:
		out = append(out, "it expired on "+date(c.GetNotAfter().AsTime()))
	case left < time.Duration(minDays)*day:
		out = append(out, fmt.Sprintf("it ends in %d days, min_days is %d", int(left/day), minDays))
	}
	if !c.GetServerAuth() {
		out = append(out, "it may not be used by TLS servers")
	}
	if lacking := uncovered(c.Certificate, names); len(lacking) > 0 {
		out = append(out, "it is not for the names in use "+some(lacking))
	}
	return out
}
