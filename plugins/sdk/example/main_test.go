package main

import (
	"os"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func TestExampleConforms(t *testing.T) {
	sdktest.Conformance(t, func() sdk.Action { return spoolerStart{} }, map[string]sdktest.Case{
		"stopped": {Verdict: actionv1.PlanVerdict_PLAN_VERDICT_READY, Machine: func() *sdktest.Machine {
			return &sdktest.Machine{Services: map[string]*actionv1.ServiceState{
				service: {Service: service, Installed: true, Status: actionv1.ServiceStatus_SERVICE_STATUS_STOPPED},
			}}
		}},
	})
}

// TestExampleIsShort keeps the promise that a minimal action, with its main, takes fewer than 40 lines.
func TestExampleIsShort(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(source), "\n"); lines >= 40 {
		t.Errorf("the minimal action has %d lines; the SDK promises fewer than 40: shorten it, or the SDK has become too wordy", lines)
	}
}
