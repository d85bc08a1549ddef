package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// populateFaults leaves an open fault with hostile evidence, a member of an incident, and one that is resolved.
func (f *fakeFleet) populateFaults() {
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(testNow.Add(-d)) }
	f.wrong = []*fleetv1.Fault{
		{
			Id: "F-1", Entry: "nbe-missing", Title: "The Bluetooth Endpoint is not running", TerminalId: "T-0001", TerminalName: "lyon-01", Site: "lyon",
			State: fleetv1.FaultState_FAULT_STATE_RESOLVED, FirstSeen: ago(3 * time.Hour), LastSeen: ago(2 * time.Hour), Count: 4, Resolved: ago(time.Hour),
			ResolvedBy: "reflex start-stopped-services", Confidence: agentv1.Confidence_CONFIDENCE_STATE,
		},
		{
			Id: "F-2", Entry: "nba-nes-network-down", Title: "The NES host cannot be reached", TerminalId: "T-0001", TerminalName: "lyon-01", Site: "lyon",
			Subject: "nes-lyon-1.example", State: fleetv1.FaultState_FAULT_STATE_OPEN, FirstSeen: ago(time.Minute), LastSeen: ago(10 * time.Second), Count: 1,
			Incident: "I-12", Confidence: agentv1.Confidence_CONFIDENCE_STATE, Rule: "state",
		},
		{
			Id: "F-3", Entry: "ble-adapter-missing", Title: "The adapter is missing", TerminalId: "T-0001", TerminalName: "lyon-01", Site: "lyon",
			State: fleetv1.FaultState_FAULT_STATE_OPEN, FirstSeen: ago(2 * time.Minute), LastSeen: ago(time.Second), Count: 2, Reopened: 1,
			Confidence: agentv1.Confidence_CONFIDENCE_STATE, Rule: "state", Candidates: []string{"ble-tap-adapter-fault"},
			Evidence: []*agentv1.Evidence{{Name: "line", Value: "evil \x1b[31mred\r\nfake: line"}},
			History:  []*fleetv1.FaultEvent{{Time: ago(2 * time.Minute), Actor: "agent", Text: "seen: evil \x1b[2J", State: fleetv1.FaultState_FAULT_STATE_OPEN}},
		},
	}
}

func (f *fakeFleet) aFault(id string) (*fleetv1.Fault, error) {
	for _, x := range f.wrong {
		if strings.EqualFold(x.GetId(), id) {
			return x, nil
		}
	}
	return nil, refuse(codes.NotFound, "fault \""+id+"\": not found", "NOT_FOUND")
}

func (f *fakeFleet) ListFaults(_ context.Context, r *fleetv1.ListFaultsRequest) (*fleetv1.ListFaultsResponse, error) {
	answer := &fleetv1.ListFaultsResponse{}
	for _, x := range slices.Backward(f.wrong) {
		resolved := x.GetState() == fleetv1.FaultState_FAULT_STATE_RESOLVED
		if resolved && r.GetSince() == nil && len(r.GetStates()) == 0 || len(r.GetStates()) > 0 && !slices.Contains(r.GetStates(), x.GetState()) ||
			r.GetSite() != "" && r.GetSite() != x.GetSite() || r.GetIncident() != "" && r.GetIncident() != x.GetIncident() {
			continue
		}
		answer.Faults = append(answer.Faults, proto.CloneOf(x))
	}
	return answer, nil
}

func (f *fakeFleet) GetFault(_ context.Context, r *fleetv1.GetFaultRequest) (*fleetv1.GetFaultResponse, error) {
	x, err := f.aFault(r.GetId())
	return &fleetv1.GetFaultResponse{Fault: proto.CloneOf(x), Breakers: []*fleetv1.Breaker{
		{Action: "ble-adapter-reset", Open: true, Attempts: 3, Until: timestamppb.New(testNow.Add(40 * time.Minute))},
	}}, err
}

