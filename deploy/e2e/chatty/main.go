// Command chatty is a plugin of the end-to-end tests whose action changes nothing and writes as much as it is told to, in lines
// that tell their own number, so that a test sees what of it arrived. The tests build it; it is no part of the product.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// lineWidth is the length of each line, in bytes.
const lineWidth = 16

type chat struct{}

func (chat) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name: "chat", Version: "1.0.0", Summary: "Write much", Description: "Use it in tests.", Undo: "Nothing is changed.",
		Verifies: "Nothing.", Source: "own", Roles: []string{"user-terminal"}, ReadOnly: true,
		Params: []*actionv1.Param{{
			Name: "lines", Type: actionv1.ParamType_PARAM_TYPE_INTEGER, DefaultValue: "1", Min: "1", Max: "10000000", Help: "how many lines of 16 bytes",
		}},
		Repeatability: actionv1.Repeatability_REPEATABILITY_REPEATABLE, MaxDuration: durationpb.New(time.Minute),
	}
}

func (chat) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.NoChange("it only writes"), nil
}

func (chat) Apply(context.Context, *sdk.ApplyRun) error { return nil }

func (chat) Verify(_ context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	out := bufio.NewWriter(os.Stdout)
	for n := range r.Int("lines") {
		fmt.Fprintf(out, "%0*d\n", lineWidth-1, n)
	}
	return sdk.Verdict(sdk.Check("it wrote", "yes", "yes", true)), out.Flush()
}

func main() { sdk.Serve("chatty", "1.0.0", chat{}) }
