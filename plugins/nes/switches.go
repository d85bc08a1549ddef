package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/plugins/neshost"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

const switches = actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES

// levels are those that can be asked for, from the least detail to the most.
func levels() []string { return []string{"Critical", "Error", "Warning", "Information", "Verbose"} }

// knownLevels are the names that a .NET source switch takes (System.Diagnostics.SourceLevels).
func knownLevels() []string {
	return append(levels(), "Off", "All", "ActivityTracing")
}

// verbose is the level that state=on sets.
const verbose = "Verbose"

// usual is the most detailed level that is not worth a question.
const usual = "Information"

// mustHave lists the switches that an application's file must have, or it is not the file that it should be.
func mustHave(application string) []string {
	names := []string{"Global", "Authentication"}
	if application == neshost.Enrollment {
		names = append(names, "CertificateEnrollment")
	}
	return names
}

// logFile is the web.config of one application, and its switches.
type logFile struct {
	application string
	state       *actionv1.ConfigState
}

// name is the file as the agent's roots have it.
func (f logFile) name() string { return f.application + "/" + neshost.WebConfig }

// readLogFiles reads the files of the applications, or refuses when one is not what it should be. Nothing is ever guessed of a file.
func readLogFiles(ctx context.Context, r *sdk.Run, applications []string) ([]logFile, *actionv1.Plan, error) {
	var files []logFile
	for _, application := range applications {
		state, err := r.Config(ctx, application, neshost.WebConfig, switches)
		if err != nil {
			return nil, nil, err
		}
		f := logFile{application, state}
		if problem := f.problem(); problem != "" {
			return nil, sdk.Refuse(fmt.Sprintf("file %q: %s; nothing was changed", f.name(), problem),
				"put the file right by hand (the vendor's sample has curly quotes and an end tag that is none), then run this again"), nil
		}
		files = append(files, f)
	}
	return files, nil, nil
}

// problem says why a file must be left alone, "" when it need not.
func (f logFile) problem() string {
	switch {
	case !f.state.GetExists():
		return "does not exist"
	case f.state.GetMalformed() != "":
		return f.state.GetMalformed()
	}
	for _, name := range mustHave(f.application) {
		if !slices.ContainsFunc(f.state.GetValues(), func(v *actionv1.ConfigValue) bool { return v.GetKey() == name }) {
			return fmt.Sprintf("has no switch %q", name)
		}
	}
	for _, v := range f.state.GetValues() {
		if problem := levelProblem(v); problem != "" {
			return problem
		}
	}
	return ""
}

func levelProblem(v *actionv1.ConfigValue) string {
	if _, err := strconv.ParseInt(strings.TrimSpace(v.GetValue()), 10, 64); err == nil {
		return fmt.Sprintf("line %d: switch %q has the number %s; a switch with numbers has other levels than these", v.GetLine(), v.GetKey(), v.GetValue())
	}
	for part := range strings.SplitSeq(v.GetValue(), ",") {
		known := slices.ContainsFunc(knownLevels(), func(l string) bool { return strings.EqualFold(l, strings.TrimSpace(part)) })
		if !known {
			return fmt.Sprintf("line %d: switch %q has %q, which is no level", v.GetLine(), v.GetKey(), v.GetValue())
		}
	}
	return ""
}

// changes are what brings every switch of the file to a level.
func (f logFile) changes(level string) []*actionv1.ConfigChange {
	var out []*actionv1.ConfigChange
	for _, v := range f.state.GetValues() {
		if !strings.EqualFold(v.GetValue(), level) {
			before := v.GetValue()
			out = append(out, sdk.Change(v.GetKey(), &before, &level))
		}
	}
	return out
}

// detailed says whether a switch of the file lets more through than is usual.
func (f logFile) detailed() bool {
	return slices.ContainsFunc(f.state.GetValues(), func(v *actionv1.ConfigValue) bool {
		return strings.EqualFold(v.GetValue(), verbose) || strings.EqualFold(v.GetValue(), "All")
	})
}

// words writes the switches: "Global=Information, Authentication=Verbose".
func (f logFile) words() string {
	parts := make([]string, len(f.state.GetValues()))
	for i, v := range f.state.GetValues() {
		parts[i] = v.GetKey() + "=" + v.GetValue()
	}
	return strings.Join(parts, ", ")
}

// holds says whether a lease holds the file.
func (f logFile) holds(lease *actionv1.LeaseState) bool {
	return slices.ContainsFunc(lease.GetResources(), func(resource string) bool { return strings.Contains(resource, strconv.Quote(f.name())) })
}

// leasesOf picks the leases that hold any of the files and have not ended.
func leasesOf(all []*actionv1.LeaseState, files []logFile) []*actionv1.LeaseState {
	return slices.DeleteFunc(slices.Clone(all), func(l *actionv1.LeaseState) bool {
		return l.GetEnded() || !slices.ContainsFunc(files, func(f logFile) bool { return f.holds(l) })
	})
}
