package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Ids of the planned effects of an installation.
const (
	effectInstall    = "install"
	effectSetAside   = "set-aside"
	effectRestore    = "restore"
	effectStartAgent = "start-agent"
)

const (
	// runtimeMaxDuration is more than the longest installation, two starts, the watch and a restart of the machine.
	runtimeMaxDuration = time.Hour
	// runtimeFree is how much of the disk must be free, in bytes: more than any package of the vendor unpacks to.
	runtimeFree = 2 << 30
	ifNeeded    = "if-needed"
	// rebootDelay and rebootBack are what host-reboot has as defaults.
	rebootDelay = 3 * time.Minute
	rebootBack  = 15 * time.Minute
)

// runtimeInstall installs the Nymi Runtime from a package that the agent's configuration approves.
//
// An installer that was interrupted may have done anything, so a person decides then.
type runtimeInstall struct{}

func (runtimeInstall) Manifest() *actionv1.Action {
	return &actionv1.Action{
		Name:    "runtime-install",
		Version: "1.0.0",
		Summary: "Install the Nymi Runtime from an approved package, and keep nbe.toml",
		Description: "Use it when the Bluetooth Endpoint or the Nymi Agent is not installed at all. The package is a program of the agent's allow-list: its " +
			"path, hash and silent arguments are the agent's configuration, with the Nymi Agent selected, which brings the endpoint along. nbe.toml is set " +
			"aside meanwhile and brought back afterwards, whatever the installer does.",
		Params: append([]*actionv1.Param{
			sdk.Required(sdk.Text("package", "", "the package's name on the agent's allow-list", 64, `[a-z0-9][a-z0-9._-]*`, "a name of the agent's allow-list (programs)")),
			sdk.Enum("include", "nymi-agent", "what must be there in the end beside the endpoint", "nymi-agent"),
			sdk.Bool("keep_config", true, "set nbe.toml aside while the installer runs, and bring it back"),
			sdk.Enum("reboot", "never", "whether the machine starts again when Windows asks for it", "never", ifNeeded),
			sdk.Duration("timeout", 10*time.Minute, time.Minute, 10*time.Minute, "how long the installer may take"),
		}, bleservice.Timing()...),
		WhenRules: []*actionv1.WhenRule{
			{Param: "reboot", Value: ifNeeded, Approvals: 1, Reason: "it may start the machine again"},
		},
		Capabilities: []*actionv1.Capability{
			sdk.RunProgram("*"),
			sdk.ReadMachine(),
			sdk.ReadHost(),
			sdk.RebootMachine(),
			sdk.ReadService(bleservice.Endpoint), sdk.ControlService(bleservice.Endpoint),
			sdk.ReadService(bleservice.NymiAgent), sdk.ControlService(bleservice.NymiAgent),
			sdk.ReadConfig(bleservice.Root, "*"),
			sdk.WriteFile(bleservice.Root, bleservice.ConfigFile),
			sdk.WriteFile(bleservice.Root, backups),
		},
		Repeatability: actionv1.Repeatability_REPEATABILITY_ONE_SHOT,
		Resources:     []string{"host", "ble", "nymi-agent"},
		Disruptive:    true,
		Interrupts:    "Taps, presence and all Nymi applications on the terminal for 5 to 15 minutes.",
		Undo:          "An installation cannot be undone; nbe.toml comes back as it was.",
		Verifies:      "Both Nymi services are installed; both run and the endpoint keeps running through stable_for; nbe.toml is as before.",
		Source:        "Troubleshooting Bluetooth Issues > BLE Tap Doesn't Work (Nymi Bluetooth Endpoint is not available)",
		Roles:         []string{"user-terminal"},
		MaxDuration:   durationpb.New(runtimeMaxDuration),
		Approvals:     1,
	}
}

