package api

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// What a newer client asks for and this server would leave out might bound what is done: nothing is done then.
func TestAnOrderWithAnUnknownFieldIsRefused(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	// Whatever got past the check would meet a server that is not there.
	s := NewJobs(nil, nil, nil)
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"PreviewJob":  asking(unknown, &fleetv1.PreviewJobRequest{}, func(r *fleetv1.PreviewJobRequest) error { _, err := s.PreviewJob(ctx, r); return err }),
		"CreateJob":   asking(unknown, &fleetv1.CreateJobRequest{}, func(r *fleetv1.CreateJobRequest) error { _, err := s.CreateJob(ctx, r); return err }),
		"CancelJob":   asking(unknown, &fleetv1.CancelJobRequest{}, func(r *fleetv1.CancelJobRequest) error { _, err := s.CancelJob(ctx, r); return err }),
		"PauseJob":    asking(unknown, &fleetv1.PauseJobRequest{}, func(r *fleetv1.PauseJobRequest) error { _, err := s.PauseJob(ctx, r); return err }),
		"ResumeJob":   asking(unknown, &fleetv1.ResumeJobRequest{}, func(r *fleetv1.ResumeJobRequest) error { _, err := s.ResumeJob(ctx, r); return err }),
		"ApproveJob":  asking(unknown, &fleetv1.ApproveJobRequest{}, func(r *fleetv1.ApproveJobRequest) error { _, err := s.ApproveJob(ctx, r); return err }),
		"RejectJob":   asking(unknown, &fleetv1.RejectJobRequest{}, func(r *fleetv1.RejectJobRequest) error { _, err := s.RejectJob(ctx, r); return err }),
		"ConfirmTask": asking(unknown, &fleetv1.ConfirmTaskRequest{}, func(r *fleetv1.ConfirmTaskRequest) error { _, err := s.ConfirmTask(ctx, r); return err }),
		"RetryJob":    asking(unknown, &fleetv1.RetryJobRequest{}, func(r *fleetv1.RetryJobRequest) error { _, err := s.RetryJob(ctx, r); return err }),
	} {
		err := call()
		var no *refusal.Error
		if !errors.As(err, &no) || no.Reason != "UNKNOWN_FIELD" || no.Next == "" {
			t.Errorf("%s with a field of a later version: got %v, want it refused with what to do next", name, err)
		}
	}
}

// asking makes a call with a field that nobody knows.
func asking[R proto.Message](unknown []byte, r R, call func(R) error) func() error {
	return func() error {
		r.ProtoReflect().SetUnknown(unknown)
		return call(r)
	}
}
