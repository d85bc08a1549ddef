package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/bleservice"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Keys of nbe.toml.
const (
	keyAgentURL   = "agent_url"
	keyWindowTap  = "rssi_window_tap"
	keyWindowLong = "rssi_window_long"
	keyTap        = "rssi_tap_threshold"
	keyClose      = "rssi_cutoff_close"
	keyFar        = "rssi_cutoff_far"
)

// recommendedTap is the tap threshold that the guide recommends, in dBm.
const recommendedTap = "-42"

// nbeValues are the values in force, by key, in TOML's text, and where each is from.
type nbeValues struct {
	text   map[string]string
	source map[string]string
	// file is true when nbe.toml is there.
	file bool
}

// vendorDefaults are in force for what no file says (guide: nbe.toml; rssi_window_long is from the vendor's later pages).
func vendorDefaults() map[string]string {
	return map[string]string{
		keyAgentURL: strconv.Quote(bleservice.DefaultAgentURL), keyWindowTap: "10", keyWindowLong: "50", keyTap: "0", keyClose: "-70", keyFar: "-75",
	}
}

func lookAtNBEConfig(ctx context.Context, e *exam) {
	v, ok := e.readNBE(ctx)
	if !ok {
		return
	}
	e.window(v, keyWindowTap, "nbe-window-tap", 1000)
	e.window(v, keyWindowLong, "nbe-window-long", 10000)
	site, err := e.siteFacts(ctx)
	if err != nil {
		e.unknown("nbe-profile", bleservice.ConfigFile, "the site's profile", err.Error())
	}
	e.tapThreshold(v, site.GetNbeProfile())
	e.cutoffs(v)
	e.profile(v, site.GetNbeProfile())
	e.agentURL(ctx, v, site)
}

// readNBE reads nbe.toml and the defaults beside it. False: there is nothing to judge.
func (e *exam) readNBE(ctx context.Context) (nbeValues, bool) {
	v := nbeValues{text: vendorDefaults(), source: map[string]string{}}
	for key := range v.text {
		v.source[key] = "default"
	}
	for _, name := range []string{bleservice.TemplateFile, bleservice.ConfigFile} {
		state, err := e.r.Config(ctx, bleservice.Root, name, actionv1.ConfigFormat_CONFIG_FORMAT_TOML)
		if err != nil {
			e.unknown("nbe-file", name, "readable", err.Error())
			return v, false
		}
		if state.GetMalformed() != "" {
			e.judge(false, problem, "nbe-file", name, state.GetMalformed(), "a well-formed file",
				"the Bluetooth Endpoint does not read such a file: run nbe-config-reset on this terminal")
			return v, false
		}
		for _, value := range state.GetValues() {
			v.text[value.GetKey()], v.source[value.GetKey()] = value.GetValue(), name
		}
		v.file = state.GetExists()
	}
	value := "there"
	if !v.file {
		value = "not there, the defaults are in force"
	}
	e.good("nbe-file", bleservice.ConfigFile, value, "a well-formed file, or none")
	return v, true
}

// number reads a whole number; a value that is none is a finding.
func (e *exam) number(v nbeValues, key, rule, expected string) (int, bool) {
	n, err := strconv.Atoi(v.text[key])
	if err != nil {
		e.judge(false, problem, rule, key, v.text[key], expected, "set it with action nbe-config-set: "+key+" must be a whole number")
	}
	return n, err == nil
}

// valueOf writes a value with its source: "0 (nbe.default.toml)".
func (v nbeValues) valueOf(key string) string {
	return fmt.Sprintf("%s (%s)", v.text[key], v.source[key])
}

func (e *exam) window(v nbeValues, key, rule string, most int) {
	expected := fmt.Sprintf("1 to %d measurements", most)
	if n, ok := e.number(v, key, rule, expected); ok {
		e.judge(n >= 1 && n <= most, problem, rule, key, v.valueOf(key), expected, "set it with action nbe-config-set")
	}
}

