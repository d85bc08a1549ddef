package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// lookAtService records whether a service is installed and runs.
func lookAtService(ctx context.Context, e *exam, rule, service, absent, stopped string) {
	s, err := e.r.Service(ctx, service)
	switch {
	case err != nil:
		e.unknown(rule, service, "running", err.Error())
	case !s.GetInstalled():
		e.judge(absent == "", problem, rule, service, "not installed", "running", absent)
	case s.GetDisabled():
		e.judge(false, problem, rule, service, "disabled, "+bleservice.StateText(s), "running",
			"find out who disabled it and why; set its startup type to Automatic and start it")
	default:
		e.judge(bleservice.Running(s), problem, rule, service, bleservice.StateText(s), "running", stopped)
	}
}

func lookAtNymiServices(ctx context.Context, e *exam) {
	const install = "install the Nymi Runtime (action runtime-install)"
	lookAtService(ctx, e, "service-endpoint", bleservice.Endpoint, install, "run ble-restart mode=ensure-running on this terminal")
	if where, central := elsewhere(ctx, e); central {
		e.good("service-nymi-agent", bleservice.NymiAgent, "on "+where, "running here, or on the host that agent_url names")
		return
	}
	lookAtService(ctx, e, "service-nymi-agent", bleservice.NymiAgent, install+" with the Nymi Agent selected", "run nymi-agent-restart on this terminal")
}

// elsewhere says whether this terminal uses the Nymi Agent of another host, and which.
func elsewhere(ctx context.Context, e *exam) (host string, central bool) {
	url, err := bleservice.ReadAgentURL(ctx, e.r)
	if err != nil {
		return "", false
	}
	here, err := e.hostFacts(ctx)
	return url.Host, err == nil && !url.PointsHere(here)
}

func lookAtAdapter(ctx context.Context, e *exam) {
	const rule, subject, expected = "adapter", "Bluetooth adapter BLED112", "exactly one, problem code 0, with a COM port"
	d, err := e.r.Device(ctx, bleservice.AdapterVendor, bleservice.AdapterProduct)
	if err != nil {
		e.unknown(rule, subject, expected, err.Error())
		return
	}
	value := bleservice.AdapterText(d.GetDevices())
	message := adapterAdvice(d.GetDevices())
	e.judge(message == "", problem, rule, subject, value, expected, message)
}

// adapterAdvice is what to do about the adapter, "" when it is well.
func adapterAdvice(devices []*actionv1.Device) string {
	switch {
	case len(devices) == 0:
		return "plug a Bluetooth adapter in"
	case len(devices) > 1:
		return "unplug all Bluetooth adapters but one"
	case devices[0].GetDisabled():
		return "enable the adapter in Device Manager, or run ble-adapter-cycle"
	case devices[0].GetProblemCode() != 0:
		return "run ble-adapter-cycle, or unplug the adapter and plug it in again; if it stays like this, replace it"
	case devices[0].GetPort() == "":
		return "the adapter has no COM port, so it is stuck in firmware-update mode: replace it"
	default:
		return ""
	}
}

func lookAtAgentURL(ctx context.Context, e *exam) {
	const rule, expected = "agent-url-reachable", "takes connections"
	url, err := bleservice.ReadAgentURL(ctx, e.r)
	if broken, ok := errors.AsType[*bleservice.ConfigError](err); ok {
		e.unknown(rule, broken.File, expected, broken.Error())
		return
	}
	if err != nil {
		e.unknown(rule, "agent_url", expected, err.Error())
		return
	}
	p, err := e.r.ProbeTCP(ctx, url.Host, url.Port, e.timeout)
	if err != nil {
		e.unknown(rule, url.Address(), expected, err.Error())
		return
	}
	value := "takes connections"
	if !p.GetReachable() {
		value = p.GetReason()
	}
	e.judge(p.GetReachable(), problem, rule, url.Address(), value, expected,
		fmt.Sprintf("see that the Nymi Agent runs on %s (action nymi-agent-restart there) and that the network lets this terminal reach it", url.Host))
}

func lookAtNESURL(ctx context.Context, e *exam) {
	text := e.nesURL(ctx, false)
	e.nesURL(ctx, true)
	if text == "" {
		return
	}
	target, err := neshost.Target(text, neshost.PathOf(text))
	e.judge(err == nil && strings.HasSuffix(text, "/"), problem, "nes-url-form", text, text, "https://SERVER/SERVICE/", "set the NES URL with action nes-url-set")
	if err != nil {
		return
	}
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown("nes-url-site", text, "the NES host that the inventory has for this terminal", err.Error())
		return
	}
	e.compareNESURL(site, text)
	e.probe(ctx, "nes", target)
}

// nesURL reads the NES URL in one view of the registry. It is wanted in the 64-bit one.
func (e *exam) nesURL(ctx context.Context, view32 bool) string {
	rule := map[bool]string{false: "nes-url", true: "nes-url-32"}[view32]
	const subject, expected = `HKEY_LOCAL_MACHINE\` + nesKey + `\` + nesValue, "an https URL"
	state, err := e.r.Registry(ctx, nesKey, nesValue, view32)
	switch {
	case err != nil:
		e.unknown(rule, subject, expected, err.Error())
	case state.GetExists():
		e.good(rule, subject, state.GetData(), expected)
	case !view32:
		e.judge(false, warning, rule, subject, "not set", expected, "set it with action nes-url-set, unless a group policy sets the address")
	}
	return state.GetData()
}

func (e *exam) compareNESURL(site *actionv1.Surroundings, text string) {
	const rule, subject = "nes-url-site", "NES URL"
	var known []string
	for _, h := range site.GetNesHosts() {
		if h.GetUsed() {
			known = append(known, h.GetUrl())
		}
	}
	if len(known) == 0 {
		e.unknown(rule, subject, "the one that the inventory has for this terminal", "the inventory has no NES host for this terminal")
		return
	}
	expected := strings.Join(known, " or ")
	for _, url := range known {
		if strings.EqualFold(url, text) {
			e.good(rule, subject, text, expected)
			return
		}
	}
	e.judge(false, warning, rule, subject, text, expected, "set it with action nes-url-set, or correct the site's NES hosts")
}
