package sdk

import (
	"strconv"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Bool declares a parameter that is true or false.
func Bool(name string, defaultValue bool, help string) *actionv1.Param {
	text := "false"
	if defaultValue {
		text = "true"
	}
	return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_BOOL, DefaultValue: text, Help: help}
}

// Duration declares a duration within bounds, both inclusive.
func Duration(name string, defaultValue, least, most time.Duration, help string) *actionv1.Param {
	return &actionv1.Param{
		Name: name, Type: actionv1.ParamType_PARAM_TYPE_DURATION, Help: help,
		DefaultValue: defaultValue.String(), Min: least.String(), Max: most.String(),
	}
}

// Enum declares a parameter with a fixed set of values.
func Enum(name, defaultValue, help string, choices ...string) *actionv1.Param {
	return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_ENUM, DefaultValue: defaultValue, Help: help, Choices: choices}
}

// Text declares a text of at most this many bytes, not required. An empty pattern allows any; patternWords says what is allowed.
func Text(name, defaultValue, help string, most int, pattern, patternWords string) *actionv1.Param {
	return &actionv1.Param{
		Name: name, Type: actionv1.ParamType_PARAM_TYPE_STRING, DefaultValue: defaultValue, Help: help,
		Max: strconv.Itoa(most), Pattern: pattern, PatternWords: patternWords,
	}
}

// Integer declares an integer within bounds, both inclusive, not set unless it is given.
func Integer(name string, least, most int64, help string) *actionv1.Param {
	return &actionv1.Param{
		Name: name, Type: actionv1.ParamType_PARAM_TYPE_INTEGER, Help: help,
		Min: strconv.FormatInt(least, 10), Max: strconv.FormatInt(most, 10),
	}
}

// Secret declares a reference to a sealed secret.
func Secret(name, help string) *actionv1.Param {
	return &actionv1.Param{Name: name, Type: actionv1.ParamType_PARAM_TYPE_SECRET, Help: help}
}

// Required makes a parameter required and returns it.
func Required(p *actionv1.Param) *actionv1.Param {
	p.Required, p.DefaultValue = true, ""
	return p
}

// List makes a parameter a list, joined by commas, and returns it.
func List(p *actionv1.Param) *actionv1.Param {
	p.List = true
	return p
}

// ReadService declares that the action reads and watches a service, named by its display name.
func ReadService(service string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_READ, service)
}

// ControlService declares that the action stops and starts a service.
func ControlService(service string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, service)
}

// EndService declares that the action ends a service's own process.
func EndService(service string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL, service)
}

// ReadFile declares that the action reads a file below one of the agent's roots.
func ReadFile(root, path string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_FILE_READ, root+"/"+path)
}

// ReadDevice declares that the action reads the USB devices with these ids (four lower case hexadecimal digits each).
func ReadDevice(vendor, product string) *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_READ, vendor+":"+product)
}

// ProbeAgentURL declares that the action connects to the host and port of agent_url in nbe.toml, and to nothing else.
func ProbeAgentURL() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_NETWORK_PROBE, "agent-url")
}

// ReadHost declares that the action reads the machine's name, addresses and operating system.
func ReadHost() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ, "")
}

// AskPerson declares that the action asks a person to confirm something.
func AskPerson() *actionv1.Capability {
	return capability(actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM, "")
}

func capability(kind actionv1.CapabilityKind, object string) *actionv1.Capability {
	return &actionv1.Capability{Kind: kind, Object: object}
}