// WatchFaults tells what is open, then that the newest is gone; then, with "refuse-watch", that the caller may not know more.
func (f *fakeFleet) WatchFaults(_ *fleetv1.WatchFaultsRequest, st fleetv1.FaultService_WatchFaultsServer) error {
	f.state.Lock()
	answer, err := f.ListFaults(st.Context(), &fleetv1.ListFaultsRequest{})
	f.state.Unlock()
	if err != nil {
		return err
	}
	messages := []*fleetv1.WatchFaultsResponse{{Reset_: true}}
	for _, x := range slices.Backward(answer.GetFaults()) {
		messages = append(messages, &fleetv1.WatchFaultsResponse{Fault: x})
	}
	last := proto.CloneOf(answer.GetFaults()[0])
	last.State, last.ResolvedBy = fleetv1.FaultState_FAULT_STATE_RESOLVED, "by itself"
	messages = append(messages, &fleetv1.WatchFaultsResponse{Current: true}, &fleetv1.WatchFaultsResponse{Fault: last})
	for _, m := range messages {
		if err := st.Send(m); err != nil {
			return err
		}
	}
	if f.has("refuse-watch") {
		return refuse(codes.PermissionDenied, "operator \"admin\": may not do this", "NOT_ALLOWED")
	}
	<-st.Context().Done()
	return st.Context().Err()
}

func (f *fakeFleet) ReportFault(ctx context.Context, r *fleetv1.ReportFaultRequest) (*fleetv1.ReportFaultResponse, error) {
	x := &fleetv1.Fault{
		Id: "F-4", Entry: r.GetEntry(), Title: "The band is dead", TerminalName: r.GetTerminal(), Site: "lyon", Subject: r.GetSubject(),
		State: fleetv1.FaultState_FAULT_STATE_OPEN, ReportedBy: caller(ctx), FirstSeen: at(0), LastSeen: at(0), Count: 1,
	}
	f.wrong = append(f.wrong, x)
	return &fleetv1.ReportFaultResponse{Fault: x}, nil
}

func (f *fakeFleet) AckFault(_ context.Context, r *fleetv1.AckFaultRequest) (*fleetv1.AckFaultResponse, error) {
	x, err := f.aFault(r.GetId())
	if err != nil {
		return nil, err
	}
	x.State = fleetv1.FaultState_FAULT_STATE_ACKNOWLEDGED
	return &fleetv1.AckFaultResponse{Fault: x}, nil
}

func (f *fakeFleet) ResolveFault(ctx context.Context, r *fleetv1.ResolveFaultRequest) (*fleetv1.ResolveFaultResponse, error) {
	x, err := f.aFault(r.GetId())
	if err != nil {
		return nil, err
	}
	if r.GetReason() == "" {
		return nil, refuse(codes.InvalidArgument, "fault \""+r.GetId()+"\": is resolved without a reason", "NO_REASON")
	}
	x.State, x.ResolvedBy = fleetv1.FaultState_FAULT_STATE_RESOLVED, caller(ctx)+": "+r.GetReason()
	return &fleetv1.ResolveFaultResponse{Fault: x}, nil
}

func (f *fakeFleet) AssignFault(_ context.Context, r *fleetv1.AssignFaultRequest) (*fleetv1.AssignFaultResponse, error) {
	x, err := f.aFault(r.GetId())
	if err != nil {
		return nil, err
	}
	x.Assignee = r.GetAssignee()
	return &fleetv1.AssignFaultResponse{Fault: x}, nil
}

func (f *fakeFleet) ListIncidents(context.Context, *fleetv1.ListIncidentsRequest) (*fleetv1.ListIncidentsResponse, error) {
	return &fleetv1.ListIncidentsResponse{Incidents: []*fleetv1.Incident{{
		Id: "I-12", Site: "lyon", Kind: "nes-host", Subject: "nes-lyon-1.example", Title: "many terminals have trouble with the NES host nes-lyon-1.example",
		Opened: timestamppb.New(testNow.Add(-5 * time.Minute)), Members: 40, OpenMembers: 38, CauseFault: "F-9",
	}}}, nil
}

func (f *fakeFleet) ListUnmatchedLines(context.Context, *fleetv1.ListUnmatchedLinesRequest) (*fleetv1.ListUnmatchedLinesResponse, error) {
	return &fleetv1.ListUnmatchedLinesResponse{Lines: []*fleetv1.UnmatchedLine{
		{Site: "lyon", FileClass: "nem", Template: "error # while \x1b[2Jreading", Count: 17, Terminals: 3, LastSeen: at(0)},
	}}, nil
}
