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

const effectReboot = "reboot"

const (
	roleNESHost = "nes-host"
	// rebootMaxDuration is more than the longest delay, the longest way back and the time that services get.
	rebootMaxDuration = time.Hour
	// servicesWait is how long services that start late may take to run after the machine is back, servicesPoll how often they are looked at.
	servicesWait = 5 * time.Minute
	servicesPoll = 5 * time.Second
)

// watchedServices are the services that must run again after a restart when they ran before it: of a terminal and of a NES host.
func watchedServices() []string {
	return []string{bleservice.Endpoint, bleservice.NymiAgent, "W3SVC", "WAS", "CertSvc"}
}

// hostReboot starts the machine again.
//
// The run goes on at Verify when the machine is back; one that was interrupted is judged there too, by the machine's boot id.
type hostReboot struct{}

func (hostReboot) Manifest() *actionv1.Action {
	capabilities := []*actionv1.Capability{sdk.RebootMachine(), sdk.ReadHost(), sdk.ReadMachine(), sdk.ReadSite()}
	for _, service := range watchedServices() {
		capabilities = append(capabilities, sdk.ReadService(service))
	}
	return &actionv1.Action{
		Name:    "host-reboot",
		Version: "1.0.0",
		Summary: "Start the machine again and prove that it is back with its services",
		Description: "The last resort on a terminal, and what Windows asks for after some changes on a NES host. People at the machine are told and have " +
			"the delay to save their work. It refuses while somebody is at work there, unless allow_active_session=true.",
		Params: []*actionv1.Param{
			sdk.Required(sdk.Enum("reason", "", "why the machine must start again", "pending-reboot", "pending-iis-reboot", "service-hangs", "adapter-hangs",
				"win7-login-frozen", "maintenance", "other")),
			sdk.Duration("delay", 3*time.Minute, 0, 30*time.Minute, "how long people have to save their work"),
			sdk.Duration("back_within", 15*time.Minute, 2*time.Minute, 20*time.Minute, "how long the machine may take to be back"),
			sdk.Bool("notify_user", true, "tell people at the machine"),
			sdk.Bool("allow_active_session", false, "do it although somebody is at work at the machine"),
			sdk.Bool("only_if_pending", false, "do it only if Windows waits for a restart"),
		},
		Capabilities:  capabilities,
		Repeatability: actionv1.Repeatability_REPEATABILITY_PROBE,
		Resources:     []string{"host", "ble", "nymi-agent", "iis", "certs"},
		Disruptive:    true,
		Interrupts:    "Everything on the machine, usually for 2 to 10 minutes; on a NES host, sign-ins and enrolments of every terminal that uses it.",
		Undo:          "It cannot be undone.",
		Verifies:      "The machine has another boot id, and every Nymi, web server and certificate service that ran before runs again.",
		Source:        "NES system issues after IIS removal; Known Issues with Windows 7; Band error 3010",
		Roles:         []string{"user-terminal", roleNESHost},
		MaxDuration:   durationpb.New(rebootMaxDuration),
		Approvals:     1,
	}
}

func (hostReboot) Plan(ctx context.Context, r *sdk.Run) (*actionv1.Plan, error) {
	machine, err := r.MachineState(ctx)
	if err != nil {
		return nil, err
	}
	if r.Bool("only_if_pending") && !machine.GetRebootPending() {
		return sdk.NoChange("nothing on this machine waits for a restart"), nil
	}
	atWork := activeUsers(machine)
	if len(atWork) > 0 && !r.Bool("allow_active_session") {
		return sdk.Refuse("somebody is at work at this machine: "+strings.Join(atWork, ", "),
			"run this when nobody is, or ask them to save their work and set allow_active_session=true"), nil
	}
	host, err := r.Host(ctx)
	if err != nil {
		return nil, err
	}
	running, err := runningServices(ctx, r)
	if err != nil {
		return nil, err
	}
	p := sdk.Ready(sdk.Planned(effectReboot, rebootEffect(r, host, running),
		"boot "+host.GetBootId()+bootText(machine), "another boot, with "+servicesText(running)))
	p.Warnings = rebootWarnings(ctx, r, machine, atWork)
	return p, nil
}

// activeUsers are the people at work at the machine.
func activeUsers(machine *actionv1.MachineState) []string {
	var active []string
	for _, s := range machine.GetUserSessions() {
		if s.GetActivity() == actionv1.UserActivity_USER_ACTIVITY_ACTIVE || s.GetActivity() == actionv1.UserActivity_USER_ACTIVITY_UNSPECIFIED {
			active = append(active, s.GetUser())
		}
	}
	return active
}

func runningServices(ctx context.Context, r *sdk.Run) ([]string, error) {
	var running []string
	for _, service := range watchedServices() {
		state, err := r.Service(ctx, service)
		if err != nil {
			return nil, err
		}
		if bleservice.Running(state) {
			running = append(running, service)
		}
	}
	return running, nil
}

