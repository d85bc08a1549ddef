package catalogue

import "slices"

// loop is an action that, with a value of a parameter, brings a signal to a value. A remedy that does so to its own fault would never end.
type loop struct {
	action, param, value string
	signal               string
	values               []string
	why                  string
}

// loops is the table. An action that stops something and starts it again, whatever happens, is none.
func loops() []loop {
	return []loop{
		{"verbose-logging", "state", "on", "verbose-logging", []string{"leased"}, "it switches detailed logs on, for a time"},
		{"nbe-config-reset", "source", "absent", "nbe-config", []string{"absent"}, "it removes nbe.toml"},
		{"nbe-config-reset", "source", "absent", "nbe-tap", []string{"off"}, "without nbe.toml the vendor's default may switch taps off"},
		{"nbe-config-reset", "source", "default", "nbe-tap", []string{"off"}, "the vendor's default may switch taps off"},
		{"nbe-config-reset", "source", "default", "nbe-drift", []string{"drifted"}, "the vendor's defaults are not the site's profile"},
		{"nbe-config-reset", "source", "absent", "nbe-drift", []string{"drifted"}, "the vendor's defaults are not the site's profile"},
		{"nbe-config-set", "rssi_tap_threshold", "0", "nbe-tap", []string{"off"}, "a threshold of 0 switches taps off"},
		{"apppool-identity-set", "identity", "LocalService", "app-pool-identity", []string{"local-service"}, "it sets the account that does not work"},
		{"windows-feature-ensure", "", "", "pending-reboot", []string{"yes"}, "features may ask for a restart"},
		{"crl-http-allow", "", "", "https-binding", []string{"missing", "no-certificate"}, "it changes the bindings of the site"},
		{"runtime-install", "", "", "pending-reboot", []string{"yes"}, "installing may ask for a restart"},
	}
}

// Loop returns the action of the entry's remedy that would raise the fault that it is for, and why; empty when none does.
func (e *Entry) Loop() (action, why string) {
	for i := range e.Remedy.Steps {
		for _, l := range loops() {
			if l.caughtBy(&e.Remedy.Steps[i], e) {
				return l.action, l.why
			}
		}
	}
	return "", ""
}

// caughtBy says whether a step of an entry does that to a signal by which the entry's fault is found.
func (l loop) caughtBy(s *Step, e *Entry) bool {
	if s.Action != l.action || l.param != "" && s.Params[l.param] != l.value {
		return false
	}
	return slices.ContainsFunc(e.Detect.State, func(c Condition) bool {
		return slices.ContainsFunc(c.All, func(is Is) bool {
			return is.Signal == l.signal && !s.excludes(&is) && slices.ContainsFunc(is.Values, func(v string) bool { return slices.Contains(l.values, v) })
		})
	})
}

// excludes says whether a step is left out while the signal has one of the values.
func (s *Step) excludes(is *Is) bool {
	return s.If != nil && s.If.Signal == is.Signal && !slices.ContainsFunc(s.If.Values, func(v string) bool { return slices.Contains(is.Values, v) })
}
