package guided

import (
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Events that people are told of.
const (
	eventCreated   = "guided.created"
	eventEscalated = "guided.escalated"
)

func notice(event string, t *fleetv1.GuidedTask, summary string, now time.Time) *fleetv1.Notice {
	n := &fleetv1.Notice{
		Event: event, Site: t.GetSite(), Time: timestamppb.New(now), Summary: summary, Object: t.GetId(), TerminalName: t.GetTerminalName(), Entry: t.GetEntry(),
	}
	if t.GetReason() != "" {
		n.Details = append(n.Details, t.GetReason())
	}
	if t.GetDue() != nil {
		n.Details = append(n.Details, "due "+clock(t.GetDue()))
	}
	return n
}

// summary names a task in one line: which, how urgent, about what, for whom.
func summary(t *fleetv1.GuidedTask) string {
	s := "guided task " + t.GetId()
	if t.GetPriority() == fleetv1.GuidedPriority_GUIDED_PRIORITY_URGENT {
		s = "URGENT " + s
	}
	s += ": " + t.GetTitle()
	if about := about(t); about != "" {
		s += " (" + about + ")"
	}
	if t.GetAssignee() != "" {
		s += ", for " + t.GetAssignee()
	}
	return s
}

func about(t *fleetv1.GuidedTask) string {
	switch {
	case t.GetBand() != "":
		return "band " + t.GetBand()
	case t.GetTerminalName() != "":
		return t.GetTerminalName()
	default:
		return "site " + t.GetSite()
	}
}

func clock(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) }

// outcomeWord writes how a task ended, as people type it.
func outcomeWord(t *fleetv1.GuidedTask) string {
	switch {
	case t.GetState() == fleetv1.GuidedState_GUIDED_STATE_MOOT:
		return "moot"
	case t.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_UNSPECIFIED:
		return "open"
	default:
		return wordOf(t.GetOutcome())
	}
}

func wordOf(o fleetv1.GuidedOutcome) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(o.String(), "GUIDED_OUTCOME_"), "_", "-"))
}

// oneLine keeps what a machine, a plugin or a log wrote from steering the screens on which people read it.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
