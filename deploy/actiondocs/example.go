package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// example is a command that can be pasted once the words in capitals are filled in.
func example(a *actionv1.Action) string {
	words := []string{"fleetctl fix", a.GetName(), selection(a)}
	given := map[string]string{}
	for _, p := range a.GetParams() {
		if p.GetRequired() {
			given[p.GetName()] = sample(p)
		}
	}
	for _, r := range a.GetWhenRules() {
		if v, ok := given[r.GetParam()]; ok && v == r.GetValue() && r.GetNeeds() != "" {
			given[r.GetNeeds()] = sample(paramNamed(a, r.GetNeeds()))
		}
	}
	for _, p := range a.GetParams() {
		if v, ok := given[p.GetName()]; ok {
			words = append(words, fmt.Sprintf("--param %s=%s", p.GetName(), v))
		}
	}
	if !a.GetReadOnly() {
		words = append(words, "--reason INC-4711")
	}
	return strings.Join(words, " ")
}

// selection names a machine of the action's role.
func selection(a *actionv1.Action) string {
	if slices.Contains(a.GetRoles(), "user-terminal") {
		return "--terminal lyon-01"
	}
	return "--host nes-lyon-1"
}

func paramNamed(a *actionv1.Action, name string) *actionv1.Param {
	for _, p := range a.GetParams() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

// sample is a value: the first choice, a usual duration, the least number, else the parameter's name in capitals.
func sample(p *actionv1.Param) string {
	switch p.GetType() {
	case actionv1.ParamType_PARAM_TYPE_ENUM:
		return p.GetChoices()[0]
	case actionv1.ParamType_PARAM_TYPE_BOOL:
		return "true"
	case actionv1.ParamType_PARAM_TYPE_DURATION:
		most, err := time.ParseDuration(p.GetMax())
		if err == nil && most < 2*time.Hour {
			return short(most)
		}
		return "2h"
	case actionv1.ParamType_PARAM_TYPE_INTEGER:
		return p.GetMin()
	case actionv1.ParamType_PARAM_TYPE_SECRET:
		return "secret:NAME"
	default:
		return strings.ToUpper(p.GetName())
	}
}
