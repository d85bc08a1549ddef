package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// tool is the vendor's program for a band's log, by its name on the agent's allow-list, and what the files that it writes are kept as.
const (
	tool    = "firmware-log-tool"
	logKind = "firmware-log"
)

// Ids of the planned effects, beside those of a restart.
const (
	effectConfirm = "confirm"
	effectRun     = "run"
)

const (
	// mostWait is the longest that a person may take to put the band in its place.
	mostWait = 4 * time.Hour
	// maxDuration is more than that and the longest course after it: stop, run, start twice and the watch at their greatest.
	maxDuration = mostWait + time.Hour
	// leastFree is how much of the disk must be free, in bytes.
	leastFree = 200 << 20
)

// logsFetch fetches the internal log of one band, which lies on its charger beside the adapter.
//
// An interrupted run is left to Verify: the agent has made sure that the endpoint runs, and the record says whether a log was written.
type logsFetch struct{}

func (logsFetch) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "firmware-logs-fetch",
		Version: "1.0.0",
		Summary: "Fetch the internal log of a band with the vendor's tool, for a consultant",
		Description: "A person puts the band on its charger, close to the Bluetooth antenna of the terminal and with no other band near, and confirms that. Only " +
			"then the Bluetooth Endpoint is stopped and the vendor's tool runs. New files in the tool's folder are kept as they are: they are encrypted and " +
			"never opened. The endpoint is started again in every outcome. The tool runs only if its hash is approved in the agent's configuration.",
		Params: append([]*actionv1.Param{
			sdk.Required(sdk.Text("band_serial", "", "the serial number as printed on the band", 63,
				`[A-Za-z0-9][A-Za-z0-9-]{1,62}`, "a serial number of letters, digits and dashes, such as AAAH-00125")),
			sdk.Duration("timeout", 10*time.Minute, time.Minute, 10*time.Minute, "how long the tool may take; it is ended then"),
			sdk.Duration("confirm_within", 30*time.Minute, time.Minute, mostWait, "how long to wait for the person at the terminal"),
		}, bleservice.Timing()...),
		Capabilities: []*actionv1.Capability{
			sdk.AskPerson(),
			sdk.RunProgram(tool),
			sdk.ReadMachine(),
			sdk.ReadDevice(bleservice.AdapterVendor, bleservice.AdapterProduct),
			sdk.ReadService(bleservice.Endpoint),
			sdk.ControlService(bleservice.Endpoint),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"ble"},
		Disruptive:    true,
		Interrupts:    "Taps, presence and enrolment on the terminal while the tool runs, for 1 to 10 minutes; Lock When Away locks the user's session meanwhile.",
		Undo:          "Nothing is configured. The endpoint runs again in every outcome, and the tool with all that it started is ended.",
		Verifies:      "At least one new file that is not empty was kept, under the band's serial; the endpoint runs again and keeps running through stable_for.",
		Source:        "Log Files > Firmware log files > Firmware log retrieval",
		Roles:         []string{"user-terminal"},
		MaxDuration:   durationpb.New(maxDuration),
	}
}

func (logsFetch) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	program, err := r.Program(ctx, tool)
	if err != nil {
		return nil, err
	}
	if refusal := bleservice.NotApproved(program); refusal != nil {
		return refusal, nil
	}
	r.Evidence("tool", "%s, sha256 %s", program.GetPath(), program.GetSha256())
	if refusal, err := notReady(ctx, r); err != nil || refusal != nil {
		return refusal, err
	}
	state, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	return planFetch(r, program, state), nil
}

// notReady refuses when the terminal is not fit for it.
func notReady(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	adapter, devices, works := bleservice.AdapterState(ctx, r)
	r.Evidence("adapter", "%s", adapter)
	if devices != 1 || !works {
		return sdk.Refuse("the tool needs exactly one Bluetooth adapter that works: "+adapter, "see to the adapter (action ble-adapter-cycle), then run this again"), nil
	}
	machine, err := r.MachineState(ctx)
	if err != nil {
		return nil, err
	}
	return bleservice.DiskFull(machine, leastFree), nil
}

