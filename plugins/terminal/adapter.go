package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ids of the planned effects on the adapter.
const (
	effectDisable     = "disable"
	effectEnable      = "enable"
	effectEnableAgain = "enable-again"
)

const (
	// deviceTimeout is how long the operating system may take to disable or enable the adapter.
	deviceTimeout = 30 * time.Second
	// portWait is how long the adapter may take to have its serial port again, portPoll how often it is looked at.
	portWait = 30 * time.Second
	portPoll = time.Second
	// cycleMaxDuration is more than the longest course: stop, off, twice enable, port, start twice and the watch at their greatest.
	cycleMaxDuration = 15 * time.Minute
	// portsClass is the class of an adapter that is ready for use; in firmware-update mode it shows under another one.
	portsClass = "Ports"
	// windows7 is how the version of Windows 7 begins: disabling a device there was never tried.
	windows7 = "6.1"
)

const swapAdapter = "swap the adapter for another one (guided task: put the old one aside as defective), then run ble-restart"

// bleAdapterCycle disables and enables the Bluetooth adapter, which does in software what pulling and plugging it does by hand.
//
// An interrupted run is left to Verify: the agent has made sure that the adapter is enabled and the service runs.
type bleAdapterCycle struct{}

func (bleAdapterCycle) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "ble-adapter-cycle",
		Version: "1.0.0",
		Summary: "Disable and enable the Bluetooth adapter, as if it were pulled out and plugged in",
		Description: "Use it when the adapter has a problem code, or ble-restart did not help. It stops the Bluetooth Endpoint, disables the adapter for " +
			"off_for, enables it, waits for its serial port and starts the endpoint. It is for exactly one adapter. An adapter that is stuck in its " +
			"firmware-update mode has no serial port and is not cycled: it must be swapped.",
		Params: append(append([]*actionv1.Param{
			sdk.Duration("off_for", 5*time.Second, 2*time.Second, time.Minute, "how long the adapter stays disabled"),
		}, bleservice.Timing()...), bleservice.AllowInSession()),
		BudgetRules: cycleBudget(),
		Capabilities: []*actionv1.Capability{
			sdk.ReadService(bleservice.Endpoint),
			sdk.ControlService(bleservice.Endpoint),
			sdk.ReadDevice(bleservice.AdapterVendor, bleservice.AdapterProduct),
			sdk.ControlDevice(bleservice.AdapterVendor, bleservice.AdapterProduct),
			sdk.ReadHost(),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"ble"},
		Disruptive:    true,
		Interrupts:    "Taps, presence and enrolment on the terminal for 10 to 40 seconds. After more than 25 seconds Lock When Away may lock the user's session.",
		Undo:          "The adapter is enabled and the service runs again, in every outcome and after a crash too.",
		Verifies: "Exactly one adapter is present, enabled, with problem code 0 and a serial port; the service runs as a new process and keeps running through " +
			"stable_for.",
		Source:      "Troubleshooting Bluetooth Issues > BLE Tap Doesn't Work (reseat the adapter)",
		Roles:       []string{"user-terminal"},
		MaxDuration: durationpb.New(cycleMaxDuration),
	}
}

// cycleBudget counts the time that the adapter is off too.
func cycleBudget() []*actionv1.BudgetRule {
	rules := bleservice.Budget()
	rules[0].Params = append(rules[0].Params, "off_for")
	return rules
}

func (bleAdapterCycle) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	host, err := r.Host(ctx)
	if err != nil {
		return nil, err
	}
	if host.GetOs() == "windows" && strings.HasPrefix(host.GetOsVersion(), windows7) {
		return sdk.Refuse("this terminal runs Windows 7, where the adapter cannot be cycled safely", "pull the adapter out, plug it in again, then run ble-restart"), nil
	}
	adapter, refusal, err := oneAdapter(ctx, r)
	if err != nil || refusal != nil {
		return refusal, err
	}
	state, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	if refusal := bleservice.NotStartable(state); refusal != nil {
		return refusal, nil
	}
	return planCycle(r, adapter, state), nil
}

// oneAdapter returns the adapter, or the refusal when there is not exactly one that can be cycled.
func oneAdapter(ctx context.Context, r *sdk.Run) (*actionv1.Device, *actionv1.Plan, error) {
	found, err := r.Device(ctx, bleservice.AdapterVendor, bleservice.AdapterProduct)
	if err != nil {
		return nil, nil, err
	}
	devices := found.GetDevices()
	r.Evidence("adapter before", "%s", bleservice.AdapterText(devices))
	switch {
	case len(devices) == 0:
		return nil, sdk.Refuse("no Bluetooth adapter is plugged in", "plug the adapter in, or another one if it is not seen, then run ble-restart"), nil
	case len(devices) > 1:
		return nil, sdk.Refuse(fmt.Sprintf("%d Bluetooth adapters are plugged in: %s", len(devices), bleservice.AdapterText(devices)),
			"leave one plugged in, then run this again"), nil
	case updating(devices[0]):
		return nil, sdk.Refuse(fmt.Sprintf("the Bluetooth adapter (%s, class %q) has no serial port: it is stuck in its firmware-update mode",
			bleservice.AdapterText(devices), devices[0].GetClass()), swapAdapter), nil
	}
	return devices[0], nil, nil
}

