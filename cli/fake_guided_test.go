package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// newGuidedTask makes a task as the server does: of a lost band an urgent one that somebody else has to close, of all else a plain one.
func (f *fakeFleet) newGuidedTask(entry, band, by string) *fleetv1.GuidedTask {
	t := &fleetv1.GuidedTask{
		Id: fmt.Sprintf("G-%d", len(f.guided)+1), Entry: entry, Title: "About " + entry, Site: "lyon", Band: band, State: fleetv1.GuidedState_GUIDED_STATE_OPEN,
		Priority: fleetv1.GuidedPriority_GUIDED_PRIORITY_NORMAL, Assignee: "site-desk", Created: at(0), CreatedBy: by, Reason: "reported", Verify: "it works",
		Steps: []*fleetv1.GuidedStep{
			{Number: 1, Text: "Do the first thing."}, {Number: 2, Text: "Charge it.", Timer: durationpb.New(2 * time.Hour)}, {Number: 3, Text: "Else this.", Optional: true},
		},
	}
	if entry == "band-lost" {
		t.Priority, t.OtherPerson, t.NameWanted = fleetv1.GuidedPriority_GUIDED_PRIORITY_URGENT, true, "the administrator who deactivated the band in NES"
		t.Due, t.Steps = at(30*time.Minute), t.GetSteps()[:1]
	}
	f.guided = append(f.guided, t)
	return t
}

func (f *fakeFleet) guidedTask(id string) (*fleetv1.GuidedTask, error) {
	for _, t := range f.guided {
		if strings.EqualFold(t.GetId(), id) {
			return t, nil
		}
	}
	return nil, notFound("guided task", id)
}

func (f *fakeFleet) CreateGuidedTask(ctx context.Context, r *fleetv1.CreateGuidedTaskRequest) (*fleetv1.CreateGuidedTaskResponse, error) {
	return &fleetv1.CreateGuidedTaskResponse{Task: f.newGuidedTask(r.GetEntry(), r.GetBand(), caller(ctx))}, nil
}

func (f *fakeFleet) ListGuidedTasks(_ context.Context, r *fleetv1.ListGuidedTasksRequest) (*fleetv1.ListGuidedTasksResponse, error) {
	resp := &fleetv1.ListGuidedTasksResponse{}
	for _, t := range f.guided {
		if guidedOpen(t) || r.GetIncludeClosed() {
			resp.Tasks = append(resp.Tasks, t)
		}
	}
	return resp, nil
}

func (f *fakeFleet) GetGuidedTask(_ context.Context, r *fleetv1.GetGuidedTaskRequest) (*fleetv1.GetGuidedTaskResponse, error) {
	t, err := f.guidedTask(r.GetId())
	return &fleetv1.GetGuidedTaskResponse{Task: t}, err
}

func (f *fakeFleet) TakeGuidedTask(ctx context.Context, r *fleetv1.TakeGuidedTaskRequest) (*fleetv1.TakeGuidedTaskResponse, error) {
	t, err := f.guidedTask(r.GetId())
	if err == nil {
		t.State, t.Assignee = fleetv1.GuidedState_GUIDED_STATE_TAKEN, caller(ctx)
	}
	return &fleetv1.TakeGuidedTaskResponse{Task: proto.CloneOf(t)}, err
}

func (f *fakeFleet) TickStep(ctx context.Context, r *fleetv1.TickStepRequest) (*fleetv1.TickStepResponse, error) {
	t, err := f.guidedTask(r.GetId())
	if err != nil {
		return nil, err
	}
	s := t.GetSteps()[r.GetStep()-1]
	switch {
	case r.GetUndo():
		s.Done, s.DoneBy = nil, ""
	case s.GetTimer() != nil && s.GetTimerEnds() == nil:
		s.TimerEnds = at(2 * time.Hour)
	case s.GetTimerEnds() != nil:
		return nil, refuse(codes.FailedPrecondition, "guided task \"G-1\": step 2: has to wait", "TIMER_RUNS")
	default:
		s.Done, s.DoneBy = at(0), caller(ctx)
	}
	return &fleetv1.TickStepResponse{Task: proto.CloneOf(t)}, nil
}

