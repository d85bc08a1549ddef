package notify

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// The kinds of events that are told.
const (
	FaultOpened       = "fault.opened"
	FaultReopened     = "fault.reopened"
	FaultResolved     = "fault.resolved"
	FaultEscalated    = "fault.escalated"
	IncidentOpened    = "incident.opened"
	IncidentResolved  = "incident.resolved"
	BreakerOpened     = "breaker.opened"
	GuidedCreated     = "guided.created"
	GuidedEscalated   = "guided.escalated"
	JobAwaitsApproval = "job.awaiting-approval"
	JobFailed         = "job.failed"
	CertificateEnds   = "certificate.expiring"
	Freeze            = "freeze"
	// test is what TestReceiver sends.
	test = "test"
)

// Events returns every kind of event, in the order in which they are listed to people.
func Events() []string {
	return []string{
		FaultOpened, FaultReopened, FaultResolved, FaultEscalated, IncidentOpened, IncidentResolved, BreakerOpened, GuidedCreated, GuidedEscalated,
		JobAwaitsApproval, JobFailed, CertificateEnds, Freeze,
	}
}

// Bounds of a notice, in bytes. Much of it comes from machines and logs.
const (
	maxSummary = 300
	maxDetail  = 500
	maxDetails = 20
)

// stamp gives a notice its id and time, and makes its texts such that no receiver mistakes them for more than one line each.
func (d *Desk) stamp(n *fleetv1.Notice, sequence uint64) {
	n.Id = fmt.Sprintf("N-%012d", sequence)
	n.Time = timestamppb.New(d.cfg.Now())
	n.Summary = line(n.GetSummary(), maxSummary)
	n.Details = n.GetDetails()[:min(len(n.GetDetails()), maxDetails)]
	n.Details = slices.Clone(n.Details)
	for i, text := range n.GetDetails() {
		n.Details[i] = line(text, maxDetail)
	}
	for _, text := range []*string{&n.Site, &n.Object, &n.TerminalName, &n.Entry} {
		*text = line(*text, maxSummary)
	}
}

// line makes a text one line of printable characters, cut between characters.
func line(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
