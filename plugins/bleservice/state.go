package bleservice

import (
	"fmt"

	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Running says whether a service runs.
func Running(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
}

// Stopped says whether a service is stopped.
func Stopped(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}

// StatusWord is a service's status for people.
func StatusWord(s *actionv1.ServiceState) string {
	switch s.GetStatus() {
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPED:
		return "stopped"
	case actionv1.ServiceStatus_SERVICE_STATUS_STARTING:
		return "starting"
	case actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		return "running"
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPING:
		return "stopping"
	case actionv1.ServiceStatus_SERVICE_STATUS_PAUSED:
		return "paused"
	default:
		return "in an unknown state"
	}
}

// StateText is a service's state for people: "running (process 4242)".
func StateText(s *actionv1.ServiceState) string {
	switch {
	case !s.GetInstalled():
		return "not installed"
	case s.GetPid() == 0:
		return StatusWord(s)
	default:
		return fmt.Sprintf("%s (process %d)", StatusWord(s), s.GetPid())
	}
}

// NotStartable returns the refusal for a service that cannot be started, nil for one that can.
func NotStartable(s *actionv1.ServiceState) *actionv1.Plan {
	switch {
	case !s.GetInstalled():
		return sdk.Refuse(fmt.Sprintf("%q is not installed on this terminal", s.GetService()),
			"install the Nymi Runtime, then run this again")
	case s.GetDisabled():
		return sdk.Refuse(fmt.Sprintf("%q is disabled on this terminal", s.GetService()),
			"find out who disabled it and why; set its startup type to Automatic, then run this again")
	default:
		return nil
	}
}
