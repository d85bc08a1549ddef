package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

func newFaultShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "show FAULT",
		Short:             "Show a fault with its evidence and history",
		Long:              "Shows what was seen, what was decided and done, what keeps remedies from being tried again, and what ended it.",
		Example:           "  fleetctl fault show F-1042\n  fleetctl fault show F-1042 -o json",
		Args:              takes(1, "FAULT"),
		ValidArgsFunction: byPlace(a.completeFaults),
		RunE:              func(cmd *cobra.Command, args []string) error { return runFaultShow(cmd.Context(), a, args[0]) },
	}
}

func runFaultShow(ctx context.Context, a *app, id string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.Faults.GetFault(ctx, &fleetv1.GetFaultRequest{Id: id})
	if err != nil {
		return err
	}
	return printObject(a, resp, resp.GetFault().GetId(), func() { describeFault(a, resp) })
}

func describeFault(a *app, r *fleetv1.GetFaultResponse) {
	f := r.GetFault()
	a.out.Fields(0, faultFields(a, f)...)
	if len(f.GetEvidence()) > 0 {
		a.out.Line("")
		a.out.Line("Evidence:")
		for _, e := range f.GetEvidence() {
			a.out.Line("  %s: %s", e.GetName(), e.GetValue())
		}
	}
	if len(r.GetBreakers()) > 0 {
		a.out.Line("")
		a.out.Line("Attempts:")
		for _, b := range r.GetBreakers() {
			a.out.Line("  %s", breakerLine(a, b))
		}
	}
	a.out.Line("")
	a.out.Line("History:")
	for _, e := range f.GetHistory() {
		a.out.Line("  %s  %s  %s: %s", output.UTC(e.GetTime()), word(e.GetState()), e.GetActor(), e.GetText())
	}
	if next := faultNext(f); next != "" {
		a.out.Line("")
		a.out.Line("next: %s", next)
	}
}

func faultFields(a *app, f *fleetv1.Fault) []output.Field {
	fields := []output.Field{
		output.Text("Fault", f.GetId()+"  "+f.GetTitle()),
		{Name: "State", Value: a.out.Paint(faultStyle(f), faultState(f))},
		output.Text("Terminal", f.GetTerminalName()+" ("+f.GetTerminalId()+") at "+f.GetSite()),
		output.Text("Entry", f.GetEntry()),
	}
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, output.Text(name, value))
		}
	}
	add("Subject", f.GetSubject())
	add("Seen", "first "+output.Ago(f.GetFirstSeen(), a.now())+", last "+output.Ago(f.GetLastSeen(), a.now())+", "+output.Count(uint32(min(f.GetCount(), 1<<31)), "time"))
	if f.GetReopened() > 0 {
		add("Came back", output.Count(f.GetReopened(), "time"))
	}
	if f.GetResolved() != nil {
		add("Resolved", output.Ago(f.GetResolved(), a.now())+": "+f.GetResolvedBy())
	}
	add("Reported by", f.GetReportedBy())
	add("Found by", joinWords(", ", f.GetRule(), "confidence "+word(f.GetConfidence())))
	add("May also be", strings.Join(f.GetCandidates(), ", "))
	add("Assigned to", f.GetAssignee())
	add("Incident", f.GetIncident())
	add("Job", f.GetJobId())
	add("Guided task", f.GetGuidedTask())
	add("Policy", f.GetPolicy())
	add("Decision", f.GetDecision())
	return fields
}

// breakerLine is what is known of the attempts of one action.
func breakerLine(a *app, b *fleetv1.Breaker) string {
	line := b.GetAction() + ": " + output.Count(b.GetAttempts(), "attempt")
	if !b.GetOpen() {
		return line
	}
	line += ", no more"
	if b.GetUntil() != nil {
		line += " until " + output.UTC(b.GetUntil()) + " (" + output.Ago(b.GetUntil(), a.now()) + ")"
	}
	if b.GetResetBy() != "" {
		return line + "; " + b.GetResetBy() + " asked for a reset, which its agent has not taken yet"
	}
	return line
}

// faultNext is what a person may do now.
func faultNext(f *fleetv1.Fault) string {
	switch {
	case f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED:
		return ""
	case f.GetIncident() != "":
		return "`fleetctl get faults --incident " + f.GetIncident() + "` lists all that have the same cause"
	case f.GetJobId() != "":
		return "`fleetctl job watch " + f.GetJobId() + "`"
	default:
		return "`fleetctl fault ack " + f.GetId() + "` says that you know of it"
	}
}
