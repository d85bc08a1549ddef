package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const (
	ready    = actionv1.PlanVerdict_PLAN_VERDICT_READY
	noChange = actionv1.PlanVerdict_PLAN_VERDICT_NO_CHANGE
	refused  = actionv1.PlanVerdict_PLAN_VERDICT_REFUSED
)

func running(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_RUNNING
}

func stopped(s *actionv1.ServiceState) bool {
	return s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_STOPPED
}

// stateText is a service's state for people: "running (process 4242)".
func stateText(s *actionv1.ServiceState) string {
	if !s.GetInstalled() {
		return "not installed"
	}
	word := strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "SERVICE_STATUS_"))
	if s.GetStatus() == actionv1.ServiceStatus_SERVICE_STATUS_UNSPECIFIED {
		word = "in an unknown state"
	}
	if s.GetPid() == 0 {
		return word
	}
	return fmt.Sprintf("%s (process %d)", word, s.GetPid())
}

// moment writes a time for people, to the second.
func moment(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.RFC3339) }

func allHold(checks []*actionv1.Check) bool {
	for _, c := range checks {
		if !c.GetOk() {
			return false
		}
	}
	return true
}

// joinSteps joins what a person does next, leaving out what is empty.
func joinSteps(steps ...string) string {
	var said []string
	for _, s := range steps {
		if s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, "; ")
}
