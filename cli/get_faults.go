package cli

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/cli/exit"
	"github.com/bandfleet/bandfleet/cli/output"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// defaultFaultLimit is how many faults a list shows unless told otherwise.
const defaultFaultLimit = 500

type getFaultsOptions struct {
	site, terminal, entry, incident string
	states                          []string
	since                           time.Duration
	limit                           int
	watch                           bool
}

func newGetFaults(a *app) *cobra.Command {
	c := faultsCommand(a, "get faults")
	c.Aliases = []string{"fault"}
	return c
}

// newFaults is "get faults" under a name that is typed faster.
func newFaults(a *app) *cobra.Command { return faultsCommand(a, "faults") }

func faultsCommand(a *app, path string) *cobra.Command {
	o := &getFaultsOptions{}
	c := &cobra.Command{
		Use:   "faults",
		Short: "List what is wrong with terminals, the newest first",
		Long: `Lists faults of your sites, the newest first: what agents see, what jobs have found and what people have reported. Without --since and
--state those that are not resolved; with --since all that were seen or resolved within that time. With --watch it goes on with each
change until Ctrl-C: on a terminal the open faults are drawn in place, elsewhere each change is a line.`,
		Example: "  fleetctl " + path + " --site lyon\n  fleetctl " + path + " --since 12h\n  fleetctl " + path + " --watch",
		Args:    takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.watch {
				return runWatchFaults(cmd, a, o)
			}
			return runGetFaults(cmd.Context(), a, o, cmd.Flags().Changed("since"))
		},
	}
	f := c.Flags()
	f.StringVar(&o.site, "site", "", "of this `site` only")
	f.StringVar(&o.terminal, "terminal", "", "of this `terminal` only, by name or id")
	f.StringVar(&o.entry, "entry", "", "of this `entry` of the catalogue only")
	f.StringVar(&o.incident, "incident", "", "members of this `incident` only")
	f.StringSliceVar(&o.states, "state", nil, "only in these `states`: "+strings.Join(words(fleetv1.FaultState(0)), ", "))
	spanVar(f, &o.since, "since", 0, "seen or resolved within this time (12h), resolved ones included")
	f.BoolVarP(&o.watch, "watch", "w", false, "go on with each change")
	f.IntVar(&o.limit, "limit", defaultFaultLimit, "most faults to list; 0 means all")
	mustComplete(c, "site", a.completeSites)
	mustComplete(c, "terminal", a.completeTerminals)
	mustComplete(c, "state", fixedCompletion(words(fleetv1.FaultState(0))...))
	return c
}

func (o *getFaultsOptions) request(now time.Time, since bool) (*fleetv1.ListFaultsRequest, error) {
	r := &fleetv1.ListFaultsRequest{Site: o.site, Terminal: o.terminal, Entry: o.entry, Incident: o.incident}
	for _, text := range o.states {
		state, err := parseWord[fleetv1.FaultState]("--state", text)
		if err != nil {
			return nil, err
		}
		r.States = append(r.States, state)
	}
	if since {
		r.Since = timestamppb.New(now.Add(-o.since))
	}
	return r, nil
}

func runGetFaults(ctx context.Context, a *app, o *getFaultsOptions, since bool) error {
	req, err := o.request(a.now(), since)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.ListFaults(ctx, req, o.limit)
	if err != nil {
		return err
	}
	err = printList(a, listing[*fleetv1.Fault]{
		noun: "faults", document: resp, rows: resp.GetFaults(), columns: faultColumns(a), name: (*fleetv1.Fault).GetId,
	})
	if err == nil && resp.GetNextPageToken() != "" {
		a.info.Line("there are older ones; --limit 0 lists all")
	}
	return err
}

func faultColumns(a *app) []output.Column[*fleetv1.Fault] {
	return []output.Column[*fleetv1.Fault]{
		{Title: "FAULT", Text: (*fleetv1.Fault).GetId},
		{Title: "STATE", Text: faultState, Style: faultStyle},
		{Title: "TERMINAL", Text: (*fleetv1.Fault).GetTerminalName},
		{Title: "SITE", Text: (*fleetv1.Fault).GetSite},
		{Title: "WHAT", Text: (*fleetv1.Fault).GetTitle},
		{Title: "SUBJECT", Text: (*fleetv1.Fault).GetSubject},
		{Title: "SINCE", Text: func(f *fleetv1.Fault) string { return output.Ago(f.GetFirstSeen(), a.now()) }},
		{Title: "SEEN", Text: func(f *fleetv1.Fault) string { return output.Ago(f.GetLastSeen(), a.now()) }},
		{Title: "NOW", Text: faultNow},
		{Title: "ENTRY", Wide: true, Text: (*fleetv1.Fault).GetEntry},
		{Title: "COUNT", Wide: true, Text: func(f *fleetv1.Fault) string { return number(uint32(min(f.GetCount(), 1<<31))) }},
		{Title: "CAME-BACK", Wide: true, Text: func(f *fleetv1.Fault) string { return number(f.GetReopened()) }},
		{Title: "ASSIGNEE", Wide: true, Text: (*fleetv1.Fault).GetAssignee},
		{Title: "CONFIDENCE", Wide: true, Text: func(f *fleetv1.Fault) string { return word(f.GetConfidence()) }},
		{Title: "DECISION", Wide: true, Text: (*fleetv1.Fault).GetDecision},
	}
}

// faultState is the state; what came back says so.
func faultState(f *fleetv1.Fault) string {
	if f.GetReopened() > 0 && f.GetState() != fleetv1.FaultState_FAULT_STATE_RESOLVED {
		return word(f.GetState()) + " again"
	}
	return word(f.GetState())
}

// faultNow is what is going on with a fault.
func faultNow(f *fleetv1.Fault) string {
	switch {
	case f.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED:
		return f.GetResolvedBy()
	case f.GetIncident() != "":
		return "incident " + f.GetIncident()
	case f.GetJobId() != "":
		return "job " + f.GetJobId()
	case f.GetGuidedTask() != "":
		return "task " + f.GetGuidedTask()
	default:
		return cmp.Or(f.GetAssignee(), f.GetDecision())
	}
}

func faultStyle(f *fleetv1.Fault) output.Style {
	switch f.GetState() {
	case fleetv1.FaultState_FAULT_STATE_RESOLVED:
		return output.Good
	case fleetv1.FaultState_FAULT_STATE_REMEDIATING:
		return output.Active
	case fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED, fleetv1.FaultState_FAULT_STATE_GUIDED:
		return output.Doubt
	default:
		return output.Bad
	}
}

// checkWatch refuses flags that a watch has no use for.
func (o *getFaultsOptions) checkWatch(cmd *cobra.Command) error {
	for _, flag := range []string{"since", "state", "entry", "incident", "limit"} {
		if cmd.Flags().Changed(flag) {
			return exit.Errorf(exit.BadInput, "--watch shows what is open and each change, and takes no --%s", flag).Then("leave out the one or the other")
		}
	}
	return nil
}
