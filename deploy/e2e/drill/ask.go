package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// answerTimeout is how long a person has.
const answerTimeout = 10 * time.Minute

// ask asks a person whether the light is green, and does nothing else.
type ask struct{}

func (ask) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "ask", Version: "1.0.0", Summary: "Ask about the light", Description: "Use it in tests.", Undo: "Nothing is changed.",
		Verifies: "A person has said yes.", Source: "own", Roles: []string{"user-terminal"}, Resources: []string{"light"},
		Capabilities:  []*actionv1.Capability{sdk.AskPerson()},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, MaxDuration: durationpb.New(answerTimeout + time.Minute),
	}
}

func (ask) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(sdk.Planned("light", sdk.Confirm("is the light green?", answerTimeout), "nobody has said", "a person has said yes")), nil
}

func (ask) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("asking about the light")
	_, err := r.Confirm(ctx, "light")
	return err
}

func (ask) Verify(_ context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	answer := r.Effect("light").GetAfter().GetConfirmation()
	return sdk.Verdict(sdk.Check("the light is green", "yes", "said by "+answer.GetBy(), answer.GetConfirmed())), nil
}
