package sdktest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

var (
	actionName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	paramName  = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	version    = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
)

// maxActionDuration is the longest MaxDuration that makes sense for something that people wait for. One that waits for people may
// take a day more.
const maxActionDuration = time.Hour

// maxApprovals is how many people beside the requester an action may ask for.
const maxApprovals = 2

// ManifestProblems returns what is wrong with an action's manifest, nothing when it is well formed.
func ManifestProblems(a *actionv1.Action) []string {
	var p problems
	p.check(actionName.MatchString(a.GetName()), "name %q: want lower case words with dashes", a.GetName())
	p.check(version.MatchString(a.GetVersion()), "version %q: want a semantic version", a.GetVersion())
	for field, text := range map[string]string{
		"summary": a.GetSummary(), "description": a.GetDescription(), "undo": a.GetUndo(), "verifies": a.GetVerifies(), "source": a.GetSource(),
	} {
		p.check(strings.TrimSpace(text) != "", "%s is empty: people decide by it", field)
	}
	p.check(!strings.Contains(a.GetSummary(), "\n"), "summary has more than one line")
	p.check(!a.GetDisruptive() || a.GetInterrupts() != "", "it is disruptive and does not say what it interrupts")
	p.check(!a.GetReadOnly() || !a.GetDisruptive(), "it is read-only and disruptive")
	p.check(a.GetReadOnly() || len(a.GetResources()) > 0, "it changes something and names no resource, so two could run at once")
	p.check(a.GetRepeatability() != actionv1.Repeatability_REPEATABILITY_UNSPECIFIED, "repeatability is not set")
	d := a.GetMaxDuration().AsDuration()
	least, most := time.Duration(0), maxActionDuration
	if declared(a, &actionv1.Capability{Kind: actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM}) {
		least, most = leastConfirm, most+mostConfirm
	}
	p.check(d > least && d <= most, "max_duration %s: want more than %s and at most %s", d, least, most)
	p.check(len(a.GetRoles()) > 0, "roles: want at least one")
	for _, r := range a.GetRoles() {
		p.check(r == "user-terminal" || r == "nes-host", "role %q is not known", r)
	}
	p.check(a.GetApprovals() <= maxApprovals, "approvals %d: want at most %d", a.GetApprovals(), maxApprovals)
	p.params(a)
	p.budgets(a)
	p.orders(a)
	p.whens(a)
	p.capabilities(a)
	return p
}

// problems collects what is wrong.
type problems []string

func (p *problems) check(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

func (p *problems) params(a *actionv1.Action) {
	seen := map[string]bool{}
	for _, param := range a.GetParams() {
		name := param.GetName()
		p.check(paramName.MatchString(name), "parameter %q: want lower case words with underscores", name)
		p.check(!seen[name], "parameter %q is there twice", name)
		seen[name] = true
		p.check(param.GetHelp() != "", "parameter %q has no help", name)
		p.check(param.GetType() != actionv1.ParamType_PARAM_TYPE_UNSPECIFIED, "parameter %q has no type", name)
		p.check(param.GetType() != actionv1.ParamType_PARAM_TYPE_ENUM || len(param.GetChoices()) > 0, "parameter %q has no choices", name)
		p.check(!param.GetRequired() || param.GetDefaultValue() == "", "parameter %q is required and has a default", name)
		p.texts(param)
		for what, text := range map[string]string{"default": param.GetDefaultValue(), "min": param.GetMin(), "max": param.GetMax()} {
			if text == "" || (what != "default" && param.GetType() == actionv1.ParamType_PARAM_TYPE_STRING) {
				continue
			}
			canonical, err := params.Canonical(param, text)
			p.check(err == nil, "parameter %q: %s %v", name, what, err)
			p.check(err != nil || what != "default" || canonical == text, "parameter %q: default %q is not canonical, want %q", name, text, canonical)
		}
	}
}

func (p *problems) capabilities(a *actionv1.Action) {
	seen := map[string]bool{}
	for _, c := range a.GetCapabilities() {
		name := fmt.Sprintf("%v %q", c.GetKind(), c.GetObject())
		p.check(c.GetKind() != actionv1.CapabilityKind_CAPABILITY_KIND_UNSPECIFIED, "capability %s has no kind", name)
		p.check((c.GetObject() == "") == slices.Contains(whole(), c.GetKind()), "capability %s: want an object exactly when its kind has one", name)
		p.check(!seen[name], "capability %s is there twice", name)
		p.check(!a.GetReadOnly() || !slices.Contains(changing(), c.GetKind()), "it is read-only and declares %s", name)
		seen[name] = true
	}
}

// whole lists the capabilities that have no object.
func whole() []actionv1.CapabilityKind {
	return []actionv1.CapabilityKind{
		actionv1.CapabilityKind_CAPABILITY_KIND_HOST_READ, actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM,
		actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_READ, actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_SET,
		actionv1.CapabilityKind_CAPABILITY_KIND_IIS_READ, actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_READ,
		actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_ADD, actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT,
		actionv1.CapabilityKind_CAPABILITY_KIND_PEER_PROBE, actionv1.CapabilityKind_CAPABILITY_KIND_SECRET_USE,
		actionv1.CapabilityKind_CAPABILITY_KIND_SITE_READ, actionv1.CapabilityKind_CAPABILITY_KIND_MACHINE_READ,
		actionv1.CapabilityKind_CAPABILITY_KIND_LEASE,
	}
}

// changing lists the capabilities that an action which only reads may not have.
func changing() []actionv1.CapabilityKind {
	return []actionv1.CapabilityKind{
		actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_CONTROL, actionv1.CapabilityKind_CAPABILITY_KIND_SERVICE_KILL,
		actionv1.CapabilityKind_CAPABILITY_KIND_PERSON_CONFIRM, actionv1.CapabilityKind_CAPABILITY_KIND_CONFIG_EDIT,
		actionv1.CapabilityKind_CAPABILITY_KIND_FILE_WRITE, actionv1.CapabilityKind_CAPABILITY_KIND_REGISTRY_WRITE,
		actionv1.CapabilityKind_CAPABILITY_KIND_CERTIFICATE_ADD, actionv1.CapabilityKind_CAPABILITY_KIND_BINDING_SET,
		actionv1.CapabilityKind_CAPABILITY_KIND_IIS_WRITE, actionv1.CapabilityKind_CAPABILITY_KIND_DEVICE_CONTROL,
		actionv1.CapabilityKind_CAPABILITY_KIND_POWER_WRITE, actionv1.CapabilityKind_CAPABILITY_KIND_FEATURE_ADD,
		actionv1.CapabilityKind_CAPABILITY_KIND_REBOOT,
	}
}
