// Program testaction is the plugin of the fault tests: three actions that restart the Bluetooth Endpoint, one of each kind of
// repeatability. Before it changes anything an action writes its tag to a file of its own, so that a test can count how often
// each task was begun without asking the agent, whose memory is what is being tested.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const service = "Nymi Bluetooth Endpoint"

const (
	// effectTimeout is longer than any pause in which a machine under load does nothing.
	effectTimeout = 20 * time.Second
	maxDuration   = time.Minute
)

// restart is one of the actions.
type restart struct {
	name          string
	repeatability actionv1.Repeatability
}

// Manifest implements sdk.Action.
func (a restart) Manifest() *actionv1.Action {
	text := func(name, help string) *actionv1.Param {
		return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_STRING, Help: help, Required: true}
	}
	return &actionv1.Action{
		Name: a.name, Version: "1.0.0", Summary: "Restart the endpoint and count it", Description: "For tests of faults alone.",
		Params: []*actionv1.Param{
			text("tag", "what the job is called in the record"), text("record", "the folder of the records"),
			sdk.Duration("stable_for", time.Second, time.Second, maxDuration/2, "how long it must keep running"),
		},
		Capabilities:  []*actionv1.Capability{sdk.ReadService(service), sdk.ControlService(service)},
		Repeatability: a.repeatability, Resources: []string{"ble"}, Disruptive: true, Interrupts: "Taps, for moments.",
		Undo: "The agent makes sure that the service runs.", Verifies: "The service runs as a new process and keeps running.",
		Source: "tests", Roles: []string{"user-terminal"}, MaxDuration: durationpb.New(maxDuration),
	}
}

// Plan implements sdk.Action.
func (a restart) Plan(context.Context, *sdk.Run) (*actionv1.Plan, error) {
	return sdk.Ready(
		sdk.Planned("stop", sdk.StopService(service, effectTimeout), "running", "stopped"),
		sdk.Planned("start", sdk.StartService(service, effectTimeout), "stopped", "running as a new process"),
	), nil
}

// Apply implements sdk.Action.
func (a restart) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	if err := count(r); err != nil {
		return err
	}
	if err := r.MustDo(ctx, "stop"); err != nil {
		return err
	}
	return r.MustDo(ctx, "start")
}

// count adds a line to the terminal's record: the tag and the time.
func count(r *sdk.ApplyRun) error {
	f, err := os.OpenFile(filepath.Join(r.String("record"), r.Terminal().GetName()), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s %s\n", r.String("tag"), time.Now().UTC().Format(time.RFC3339Nano))
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}

// Verify implements sdk.Action.
func (a restart) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	state, err := r.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	fresh := len(r.Effects()) > 0 && state.GetPid() != 0 && state.GetPid() != r.Effects()[0].GetBefore().GetService().GetPid()
	checks := []*actionv1.Check{sdk.Check("its process is new", "another process than before", fmt.Sprintf("process %d", state.GetPid()), fresh)}
	if fresh {
		watched, err := r.WatchService(ctx, service, state.GetPid(), r.Duration("stable_for"))
		if err != nil {
			return nil, err
		}
		checks = append(checks, sdk.Check("it keeps running", "running", watched.GetState().GetStatus().String(), watched.GetStable()))
	}
	return sdk.Verdict(checks...), nil
}

func main() {
	sdk.Serve("testaction", "1.0.0",
		restart{"fault-one-shot", actionv1.Repeatability_REPEATABILITY_ONE_SHOT},
		restart{"fault-repeatable", actionv1.Repeatability_REPEATABILITY_REPEATABLE},
		restart{"fault-probe", actionv1.Repeatability_REPEATABILITY_PROBE})
}
