package selector

import (
	"slices"
	"strconv"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

// Display names of the services that have keys.
const (
	endpointService = "Nymi Bluetooth Endpoint"
	agentService    = "Nymi Agent"
)

// labelPrefix begins the keys that people choose.
const labelPrefix = "label."

// order is how the values of a key are ordered.
type order int

const (
	unordered order = iota
	byVersion
	byAge
)

// key is something that can be asked of a terminal.
type key struct {
	name string
	// help says in a few words what it is.
	help string
	// value is what is so of a terminal; false when it is not known. It is nil for ages.
	value func(Subject) (string, bool)
	// age is how long ago it was, never negative; only for ages.
	age   func(Subject) (time.Duration, bool)
	order order
	// choices are all values it can have, in lower case; nil when they cannot be listed.
	choices []string
	// truth is set for what is true or false.
	truth bool
	// always is set when every terminal has a value.
	always bool
	// exact is set when the case of letters counts.
	exact bool
}

// fold makes equal values equal texts.
func (k *key) fold(value string) string {
	switch {
	case k.exact:
		return value
	case k.order == byVersion:
		return foldVersion(value)
	default:
		return strings.ToLower(value)
	}
}

// keys are the keys but labels, as they are listed for people.
func keys() []*key {
	return []*key{
		{name: "site", help: "name of its site", always: true, value: told(func(s Subject) string { return s.Terminal.GetSite() })},
		{name: "role", help: "what the machine is for", choices: roles(), value: told(func(s Subject) string { return identity.RoleWord(s.Terminal.GetRole()) })},
		{name: "id", help: "T-0142", always: true, value: told(func(s Subject) string { return s.Terminal.GetId() })},
		{name: "name", help: "its name in the fleet", always: true, value: told(func(s Subject) string { return s.Terminal.GetName() })},
		{name: "state", help: "its place in the inventory", choices: []string{"active", "quarantined", "re-enrolling", "decommissioned"}, value: told(stateWord)},
		{name: "online", help: "whether it is connected now", truth: true, choices: []string{"true", "false"}, value: told(func(s Subject) string { return strconv.FormatBool(s.Online) })},
		{name: "last_seen", help: "time since it was connected; 0 while it is", order: byAge, value: known(lastSeen), age: lastSeen},
		{name: "os", help: "windows, linux, sim", value: told(func(s Subject) string { return s.Terminal.GetFacts().GetOs() })},
		{name: "os_version", help: "as the system says it", order: byVersion, value: told(func(s Subject) string { return s.Terminal.GetFacts().GetOsVersion() })},
		{name: "agent_version", help: "of fleet-agent", order: byVersion, value: told(func(s Subject) string { return s.Terminal.GetFacts().GetAgentVersion() })},
		{name: "hostname", help: "the machine's own name", value: told(func(s Subject) string { return s.Terminal.GetFacts().GetHostname() })},
		{name: "adapter", help: "the Bluetooth adapter", choices: []string{"present", "absent", "unknown"}, value: told(adapterWord)},
		{name: "endpoint", help: "the service " + endpointService, choices: serviceWords(), value: service(endpointService)},
		{name: "agent", help: "the service " + agentService, choices: serviceWords(), value: service(agentService)},
	}
}

// findKey returns a key by name, or what is wrong with the name.
func findKey(all []*key, name string) (k *key, problem string) {
	if label, ok := strings.CutPrefix(name, labelPrefix); ok {
		if !isLabel(label) {
			return nil, "label " + quote(clip(label)) + " cannot be; labels are lower case letters, digits, dots, dashes and underscores, at most 63"
		}
		return labelKey(label), ""
	}
	if i := slices.IndexFunc(all, func(k *key) bool { return k.name == name }); i >= 0 {
		return all[i], ""
	}
	problem = "key " + quote(clip(name)) + " is not known; " + knownKeys()
	if isLabel(name) {
		problem += "; if it is a label, write " + labelPrefix + name
	}
	return nil, problem
}

func knownKeys() string {
	var names []string
	for _, k := range keys() {
		names = append(names, k.name)
	}
	return "keys are " + strings.Join(names, ", ") + " and " + labelPrefix + "KEY"
}

// labelKey is the key of a label, which is compared as exactly as everywhere else.
func labelKey(label string) *key {
	return &key{name: labelPrefix + label, order: byVersion, exact: true, value: func(s Subject) (string, bool) {
		value, there := s.Terminal.GetLabels()[label]
		return value, there
	}}
}

// isLabel tells whether a label may have this name; the inventory's rule is the same.
func isLabel(name string) bool {
	if name == "" || len(name) > 63 || strings.ContainsRune("._-", rune(name[0])) {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// told makes a value of a text that is empty when it is not known.
func told(read func(Subject) string) func(Subject) (string, bool) {
	return func(s Subject) (string, bool) {
		value := read(s)
		return value, value != ""
	}
}

// known makes the value of an age, of which only whether it is known is asked.
func known(age func(Subject) (time.Duration, bool)) func(Subject) (string, bool) {
	return func(s Subject) (string, bool) {
		_, ok := age(s)
		return "", ok
	}
}

func roles() (words []string) {
	for r := range int32(len(fleetv1.TerminalRole_name)) {
		if word := identity.RoleWord(fleetv1.TerminalRole(r)); word != "" {
			words = append(words, word)
		}
	}
	return words
}

func stateWord(s Subject) string {
	switch s.Terminal.GetState() {
	case fleetv1.TerminalState_TERMINAL_STATE_ACTIVE:
		if s.Terminal.GetQuarantine() != nil {
			return "quarantined"
		}
		return "active"
	case fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING:
		return "re-enrolling"
	case fleetv1.TerminalState_TERMINAL_STATE_DECOMMISSIONED:
		return "decommissioned"
	default:
		return ""
	}
}

func lastSeen(s Subject) (time.Duration, bool) {
	switch seen := s.Terminal.GetLastSeen(); {
	case s.Online:
		return 0, true
	case seen == nil:
		return 0, false
	default:
		return max(s.Now.Sub(seen.AsTime()), 0), true
	}
}

func adapterWord(s Subject) string {
	switch adapter := s.Terminal.GetFacts().GetAdapter(); {
	case adapter == nil:
		return "unknown"
	case len(adapter.GetDevices()) == 0:
		return "absent"
	default:
		return "present"
	}
}

// serviceWords are the states of a service: as it was last told, "missing" when it is not installed, "unknown" when it was
// never told.
func serviceWords() []string {
	return []string{"running", "stopped", "starting", "stopping", "paused", "missing", "unknown"}
}

func service(name string) func(Subject) (string, bool) {
	return told(func(s Subject) string {
		for _, state := range s.Terminal.GetFacts().GetServices() {
			if state.GetService() == name {
				return serviceWord(state)
			}
		}
		return "unknown"
	})
}

func serviceWord(s *actionv1.ServiceState) string {
	if !s.GetInstalled() {
		return "missing"
	}
	switch s.GetStatus() {
	case actionv1.ServiceStatus_SERVICE_STATUS_RUNNING:
		return "running"
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPED:
		return "stopped"
	case actionv1.ServiceStatus_SERVICE_STATUS_STARTING:
		return "starting"
	case actionv1.ServiceStatus_SERVICE_STATUS_STOPPING:
		return "stopping"
	case actionv1.ServiceStatus_SERVICE_STATUS_PAUSED:
		return "paused"
	default:
		return "unknown"
	}
}

// Key is a key for help texts.
type Key struct {
	Name string
	// Help says in a few words what it is.
	Help string
	// Values are all that it can have; nil when they cannot be listed.
	Values []string
}

// Keys lists the keys in the order in which they are best told.
func Keys() []Key {
	var list []Key
	for _, k := range keys() {
		list = append(list, Key{k.name, k.help, k.choices})
	}
	return append(list, Key{Name: labelPrefix + "KEY", Help: "the label KEY"})
}