// updating says whether an adapter is in firmware-update mode: of another class, or without a port though nothing is wrong with it.
func updating(d *actionv1.Device) bool {
	if d.GetClass() != "" && d.GetClass() != portsClass {
		return true
	}
	return d.GetPort() == "" && d.GetProblemCode() == 0 && !d.GetDisabled()
}

func planCycle(r *sdk.Run, adapter *actionv1.Device, state *actionv1.ServiceState) *actionv1.Plan {
	restart := bleservice.RestartOf(r, bleservice.Endpoint)
	var effects []*actionv1.PlannedEffect
	if !bleservice.Stopped(state) {
		effects = append(effects, restart.Stop(state)...)
	}
	set := func(enabled bool) *actionv1.Effect {
		return sdk.DeviceSet(adapter.GetInstance(), bleservice.AdapterVendor, bleservice.AdapterProduct, enabled, deviceTimeout)
	}
	if !adapter.GetDisabled() {
		effects = append(effects, sdk.Planned(effectDisable, set(false), bleservice.AdapterText([]*actionv1.Device{adapter}), "disabled"))
	}
	effects = append(effects,
		sdk.Planned(effectEnable, set(true), "disabled", "enabled"),
		sdk.OnlyIf("enabling it fails once", sdk.Planned(effectEnableAgain, set(true), "disabled", "enabled")),
	)
	p := sdk.Ready(append(effects, restart.Start()...)...)
	p.Warnings = restart.LongInterruption()
	return p
}

func (bleAdapterCycle) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	restart := bleservice.RestartOf(&r.Run, bleservice.Endpoint)
	if err := restart.DoStop(ctx, r); err != nil {
		return err
	}
	if r.Planned(effectDisable) != nil {
		r.Progress("disabling the adapter for %s", r.Duration("off_for"))
		if err := r.MustDo(ctx, effectDisable); err != nil {
			return err
		}
		if err := r.Wait(ctx, r.Duration("off_for")); err != nil {
			return err
		}
	}
	if err := enable(ctx, r); err != nil {
		return err
	}
	if err := waitForPort(ctx, &r.Run); err != nil {
		return err
	}
	return restart.DoStart(ctx, r)
}

// enable enables the adapter, twice if need be.
func enable(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("enabling the adapter")
	first, err := r.Do(ctx, effectEnable)
	if err != nil || first.GetError() == "" {
		return err
	}
	second, err := r.Do(ctx, effectEnableAgain)
	if err != nil || second.GetError() == "" {
		return err
	}
	return sdk.Fail(fmt.Sprintf("the adapter could not be enabled, tried twice: %s", second.GetError()),
		"pull the adapter out and plug it in again; if it stays disabled, "+swapAdapter)
}

// waitForPort waits until the adapter has a serial port. Verify says it when it never gets one.
func waitForPort(ctx context.Context, r *sdk.Run) error {
	for left := portWait; left > 0; left -= portPoll {
		found, err := r.Device(ctx, bleservice.AdapterVendor, bleservice.AdapterProduct)
		if err != nil {
			return err
		}
		if len(found.GetDevices()) == 1 && found.GetDevices()[0].GetPort() != "" {
			return nil
		}
		if err := r.Wait(ctx, portPoll); err != nil {
			return err
		}
	}
	return nil
}

func (bleAdapterCycle) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	adapter, err := checkAdapter(ctx, &r.Run)
	if err != nil {
		return nil, err
	}
	service, state, err := bleservice.VerifyRuns(ctx, r, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	service = append(service, bleservice.NewProcess(r, bleservice.Endpoint, state), checkCycled(r))
	v := sdk.Verdict(append(adapter, service...)...)
	switch {
	case !bleservice.AllHold(adapter):
		v.NextStep = "pull the adapter out and plug it in at another USB port; if it stays like this, " + swapAdapter
	case !bleservice.AllHold(service):
		v.NextStep = "run ble-restart on this terminal; if that does not help, run host-reboot"
	}
	return v, nil
}

func checkAdapter(ctx context.Context, r *sdk.Run) ([]*actionv1.Check, error) {
	found, err := r.Device(ctx, bleservice.AdapterVendor, bleservice.AdapterProduct)
	if err != nil {
		return nil, err
	}
	devices := found.GetDevices()
	text := bleservice.AdapterText(devices)
	r.Evidence("adapter after", "%s", text)
	var d *actionv1.Device
	if len(devices) == 1 {
		d = devices[0]
	}
	port := d.GetPort()
	if port == "" {
		port = "no serial port"
	}
	return []*actionv1.Check{
		sdk.Check("the Bluetooth adapter works", "exactly one, enabled, problem code 0", text, d != nil && d.GetProblemCode() == 0 && !d.GetDisabled()),
		sdk.Check("the adapter has a serial port", "a serial port", port, d.GetPort() != ""),
	}, nil
}

// checkCycled checks that the adapter was enabled by this run: an interrupted one may never have come to it.
func checkCycled(r *sdk.VerifyRun) *actionv1.Check {
	const name = "the adapter was cycled"
	for _, id := range []string{effectEnable, effectEnableAgain} {
		if e := r.Effect(id); e != nil && e.GetError() == "" && !e.GetAfter().GetDevice().GetDisabled() {
			return sdk.Check(name, "enabled by this run", "enabled by this run", true)
		}
	}
	return sdk.Check(name, "enabled by this run", "this run did not come to it", false)
}