func rebootEffect(r *sdk.Run, host *actionv1.HostState, running []string) *actionv1.Effect {
	var message string
	if r.Bool("notify_user") {
		message = "This computer restarts now (" + r.String("reason") + ")."
		if delay := r.Duration("delay"); delay > 0 {
			message = fmt.Sprintf("This computer restarts in %s (%s). Please save your work.", delay, r.String("reason"))
		}
	}
	effect := sdk.Reboot(r.Duration("delay"), message, host.GetBootId(), r.Duration("back_within"))
	effect.GetReboot().RunningServices = running
	return effect
}

func bootText(machine *actionv1.MachineState) string {
	if machine.GetBootTime() == nil {
		return ""
	}
	return " since " + machine.GetBootTime().AsTime().UTC().Format(time.RFC3339)
}

func servicesText(services []string) string {
	if len(services) == 0 {
		return "no service that is watched"
	}
	return strings.Join(services, ", ") + " running"
}

func rebootWarnings(ctx context.Context, r *sdk.Run, machine *actionv1.MachineState, atWork []string) []string {
	var warnings []string
	if len(atWork) > 0 {
		warnings = append(warnings, "at work at this machine: "+strings.Join(atWork, ", "))
	}
	if machine.GetRebootPending() {
		r.Evidence("waits for a restart", "%s", strings.Join(machine.GetRebootReasons(), ", "))
	}
	for _, field := range machine.GetUnknown() {
		if field == "user_sessions" {
			warnings = append(warnings, "it cannot be told whether somebody is at work at this machine")
		}
	}
	if r.Terminal().GetRole() == roleNESHost {
		warnings = append(warnings, lastNES(ctx, r)...)
	}
	return warnings
}

// lastNES warns when no other NES host stands in for this one.
func lastNES(ctx context.Context, r *sdk.Run) []string {
	site, err := r.Site(ctx)
	if err != nil {
		return []string{fmt.Sprintf("it is not known whether another NES host stands in: %v", err)}
	}
	var users uint32
	for _, h := range site.GetNesHosts() {
		if !h.GetSelf() {
			return nil
		}
		users = h.GetUsers()
	}
	return []string{fmt.Sprintf("no other NES host of the site stands in for this one: %d terminals are without NES meanwhile", users)}
}

func (hostReboot) Apply(ctx context.Context, r *sdk.ApplyRun) error {
	r.Progress("the machine starts again in %s", r.Duration("delay"))
	return r.MustDo(ctx, effectReboot)
}

func (hostReboot) Verify(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	planned := r.Effect(effectReboot).GetEffect().GetReboot()
	if planned == nil {
		return verifyNothingPending(ctx, r)
	}
	host, err := r.Host(ctx)
	if err != nil {
		return nil, err
	}
	rebooted := host.GetBootId() != planned.GetBootId()
	checks := []*actionv1.Check{sdk.Check("the machine started again", "another boot than "+planned.GetBootId(), "boot "+host.GetBootId(), rebooted)}
	services, err := checkServices(ctx, r, planned.GetRunningServices())
	if err != nil {
		return nil, err
	}
	v := sdk.Verdict(append(checks, services...)...)
	switch {
	case !rebooted:
		v.NextStep = "see on the machine what keeps it from starting again (an update, an open dialogue), then run this again"
	case !bleservice.AllHold(services):
		v.NextStep = "look at the event log of this machine for the service that does not run; ble-restart and nymi-agent-restart start the Nymi services"
	}
	return v, nil
}

// verifyNothingPending judges a run that had nothing to do.
func verifyNothingPending(ctx context.Context, r *sdk.VerifyRun) (*actionv1.Verdict, error) {
	machine, err := r.MachineState(ctx)
	if err != nil {
		return nil, err
	}
	observed := "nothing waits"
	if machine.GetRebootPending() {
		observed = "waits: " + strings.Join(machine.GetRebootReasons(), ", ")
	}
	done := r.Bool("only_if_pending") && !machine.GetRebootPending()
	if !r.Bool("only_if_pending") {
		observed = "this run did not come to starting it again"
	}
	return sdk.Verdict(sdk.Check("nothing waits for a restart", "nothing waits", observed, done)), nil
}

// checkServices waits until the services run again.
func checkServices(ctx context.Context, r *sdk.VerifyRun, services []string) ([]*actionv1.Check, error) {
	var checks []*actionv1.Check
	left := servicesWait
	for _, service := range services {
		state, err := r.Service(ctx, service)
		for ; err == nil && !bleservice.Running(state) && left > 0; left -= servicesPoll {
			if err = r.Wait(ctx, servicesPoll); err == nil {
				state, err = r.Service(ctx, service)
			}
		}
		if err != nil {
			return nil, err
		}
		checks = append(checks, sdk.Check(fmt.Sprintf("%q runs again", service), "running", bleservice.StateText(state), bleservice.Running(state)))
	}
	return checks, nil
}
