package cli

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

func fakeDiagnose() *actionv1.Action {
	return &actionv1.Action{
		Name: "diagnose", Version: "1.0.0", Summary: "Look at a machine", ReadOnly: true, MaxDuration: durationpb.New(time.Minute),
		Params: []*actionv1.Param{
			{Name: "profile", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"terminal", "nes"}, Help: "What it should be."},
			{Name: "check", Type: actionv1.ParamType_PARAM_TYPE_ENUM, Choices: []string{"adapter", "config"}, List: true, Help: "Only these."},
		},
	}
}

// sickFindings are one of each level, the good one first.
func sickFindings() []*actionv1.Finding {
	return []*actionv1.Finding{
		{Rule: "adapter", Level: actionv1.FindingLevel_FINDING_LEVEL_GOOD, Subject: "Bluetooth adapter", Value: "BLED112 (COM3)", Expected: "one that works"},
		{Rule: "disk", Level: actionv1.FindingLevel_FINDING_LEVEL_WARNING, Subject: "free space", Value: "2.0 GiB", Expected: "at least 5 GiB", Message: "make room"},
		{Rule: "clock", Level: actionv1.FindingLevel_FINDING_LEVEL_UNKNOWN, Subject: "clock", Value: "not known", Expected: "less than 1 minute off", Message: "not compared yet"},
		{
			Rule: "nbe-tap-threshold", Level: actionv1.FindingLevel_FINDING_LEVEL_PROBLEM, Subject: "rssi_tap_threshold", Value: "0 (nbe.toml): taps are off",
			Expected: "-127 to -1 dBm", Message: "run nbe-config-set with rssi_tap_threshold=-42",
		},
	}
}

// fakeOffered is what the parameters of an action are checked against.
func fakeOffered(action string) *actionv1.Action {
	if action == diagnoseAction {
		return fakeDiagnose()
	}
	return bleRestart()
}
