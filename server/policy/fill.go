package policy

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/catalogue"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/jobs"
	"github.com/bandfleet/bandfleet/server/refusal"
)

const (
	// autoExpiry and askExpiry are how long a policy's job may wait, without and with people to ask.
	autoExpiry = time.Hour
	askExpiry  = 24 * time.Hour
	// standardTap is the tap threshold where a site's profile has none.
	standardTap = "-42"
	// ask stands for what only a person can give.
	ask = "{ask}"
)

var placeholder = regexp.MustCompile(`\{[a-z_]+(\.[a-z_]+)?\}`)

// spec is the job of a step, with the parameters that a person has given in place of the catalogue's.
func (e *Engine) spec(ctx context.Context, c *Case, step int, given map[string]string) (*fleetv1.JobSpec, jobs.Remedy, error) {
	s := c.entry.Remedy.Steps[step]
	around, err := e.around(ctx, c.fault.GetTerminalId(), s)
	if err != nil {
		return nil, jobs.Remedy{}, err
	}
	params, err := fill(s, c.fault, around, given)
	if err != nil {
		return nil, jobs.Remedy{}, err
	}
	selection, err := target(s, c.fault, around)
	if err != nil {
		return nil, jobs.Remedy{}, err
	}
	remedy := jobs.Remedy{FaultID: c.fault.GetId(), Step: uint32(step) + 1}
	if onTerminal(s) {
		remedy.Entry, remedy.Subject = c.fault.GetEntry(), c.fault.GetSubject()
	}
	return &fleetv1.JobSpec{
		Action: s.Action, Params: params, Selection: selection, Reason: clip("fault " + c.fault.GetId() + ": " + c.fault.GetTitle()),
		ExpiresIn: durationpb.New(c.expiry(s)), InUse: c.inUse(),
	}, remedy, nil
}

func (c *Case) expiry(s catalogue.Step) time.Duration {
	if c.policy.GetMode() == fleetv1.PolicyMode_POLICY_MODE_AUTO && !s.Approval {
		return autoExpiry
	}
	return askExpiry
}

// inUse has a job wait for a quiet moment where the policy wants that; a disruptive action waits in any case.
func (c *Case) inUse() fleetv1.InUse {
	if c.policy.GetGuardrails().GetOnlyWhenQuiet() {
		return fleetv1.InUse_IN_USE_WAIT
	}
	return fleetv1.InUse_IN_USE_UNSPECIFIED
}

// around is what the server knows of a terminal's site, when a step asks for something of it.
func (e *Engine) around(ctx context.Context, terminalID string, s catalogue.Step) (*actionv1.Surroundings, error) {
	asks := s.On == "nes-host"
	for _, value := range s.Params {
		asks = asks || strings.Contains(value, "{site.")
	}
	if !asks || e.cfg.Surroundings == nil {
		return &actionv1.Surroundings{}, nil
	}
	return e.cfg.Surroundings.Surroundings(ctx, terminalID)
}

// fill puts values in the place of what the catalogue leaves open.
func fill(s catalogue.Step, f *fleetv1.Fault, around *actionv1.Surroundings, given map[string]string) (map[string]string, error) {
	params := map[string]string{}
	var missing []string
	for name, text := range s.Params {
		if _, otherwise := given[name]; otherwise {
			continue
		}
		if strings.Contains(text, ask) {
			missing = append(missing, name)
			continue
		}
		value, problem := replace(text, f, around)
		if problem != "" {
			return nil, refusal.New(refusal.Precondition, "PARAMETER_OPEN", "action %q: parameter %s: %s", s.Action, name, problem).At("params").
				Then("give it with --param %s=VALUE", name)
		}
		params[name] = value
	}
	for name, value := range given {
		params[name] = value
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return nil, refusal.New(refusal.Invalid, "PARAMETER_WANTED", "action %q: only a person can say %s", s.Action, strings.Join(missing, " and ")).At("params").
			Then("give it with --param %s=VALUE", strings.Join(missing, "=VALUE --param "))
	}
	return params, nil
}

// replace puts values in the place of a text's placeholders. Its problem says which has none.
func replace(text string, f *fleetv1.Fault, around *actionv1.Surroundings) (value, problem string) {
	value = placeholder.ReplaceAllStringFunc(text, func(of string) string {
		known := ""
		switch of {
		case "{subject}":
			known = f.GetSubject()
		case "{terminal}":
			known = f.GetTerminalName()
		case "{site.nes_url}":
			known = nesURL(around)
		case "{site.root}":
			known = rootOf(around, f.GetSubject()).GetName()
		case "{site.root_hash}":
			known = rootOf(around, f.GetSubject()).GetSha256()
		case "{site.tap_threshold}":
			known = tapThreshold(around)
		}
		if known == "" {
			problem = "nothing is known for " + of
		}
		return known
	})
	return value, problem
}

// nesURL is the address of the NES host that the terminal uses; empty when there is none, or several.
func nesURL(around *actionv1.Surroundings) string {
	if host := nesHost(around); host != nil {
		return host.GetUrl()
	}
	return ""
}

// nesHost is the NES host that the terminal uses; nil when there is none, or several.
func nesHost(around *actionv1.Surroundings) (used *actionv1.NESHost) {
	for _, host := range around.GetNesHosts() {
		if host.GetUsed() || host.GetSelf() {
			if used != nil {
				return nil
			}
			used = host
		}
	}
	return used
}

// rootOf is the approved root that a fault is about, by name or hash, or the site's only one; nil when it is not known which.
func rootOf(around *actionv1.Surroundings, subject string) *actionv1.ApprovedRoot {
	roots := around.GetApprovedRoots()
	for _, r := range roots {
		if r.GetName() == subject || r.GetSha256() == subject {
			return r
		}
	}
	if len(roots) == 1 {
		return roots[0]
	}
	return nil
}

func tapThreshold(around *actionv1.Surroundings) string {
	if wanted := around.GetNbeProfile()["rssi_tap_threshold"]; wanted != "" && wanted != "0" {
		return wanted
	}
	return standardTap
}

// target selects where a step runs.
func target(s catalogue.Step, f *fleetv1.Fault, around *actionv1.Surroundings) (*fleetv1.Selection, error) {
	switch s.On {
	case "":
		return &fleetv1.Selection{Terminals: []string{f.GetTerminalId()}}, nil
	case "site":
		return &fleetv1.Selection{Sites: []string{f.GetSite()}}, nil
	case "nes-host":
		if host := nesHost(around); host != nil {
			return &fleetv1.Selection{Sites: []string{f.GetSite()}, Hosts: []string{host.GetHost()}}, nil
		}
		return nil, refusal.New(refusal.Precondition, "NO_HOST", "fault %q: it is not known which NES host terminal %q uses", f.GetId(), f.GetTerminalName()).
			Then("name it with `fleetctl site set %s --nes-host HOST=URL`", f.GetSite())
	}
	return nil, refusal.New(refusal.Precondition, "BAD_ENTRY", "entry %q: a step runs on %q, which is not known here", f.GetEntry(), refusal.Shown(s.On)).
		Then("bring the catalogue and the server to versions that fit")
}