func (runtimeInstall) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	name := r.String("package")
	program, err := r.Program(ctx, name)
	if err != nil {
		return nil, err
	}
	if refusal := bleservice.NotApproved(program); refusal != nil {
		return refusal, nil
	}
	machine, err := r.MachineState(ctx)
	if err != nil {
		return nil, err
	}
	if refusal := bleservice.DiskFull(machine, runtimeFree); refusal != nil {
		return refusal, nil
	}
	file, err := readTOML(ctx, r, bleservice.ConfigFile)
	if err != nil {
		return nil, err
	}
	if refusal := notKeepable(file); refusal != nil && r.Bool("keep_config") {
		return refusal, nil
	}
	return planInstall(ctx, r, program, file)
}

// planInstall orders the effects so that the machine's restart, if there is to be one, comes last.
func planInstall(ctx context.Context, r *sdk.Run, program *actionv1.ProgramState, file *actionv1.ConfigState) (*actionv1.Plan, error) {
	endpoint, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	effects := []*actionv1.PlannedEffect{sdk.Planned(effectInstall, sdk.ProgramRun(r.String("package"), r.Duration("timeout"), "", ""),
		"endpoint "+bleservice.StateText(endpoint), "installed by "+program.GetPath())}
	if effects, err = keepConfig(ctx, r, file, effects); err != nil {
		return nil, err
	}
	restart := bleservice.RestartOf(r, bleservice.Endpoint)
	for _, p := range restart.Start() {
		effects = append(effects, sdk.OnlyIf("the endpoint does not run after the installation", p))
	}
	effects = append(effects, sdk.OnlyIf("the Nymi Agent does not run after the installation",
		sdk.Planned(effectStartAgent, sdk.StartService(bleservice.NymiAgent, r.Duration("start_timeout")), "stopped", "running")))
	if r.String("reboot") != ifNeeded {
		return sdk.Ready(effects...), nil
	}
	host, err := r.Host(ctx)
	if err != nil {
		return nil, err
	}
	reboot := sdk.Reboot(rebootDelay, "This computer restarts in 3m to complete an installation. Please save your work.", host.GetBootId(), rebootBack)
	return sdk.Ready(append(effects, sdk.OnlyIf("Windows asks for a restart",
		sdk.Planned(effectReboot, reboot, "boot "+host.GetBootId(), "another boot")))...), nil
}

// keepConfig puts the effects around an installation that keep nbe.toml, if there is one and it is to be kept. It is set aside before, not
// only brought back after: so the agent knows the file from before the installation, and undoing never leaves the installer's.
func keepConfig(
	ctx context.Context, r *sdk.Run, file *actionv1.ConfigState, effects []*actionv1.PlannedEffect,
) ([]*actionv1.PlannedEffect, error) {
	if !r.Bool("keep_config") || !file.GetExists() {
		return effects, nil
	}
	name := backupName(file)
	kept, err := readTOML(ctx, r, name)
	if err != nil {
		return nil, err
	}
	before := []*actionv1.PlannedEffect{sdk.Planned(effectSetAside, sdk.FileRemove(bleservice.Root, bleservice.ConfigFile, file.GetSha256()),
		describeFile(file), "no nbe.toml while the installer runs")}
	if kept.GetSha256() != file.GetSha256() {
		before = append([]*actionv1.PlannedEffect{sdk.Planned(effectBackup, sdk.FileCopy(bleservice.Root, bleservice.ConfigFile, name, file.GetSha256()),
			describeFile(kept), "the present nbe.toml, kept as "+name)}, before...)
	}
	stop := sdk.StopService(bleservice.Endpoint, r.Duration("stop_timeout"))
	effects = append(append(before, effects...),
		sdk.OnlyIf("the endpoint runs after the installation", sdk.Planned(bleservice.EffectStop, stop, "running", "stopped")),
		sdk.Planned(effectRestore, sdk.FileCopy(bleservice.Root, name, bleservice.ConfigFile, file.GetSha256()), "no nbe.toml, or the installer's", describeFile(file)))
	return effects, nil
}

