package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// lookAtWebConfigs records the log levels of the three applications, and the console's address of the authentication service.
func lookAtWebConfigs(ctx context.Context, e *exam) {
	leases, err := e.r.Leases(ctx)
	if err != nil {
		e.unknown("log-level-lease", "leases", "known", err.Error())
	}
	for _, name := range neshost.Names() {
		e.logLevels(ctx, name, leases)
	}
	e.authURL(ctx)
}

// webConfig reads an application's file in a format. What is wrong with it is recorded under the rule.
func (e *exam) webConfig(ctx context.Context, rule, name string, format actionv1.ConfigFormat) (*actionv1.ConfigState, bool) {
	subject, expected := name+"/"+neshost.WebConfig, "a well-formed file"
	state, err := e.r.Config(ctx, name, neshost.WebConfig, format)
	switch {
	case err != nil:
		e.unknown(rule, subject, expected, err.Error())
	case !state.GetExists():
		e.judge(false, problem, rule, subject, "not there", expected, "see the roots nes, nenrollment and authenticationservice in the agent's configuration, and whether NES is installed")
	case state.GetMalformed() != "":
		e.judge(false, problem, rule, subject, state.GetMalformed(), expected, "put the file right by hand; the vendor's sample has curly quotes and an end tag that is none")
	default:
		return state, true
	}
	return nil, false
}

// logLevels: levels that were raised and forgotten fill the disk.
func (e *exam) logLevels(ctx context.Context, name string, leases []*actionv1.LeaseState) {
	const rule, expected = "log-level", "not Verbose, or Verbose for a time"
	state, ok := e.webConfig(ctx, rule, name, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES)
	if !ok {
		return
	}
	subject := name + "/" + neshost.WebConfig
	var levels []string
	raised := false
	for _, v := range state.GetValues() {
		levels = append(levels, v.GetKey()+"="+v.GetValue())
		raised = raised || strings.EqualFold(v.GetValue(), "Verbose") || strings.EqualFold(v.GetValue(), "All")
	}
	value := strings.Join(levels, ", ")
	if until := leasedUntil(leases, subject); raised && until != "" {
		e.good(rule, subject, value+", until "+until, expected)
		return
	}
	e.judge(!raised, warning, rule, subject, value, expected, "nobody will put these levels back by themselves: set them in the file by hand (Information is usual)")
}

// leasedUntil says until when a lease holds a file, "" when none does.
func leasedUntil(leases []*actionv1.LeaseState, file string) string {
	for _, l := range leases {
		for _, resource := range l.GetResources() {
			if !l.GetEnded() && strings.Contains(resource, strconv.Quote(file)) {
				return l.GetUntil().AsTime().UTC().Format(time.RFC3339)
			}
		}
	}
	return ""
}

// authURL judges the console's address of the authentication service.
func (e *exam) authURL(ctx context.Context) {
	const rule, key, expected = "auth-url", "AuthenticationService", "an https URL that answers"
	state, ok := e.webConfig(ctx, rule, neshost.Console, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS)
	if !ok {
		return
	}
	for _, v := range state.GetValues() {
		if v.GetKey() != key {
			continue
		}
		target, err := neshost.Target(v.GetValue(), neshost.PathOf(v.GetValue()))
		e.judge(err == nil, problem, rule, key, v.GetValue(), expected, "set it with action nes-auth-url-set")
		if err == nil {
			e.probe(ctx, rule, target)
		}
		return
	}
	e.unknown(rule, key, expected, fmt.Sprintf("%s/%s has no such setting", neshost.Console, neshost.WebConfig))
}
