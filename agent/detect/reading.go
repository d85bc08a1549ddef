package detect

import (
	"time"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// Reading is the value of a signal, as it was read last.
type Reading struct {
	// Signal is one of catalogue.Signals, Subject which of several it is about; empty when there is one only.
	Signal, Subject string
	// Value is one of the signal's, or catalogue.Unknown.
	Value string
	// Evidence is what was seen, ready to be shown: names of people are masked.
	Evidence []*agentv1.Evidence
	// Read is when, by the server's clock.
	Read time.Time
}