// leastRSSI is the weakest signal that makes sense, in dBm.
const leastRSSI = -127

// tapThreshold: 0 switches taps off. That is as the guide's release is installed, and the usual reason why a tap does nothing.
func (e *exam) tapThreshold(v nbeValues, profile map[string]string) {
	const rule, expected = "nbe-tap-threshold", "-127 to -1 dBm; " + recommendedTap + " is recommended"
	n, ok := e.number(v, keyTap, rule, expected)
	switch {
	case !ok:
	case n == 0 && profile[keyTap] == "0":
		e.good(rule, keyTap, v.valueOf(keyTap)+": taps are off, as in the site's profile", "0, by the site's profile")
	case n == 0:
		e.judge(false, problem, rule, keyTap, v.valueOf(keyTap)+": taps are off", expected,
			"taps are not seen with 0; run nbe-config-set with rssi_tap_threshold="+recommendedTap+", then ask the user to tap")
	default:
		e.judge(n >= leastRSSI && n < 0, problem, rule, keyTap, v.valueOf(keyTap), expected, "run nbe-config-set with rssi_tap_threshold="+recommendedTap)
	}
}

// cutoffs judges the two strengths between which a terminal stays unlocked.
func (e *exam) cutoffs(v nbeValues) {
	const expectedClose, expectedFar = "-127 to -1 dBm", "negative, and less than " + keyClose
	near, okNear := e.number(v, keyClose, "nbe-cutoff-close", expectedClose)
	far, okFar := e.number(v, keyFar, "nbe-cutoff-far", expectedFar)
	if okNear && near == 0 {
		e.judge(false, warning, "nbe-cutoff-close", keyClose, v.valueOf(keyClose)+": the band's distance does not count", expectedClose,
			"a terminal does not lock when its user walks away: if nobody wanted that, run nbe-config-set with rssi_cutoff_close=-70")
	} else if okNear {
		e.judge(near >= leastRSSI && near < 0, problem, "nbe-cutoff-close", keyClose, v.valueOf(keyClose), expectedClose, "set it with action nbe-config-set")
	}
	if okFar && okNear {
		e.judge(far >= leastRSSI && far < 0 && (near == 0 || far < near), problem, "nbe-cutoff-far", keyFar, v.valueOf(keyFar), expectedFar,
			fmt.Sprintf("set it with action nbe-config-set to less than %s, which is %d", keyClose, near))
	}
}

// profile compares with what the site wants.
func (e *exam) profile(v nbeValues, wanted map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		same := strings.Trim(v.text[key], `"`) == strings.Trim(wanted[key], `"`)
		e.judge(same, warning, "nbe-profile", key, v.valueOf(key), wanted[key], "run nbe-config-reset source=site-profile on this terminal, or correct the site's profile")
	}
}

// agentURL judges where the Nymi Agent is looked for.
func (e *exam) agentURL(ctx context.Context, v nbeValues, site *actionv1.Surroundings) {
	const rule = "nbe-agent-url"
	if v.file && v.source[keyAgentURL] != bleservice.ConfigFile {
		e.judge(false, problem, rule, keyAgentURL, "not in "+bleservice.ConfigFile, "there", "run nbe-config-set agent_url=from-default on this terminal")
		return
	}
	text := strings.Trim(v.text[keyAgentURL], `"`)
	if site.GetCentralAgent() && site.GetCentralAgentUrl() != "" {
		e.judge(text == site.GetCentralAgentUrl(), problem, rule, keyAgentURL, v.valueOf(keyAgentURL), site.GetCentralAgentUrl()+", the site's central Nymi Agent",
			"run nbe-config-set agent_url=inventory on this terminal")
		return
	}
	where, central := elsewhere(ctx, e)
	e.judge(!central, warning, rule, keyAgentURL, v.valueOf(keyAgentURL), "this terminal's own Nymi Agent",
		fmt.Sprintf("it names %s, and the site has no central Nymi Agent: run nbe-config-set agent_url=from-default, or record the central one", where))
}