func (f *fakeFleet) NoteGuidedTask(ctx context.Context, r *fleetv1.NoteGuidedTaskRequest) (*fleetv1.NoteGuidedTaskResponse, error) {
	t, err := f.guidedTask(r.GetId())
	if err != nil {
		return nil, err
	}
	n := &fleetv1.GuidedNote{Time: at(0), By: caller(ctx), Text: r.GetText()}
	if len(r.GetFile()) > 0 {
		sum := sha256.Sum256(r.GetFile())
		n.FileName, n.FileSize, n.FileSha256 = r.GetFileName(), uint64(len(r.GetFile())), hex.EncodeToString(sum[:])
		f.attached = r.GetFile()
	}
	t.Notes = append(t.Notes, n)
	return &fleetv1.NoteGuidedTaskResponse{Task: proto.CloneOf(t)}, nil
}

func (f *fakeFleet) EscalateGuidedTask(_ context.Context, r *fleetv1.EscalateGuidedTaskRequest) (*fleetv1.EscalateGuidedTaskResponse, error) {
	t, err := f.guidedTask(r.GetId())
	if err == nil {
		t.Assignee, t.Escalations = orWord(r.GetTo(), "it-operations"), t.GetEscalations()+1
	}
	return &fleetv1.EscalateGuidedTaskResponse{Task: proto.CloneOf(t)}, err
}

func (f *fakeFleet) CloseGuidedTask(ctx context.Context, r *fleetv1.CloseGuidedTaskRequest) (*fleetv1.CloseGuidedTaskResponse, error) {
	t, err := f.guidedTask(r.GetId())
	switch {
	case err != nil:
		return nil, err
	case t.GetNameWanted() != "" && r.GetNamed() == "" && r.GetOutcome() == fleetv1.GuidedOutcome_GUIDED_OUTCOME_FIXED:
		return nil, refuse(codes.InvalidArgument, "guided task \""+t.GetId()+"\": wants to know "+t.GetNameWanted(), "NAME_MISSING")
	}
	t.State, t.Outcome, t.ClosedBy, t.Closed, t.Named = fleetv1.GuidedState_GUIDED_STATE_DONE, r.GetOutcome(), caller(ctx), at(0), r.GetNamed()
	return &fleetv1.CloseGuidedTaskResponse{Task: proto.CloneOf(t)}, nil
}

func (f *fakeFleet) ReadAttachment(_ context.Context, _ *fleetv1.ReadAttachmentRequest) (*fleetv1.ReadAttachmentResponse, error) {
	return &fleetv1.ReadAttachmentResponse{FileName: "x", File: f.attached}, nil
}

func (f *fakeFleet) ReportBand(ctx context.Context, r *fleetv1.ReportBandRequest) (*fleetv1.ReportBandResponse, error) {
	b := f.band(r.GetSerial())
	if b == nil {
		return nil, notFound("band", r.GetSerial())
	}
	resp := &fleetv1.ReportBandResponse{}
	switch r.GetReport() {
	case fleetv1.BandReport_BAND_REPORT_LOST:
		b.Status, b.WipeBeforeUse = fleetv1.BandStatus_BAND_STATUS_LOST, true
		resp.GuidedTask = f.newGuidedTask("band-lost", b.GetSerial(), caller(ctx)).GetId()
	case fleetv1.BandReport_BAND_REPORT_LOCKOUT:
		resp.GuidedTask = f.newGuidedTask("band-lockout", b.GetSerial(), caller(ctx)).GetId()
		resp.LockedUntil = timestamppb.New(testNow.Add(4 * time.Minute))
	case fleetv1.BandReport_BAND_REPORT_FIRMWARE:
		b.FirmwareVersion, b.FirmwareRead, b.FirmwareReadBy = r.GetFirmwareVersion(), at(0), caller(ctx)
	}
	if resp.GetGuidedTask() != "" {
		b.GuidedTasks = append(b.GetGuidedTasks(), resp.GetGuidedTask())
	}
	b.StandsInFor = r.GetStandsInFor()
	b.History = append(b.History, &fleetv1.BandEvent{
		Time: at(0), Actor: "operator/" + caller(ctx), Status: b.GetStatus(), Report: r.GetReport(), Code: r.GetCode(), Failures: r.GetFailures(), Note: r.GetNote(),
	})
	resp.Band = proto.CloneOf(b)
	return resp, nil
}