func (runtimeInstall) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	for _, id := range []string{effectBackup, effectSetAside} {
		if err := doPlanned(ctx, r, id); err != nil {
			return err
		}
	}
	r.Progress("installing %s", r.String("package"))
	rec, err := r.Do(ctx, effectInstall)
	if err != nil {
		return err
	}
	failure := installFailure(rec)
	// Whatever the installer did: the configuration is as before and the services run, as far as they are there.
	if err := afterInstall(ctx, r); err != nil && failure == nil {
		failure = err
	}
	if failure != nil {
		return failure
	}
	return rebootIfNeeded(ctx, r)
}

func installFailure(rec *actionv1.RecordedEffect) error {
	if rec.GetError() == "" {
		return nil
	}
	return sdk.Fail("the installation failed: "+rec.GetError(), "install the Nymi Runtime by hand with the Nymi Agent selected (guided task), then run ble-restart")
}

// afterInstall brings nbe.toml back and starts what does not run, each as far as it goes.
func afterInstall(ctx context.Context, r *sdk.ApplyRun) error {
	agentErr := startAgent(ctx, r)
	return cmp.Or(bringBack(ctx, r), agentErr)
}

// startAgent starts the Nymi Agent when it is there and does not run.
func startAgent(ctx context.Context, r *sdk.ApplyRun) error {
	agent, err := r.Service(ctx, bleservice.NymiAgent)
	if err != nil || !agent.GetInstalled() || bleservice.Running(agent) {
		return err
	}
	return doPlanned(ctx, r, effectStartAgent)
}

// bringBack brings nbe.toml back, when it was set aside, and has the endpoint run with it.
func bringBack(ctx context.Context, r *sdk.ApplyRun) error {
	endpoint, err := r.Service(ctx, bleservice.Endpoint)
	if err != nil {
		return err
	}
	restart := bleservice.RestartOf(&r.Run, bleservice.Endpoint)
	runs := bleservice.Running(endpoint)
	if runs && r.Planned(effectRestore) != nil {
		if err := restart.DoStop(ctx, r); err != nil {
			return err
		}
		runs = false
	}
	if err := doPlanned(ctx, r, effectRestore); err != nil {
		return err
	}
	if runs || !endpoint.GetInstalled() {
		return nil
	}
	return restart.DoStart(ctx, r)
}

func rebootIfNeeded(ctx context.Context, r *sdk.ApplyRun) error {
	if r.Planned(effectReboot) == nil {
		return nil
	}
	machine, err := r.MachineState(ctx)
	if err != nil || !machine.GetRebootPending() {
		return err
	}
	return doPlanned(ctx, r, effectReboot)
}

func (runtimeInstall) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	checks, _, err := bleservice.VerifyRuns(ctx, r, bleservice.Endpoint)
	if err != nil {
		return nil, err
	}
	agent, err := r.Service(ctx, bleservice.NymiAgent)
	if err != nil {
		return nil, err
	}
	checks = append(checks, sdk.Check(fmt.Sprintf("%q runs", bleservice.NymiAgent), "running", bleservice.StateText(agent), bleservice.Running(agent)))
	kept, err := checkKept(ctx, r)
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, kept...)...)
	switch machine, err := r.MachineState(ctx); {
	case !bleservice.AllHold(v.GetChecks()):
		v.NextStep = "install the Nymi Runtime by hand with the Nymi Agent selected (guided task), then run ble-restart"
	case err == nil && machine.GetRebootPending():
		v.NextStep = "Windows asks for a restart: run host-reboot with reason=pending-reboot when it suits the site"
	}
	return v, nil
}

// checkKept checks that nbe.toml is what was kept of it.
func checkKept(ctx context.Context, r *sdk.VerifyRun) ([]*actionv1.Check, error) {
	aside := r.Effect(effectSetAside).GetEffect().GetFileRemove()
	if aside == nil {
		return nil, nil
	}
	file, err := readTOML(ctx, &r.Run, bleservice.ConfigFile)
	if err != nil {
		return nil, err
	}
	want := aside.GetSha256()
	return []*actionv1.Check{sdk.Check("nbe.toml is as before", "sha256 "+want, "sha256 "+file.GetSha256(), file.GetSha256() == want)}, nil
}
