package main

import (
	"testing"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready   = actionv1.PlanVerdict_PLAN_VERDICT_READY
	refused = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

func profile(name string, checks ...string) map[string]string {
	p := map[string]string{"profile": name}
	for i, c := range checks {
		if i > 0 {
			c = p["check"] + "," + c
		}
		p["check"] = c
	}
	return p
}

// nothing is a machine that has nothing and tells nothing.
func nothing() *sdktest.Machine {
	return &sdktest.Machine{AgentURL: "127.0.0.1:9120", Host: &actionv1.HostState{}}
}

func TestDiagnoseConforms(t *testing.T) {
	onNES := neshost.Role
	sdktest.Conformance(t, func() sdk.Action { return diagnose{} }, map[string]sdktest.Case{
		"terminal":               {Machine: machine(), Verdict: ready},
		"terminal with nothing":  {Machine: nothing, Verdict: ready},
		"one check":              {Machine: machine(), Params: profile("terminal", "config", "adapter"), Verdict: ready},
		"foreign check":          {Machine: machine(), Params: profile("terminal", "sql"), Verdict: refused},
		"nes on a terminal":      {Machine: machine(), Params: profile("nes"), Verdict: refused},
		"nes host":               {Machine: machine(), Role: onNES, Verdict: ready},
		"nes host, installation": {Machine: machine(), Role: onNES, Params: profile("nes-install"), Verdict: ready},
		"nes host, authority":    {Machine: machine(), Role: onNES, Params: profile("nes-ca"), Verdict: ready},
		"nes host, enrolment":    {Machine: machine(), Role: onNES, Params: profile("nes", "enrollment"), Verdict: ready},
		"nes host as a terminal": {Machine: machine(), Role: onNES, Params: profile("terminal"), Verdict: ready},
		"nes host with nothing":  {Machine: nothing, Role: onNES, Verdict: ready},
		"installation, nothing":  {Machine: nothing, Role: onNES, Params: profile("nes-install"), Verdict: ready},
		"authority, nothing":     {Machine: nothing, Role: onNES, Params: profile("nes-ca"), Verdict: ready},
	})
}

func targetsAre(text string) map[string]string { return map[string]string{"targets": text} }

func TestNetProbeConforms(t *testing.T) {
	sdktest.Conformance(t, func() sdk.Action { return netProbe{} }, map[string]sdktest.Case{
		"nes":                    {Machine: machine(), Verdict: ready},
		"enrolment":              {Machine: machine(), Params: targetsAre("https-enrollment"), Verdict: ready},
		"enrolment, on it":       {Machine: machine(), Role: neshost.Role, Params: targetsAre("https-enrollment"), Verdict: ready},
		"labels":                 {Machine: machine(), Params: targetsAre("ad,sql,domain"), Verdict: ready},
		"label with ports":       {Machine: machine(), Params: targetsAre("ad:389,636"), Verdict: ready},
		"host and port":          {Machine: machine(), Params: targetsAre("DC1.lyon.example:636"), Verdict: ready},
		"NES by name":            {Machine: machine(), Params: targetsAre("nes-lyon-1:443"), Verdict: ready},
		"another port":           {Machine: machine(), Params: targetsAre("dc1.lyon.example:3389"), Verdict: refused},
		"unknown host":           {Machine: machine(), Params: targetsAre("elsewhere.example:443"), Verdict: refused},
		"unknown label":          {Machine: machine(), Params: targetsAre("ntp"), Verdict: refused},
		"port of nothing":        {Machine: machine(), Params: targetsAre("636"), Verdict: refused},
		"from the wrong role":    {Machine: machine(), Params: map[string]string{"from": "nes"}, Verdict: refused},
		"from the right role":    {Machine: machine(), Params: map[string]string{"from": "terminal"}, Verdict: ready},
		"terminal without hosts": {Machine: nothing, Verdict: refused},
	})
}
