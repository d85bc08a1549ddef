package host

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// dismFeatures are the features of Windows by its own tool, dism.exe, in its English. Names are dism's ("IIS-ASPNET45").
type dismFeatures struct{ run tool }

// Exit codes of dism that are answers.
const (
	dismRestart = 3010       // ERROR_SUCCESS_REBOOT_REQUIRED
	dismUnknown = 0x800f080c // CBS_E_UNKNOWN_UPDATE: there is no such feature
)

var featureName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// State implements Features.
func (d dismFeatures) State(ctx context.Context, names []string) (*actionv1.FeatureStates, error) {
	states := &actionv1.FeatureStates{}
	for _, name := range names {
		feature, pending, err := d.feature(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("feature %q: %w", name, err)
		}
		states.Features = append(states.Features, feature)
		states.RestartNeeded = states.RestartNeeded || pending
	}
	return states, nil
}

// feature reads one feature, and whether a change of it waits for a start of the machine.
func (d dismFeatures) feature(ctx context.Context, name string) (feature *actionv1.Feature, pending bool, err error) {
	if !featureName.MatchString(name) {
		return nil, false, fmt.Errorf("is no name of a feature")
	}
	output, exitCode, err := d.run(ctx, "/online", "/english", "/get-featureinfo", "/featurename:"+name)
	if err != nil {
		return nil, false, err
	}
	feature = &actionv1.Feature{Name: name}
	if uint32(exitCode) == dismUnknown {
		return feature, false, nil
	}
	state, ok := dismField(output, "State")
	if exitCode != 0 || !ok {
		return nil, false, toolFailed("dism", output, exitCode)
	}
	feature.Known = true
	// "Enable Pending" is installed at the next start of the machine, "Disable Pending" is so until then.
	feature.Installed = state == "Enabled" || state == "Enable Pending"
	return feature, strings.HasSuffix(state, " Pending"), nil
}

// dismField finds a line "Name : value".
func dismField(output, name string) (string, bool) {
	for line := range strings.Lines(output) {
		if key, value, ok := strings.Cut(line, " : "); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// Add implements Features. What each feature needs is added with it; Windows is told not to start again.
func (d dismFeatures) Add(ctx context.Context, names []string, source string) error {
	arguments := []string{"/online", "/english", "/enable-feature", "/all", "/norestart", "/quiet"}
	for _, name := range names {
		if !featureName.MatchString(name) {
			return fmt.Errorf("feature %q: is no name of a feature", name)
		}
		arguments = append(arguments, "/featurename:"+name)
	}
	if len(names) == 0 {
		return nil
	}
	if source != "" {
		if strings.ContainsFunc(source, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"*?<>|`, r) }) {
			return fmt.Errorf("source %q: is not allowed as a folder", source)
		}
		// Without this it would look for what the folder lacks at Microsoft.
		arguments = append(arguments, "/source:"+source, "/limitaccess")
	}
	output, exitCode, err := d.run(ctx, arguments...)
	if err != nil {
		return fmt.Errorf("features %q: %w", names, err)
	}
	if exitCode != 0 && exitCode != dismRestart {
		return fmt.Errorf("features %q: %w", names, toolFailed("dism", output, exitCode))
	}
	return nil
}
