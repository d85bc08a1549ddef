package policy

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// read reads a policy, or refuses in the words for what does not exist.
func read(r store.Reader, name string) (*fleetv1.Policy, error) {
	text, err := r.Get(store.TablePolicies, store.Key(access.Fold(name)))
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound(name)
	}
	if err != nil {
		return nil, fmt.Errorf("policy %q: %w", name, err)
	}
	p := &fleetv1.Policy{}
	if err := proto.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("policy %q: %w", name, err)
	}
	return p, nil
}

func notFound(name string) *refusal.Error {
	return access.NotFound(policyObject, name).At("name").Then("`fleetctl policy list` names them all")
}

func write(w store.Writer, p *fleetv1.Policy) error {
	return put(w, store.TablePolicies, store.Key(p.GetName()), p)
}

func put(w store.Writer, t store.Table, key []byte, m proto.Message) error {
	text, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return w.Put(t, key, text)
}

func isNotFound(err error) bool {
	no, ok := errors.AsType[*refusal.Error](err)
	return ok && no.Kind == refusal.NotFound
}

// audit records a change of a policy in the chain of each of its sites, or in the fleet's when it is for all or for many.
func (e *Engine) audit(w store.Writer, p *access.Principal, verb string, of *fleetv1.Policy, reason string, changes ...*storagev1.AuditChange) error {
	chains := of.GetSites()
	if n := len(chains); n == 0 || n > maxChains {
		chains = []string{""}
	}
	var err error
	for _, site := range chains {
		entry := audit.Entry{Site: site, Verb: verb, Object: "policy/" + of.GetName(), Reason: reason, Changes: changes}
		if p != nil {
			entry.Actor = p.Name
		}
		err = errors.Join(err, audit.Append(w, e.cfg.Now(), entry))
	}
	return err
}

// maxChains bounds the audit records of one change: an update is bounded.
const maxChains = 20

// changes is what an auditor wants to know of a policy that was set.
func changes(old, made *fleetv1.Policy) (all []*storagev1.AuditChange) {
	before := fields(old)
	for i, f := range fields(made) {
		was := ""
		if old != nil {
			was = before[i].text
		}
		if was != f.text {
			all = append(all, audit.Change(f.name, was, f.text))
		}
	}
	return all
}

type field struct{ name, text string }

// fields are what of a policy decides.
func fields(p *fleetv1.Policy) []field {
	g := p.GetGuardrails()
	return []field{
		{"order", fmt.Sprint(p.GetOrder())},
		{"mode", word(p.GetMode())},
		{"entries", strings.Join(p.GetEntries(), ",")},
		{"sites", strings.Join(p.GetSites(), ",")},
		{"actions", strings.Join(p.GetActions(), ",")},
		{"kinds", strings.Join(p.GetKinds(), ",")},
		{"role", strings.ToLower(strings.TrimPrefix(p.GetRole().String(), "TERMINAL_ROLE_"))},
		{"ask_when_disruptive", fmt.Sprint(p.GetAskWhenDisruptive())},
		{"max_attempts", fmt.Sprint(g.GetMaxAttempts())},
		{"period", g.GetPeriod().AsDuration().String()},
		{"cooldown", g.GetCooldown().AsDuration().String()},
		{"only_when_quiet", fmt.Sprint(g.GetOnlyWhenQuiet())},
		{"site_breaker_percent", fmt.Sprint(p.GetSiteBreakerPercent())},
		{"any_time", fmt.Sprint(p.GetAnyTime())},
		{"reflex", fmt.Sprint(p.GetReflex())},
		{"escalate_to", p.GetEscalateTo()},
		{"approvals", fmt.Sprint(p.GetApprovals())},
		{"disabled", fmt.Sprint(p.GetDisabled())},
	}
}

func word(m fleetv1.PolicyMode) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "POLICY_MODE_"))
}