// planFetch asks first: nothing stops before the person has said yes. An endpoint that is not running is left so.
func planFetch(r *sdk.Run, program *actionv1.ProgramState, state *actionv1.ServiceState) *actionv1.Plan {
	serial := r.String("band_serial")
	effects := []*actionv1.PlannedEffect{
		sdk.Planned(effectConfirm, sdk.Confirm(prompt(r), r.Duration("confirm_within")), "not confirmed", "band "+serial+" lies ready"),
	}
	restart := bleservice.RestartOf(r, bleservice.Endpoint)
	used := state.GetInstalled() && !bleservice.Stopped(state) && !state.GetDisabled()
	if used {
		effects = append(effects, restart.Stop(state)...)
	}
	effects = append(effects, sdk.Planned(effectRun, sdk.ProgramRun(tool, r.Duration("timeout"), logKind, serial),
		"no new log", "the log of band "+serial+", written by "+program.GetPath()))
	if used {
		effects = append(effects, restart.Start()...)
	}
	p := sdk.Ready(effects...)
	if used {
		p.Warnings = []string{fmt.Sprintf("taps and presence stop for up to %s, and the user's session may lock", r.Duration("timeout"))}
	} else if state.GetInstalled() {
		p.Warnings = []string{fmt.Sprintf("%q is %s now, and is left so", bleservice.Endpoint, bleservice.StatusWord(state))}
	}
	return p
}

// prompt is what the person at the terminal is asked.
func prompt(r *sdk.Run) string {
	return fmt.Sprintf("Put band %s on its charger, close to the Bluetooth antenna of this terminal, and take every other band away, so that the log is that of "+
		"this band. Taps and presence stop for up to %s then, and the session may lock. Confirm when the band lies ready.",
		r.String("band_serial"), r.Duration("timeout"))
}

// Apply starts the endpoint again whatever the tool did.
func (logsFetch) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	answer, err := r.Confirm(ctx, effectConfirm)
	if err != nil {
		return err
	}
	r.Evidence("confirmed by", "%s", answer.GetBy())
	restart := bleservice.RestartOf(&r.Run, bleservice.Endpoint)
	if err := restart.DoStop(ctx, r); err != nil {
		return err
	}
	r.Progress("fetching the log of band %s", r.String("band_serial"))
	rec, err := r.Do(ctx, effectRun)
	if err != nil {
		return err
	}
	if r.Planned(bleservice.EffectStart) != nil {
		if err := restart.DoStart(ctx, r); err != nil {
			return err
		}
	}
	return outcome(rec)
}

// outcome says why the tool's run brought no log, nil when it did.
func outcome(rec *actionv1.RecordedEffect) error {
	const again = "see that the band lies on its charger close to the antenna with no other band near, then run this again"
	switch {
	case rec.GetError() != "":
		return sdk.Fail("the vendor's tool failed: "+rec.GetError(), again)
	case len(logs(rec)) == 0:
		return sdk.Fail("the vendor's tool wrote no new log", again)
	}
	return nil
}

// logs are the new files that are not empty.
func logs(rec *actionv1.RecordedEffect) []*actionv1.FileState {
	var files []*actionv1.FileState
	for _, f := range rec.GetAfter().GetProgram().GetNewFiles() {
		if f.GetSize() > 0 {
			files = append(files, f)
		}
	}
	return files
}

func (logsFetch) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	found := logs(r.Effect(effectRun))
	for _, f := range found {
		r.Evidence("log", "%s, %d bytes, sha256 %s", f.GetPath(), f.GetSize(), f.GetSha256())
	}
	v := sdk.Verdict(sdk.Check("a new log of the band was kept", "at least one new file that is not empty", fmt.Sprintf("%d such files", len(found)), len(found) > 0))
	if r.Effect(bleservice.EffectStop) == nil {
		return v, nil
	}
	running, _, err := bleservice.VerifyRuns(ctx, r, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	v.Checks = append(v.Checks, running...)
	switch {
	case !bleservice.AllHold(running):
		v.NextStep = "run ble-restart on this terminal"
	case len(found) == 0:
		v.NextStep = "run this again with the band on its charger close to the antenna"
	default:
		v.NextStep = "the band may be taken from the charger; give the log to the consultant as it is, it is encrypted"
	}
	return v, nil
}
