package jobs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/params"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/rollout"
)

// draft is a job that is resolved and checked but not created.
type draft struct {
	// targets in frozen order: by terminal id.
	targets []*target
	// params in canonical text, one set for all targets.
	params      map[string]string
	maxDuration time.Duration
	digest      string
	// action is the manifest's entry that the parameters were read by; nil when no target offers the action.
	action *actionv1.Action
	// changes is true when it changes something, and disruptive when people may notice, on any of the targets.
	changes, disruptive bool
	rollout             *fleetv1.Rollout
	// approval is what others must say to it; nil when nothing.
	approval *fleetv1.ApprovalState
}

// target is a terminal with what its own plugins offer.
type target struct {
	rec *storagev1.TerminalRecord
	// offer is nil when none of its plugins offers the action.
	offer *offer
	// problem is why it will be refused, and next what to do about it.
	problem, next string
}

// offer is one version of the action, and how many targets have it.
type offer struct {
	action *actionv1.Action
	// plugin is the hash of the plugin that would run it.
	plugin  string
	targets int
	// problem is why this version refuses the parameters.
	problem error
}

// draft resolves the targets and checks the parameters against what each of them offers.
func (e *Engine) draft(ctx context.Context, p *access.Principal, spec *fleetv1.JobSpec) (*draft, error) {
	if err := checkSpec(spec, e.now()); err != nil {
		return nil, err
	}
	recs, err := e.choose(ctx, p, spec.GetSelection())
	if err != nil {
		return nil, err
	}
	d := &draft{}
	for _, rec := range recs {
		d.targets = append(d.targets, &target{rec: rec})
	}
	slices.SortFunc(d.targets, func(a, b *target) int { return compareIDs(a.id(), b.id()) })
	d.digest = d.hash()
	offers, err := e.offers(ctx, d.targets, spec.GetAction())
	if err != nil {
		return nil, err
	}
	if len(offers) == 0 {
		if err := e.knownAction(ctx, p, spec.GetAction()); err != nil {
			return nil, err
		}
		// Nothing will read them: they are not kept, for nobody can say whether they are well formed.
		d.params = nil
	} else if err := d.chooseParams(offers, spec.GetParams()); err != nil {
		return nil, err
	}
	for _, t := range d.targets {
		t.judge(spec.GetAction())
		d.weigh(t, spec)
	}
	if err := e.checkSecrets(ctx, d); err != nil {
		return nil, err
	}
	if d.rollout, err = rollout.Resolve(spec.GetRollout(), d.servable(), d.changes); err != nil {
		return nil, err
	}
	d.approval, err = e.approvals(ctx, spec, d)
	return d, err
}

// weigh notes what a target that can be served makes of the job.
func (d *draft) weigh(t *target, spec *fleetv1.JobSpec) {
	if t.problem == "" && !spec.GetDryRun() {
		d.changes = d.changes || !t.offer.action.GetReadOnly()
		d.disruptive = d.disruptive || t.offer.action.GetDisruptive()
	}
}

// servable counts the targets that will not be refused from the start.
func (d *draft) servable() (n int) {
	for _, t := range d.targets {
		if t.problem == "" {
			n++
		}
	}
	return n
}

func (t *target) id() string { return t.rec.GetTerminal().GetId() }

// hash identifies the set of targets and where they are.
func (d *draft) hash() string {
	sum := sha256.New()
	for _, t := range d.targets {
		fmt.Fprintf(sum, "%s\x00%s\n", t.id(), t.rec.GetTerminal().GetSite())
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (d *draft) sites() []string {
	sites := make(map[string]struct{})
	for _, t := range d.targets {
		sites[t.rec.GetTerminal().GetSite()] = struct{}{}
	}
	return slices.Sorted(maps.Keys(sites))
}

// offers asks once for each set of plugins what it offers, and returns the versions, the most used first.
func (e *Engine) offers(ctx context.Context, targets []*target, action string) ([]*offer, error) {
	bySet := make(map[string]*offer)
	var list []*offer
	for _, t := range targets {
		set := strings.Join(t.rec.GetPluginSha256(), ",")
		o, asked := bySet[set]
		if !asked {
			a, p, ok, err := e.inv.ActionFor(ctx, t.rec, action)
			if err != nil {
				return nil, err
			}
			if ok {
				o = &offer{action: a, plugin: p.GetSha256()}
				list = append(list, o)
			}
			bySet[set] = o
		}
		if t.offer = o; o != nil {
			o.targets++
		}
	}
	slices.SortStableFunc(list, func(a, b *offer) int { return cmp.Compare(b.targets, a.targets) })
	return list, nil
}

// knownAction refuses an action that nobody offers.
func (e *Engine) knownAction(ctx context.Context, p *access.Principal, action string) error {
	offered, err := e.inv.Actions(ctx, p)
	if err != nil {
		return err
	}
	var names []string
	for _, o := range offered {
		names = append(names, o.GetAction().GetName())
	}
	if slices.Contains(names, action) {
		return nil
	}
	known := "no terminal of your sites offers any action"
	if slices.Sort(names); len(names) > 0 {
		known = "known actions: " + strings.Join(slices.Compact(names), ", ")
	}
	return refusal.New(refusal.NotFound, "ACTION_NOT_FOUND", "action %q: not found", clip(action, maxShown)).At("spec.action").Then("%s", known)
}

// maxShown bounds what is repeated of a bad name, in bytes.
const maxShown = 63

// chooseParams reads the parameters by the most used version that takes them, so that every terminal gets the same values,
// and asks every other version whether it takes those too.
func (d *draft) chooseParams(offers []*offer, given map[string]string) error {
	var first error
	for _, o := range offers {
		values, err := params.Resolve(o.action, given)
		if err == nil {
			d.params, d.action = values, o.action
			break
		}
		if first == nil {
			first = err
		}
	}
	if d.action == nil {
		return badParams(first)
	}
	for _, o := range offers {
		if o.action != d.action {
			_, o.problem = params.Resolve(o.action, d.params)
		}
		d.maxDuration = max(d.maxDuration, o.action.GetMaxDuration().AsDuration())
	}
	return nil
}

func badParams(err error) error {
	no := refusal.New(refusal.Invalid, "BAD_PARAMETER", "%s", err)
	var bad *params.Error
	if errors.As(err, &bad) && len(bad.Problems) > 0 {
		no = no.At(fmt.Sprintf("spec.params[%s]", bad.Problems[0].Param)).
			Then("see `fleetctl describe action %s`", bad.Action)
	}
	return no
}

// judge works out whether a terminal can be served.
func (t *target) judge(action string) {
	role := identity.RoleWord(t.rec.GetTerminal().GetRole())
	switch {
	case t.offer == nil:
		t.problem = fmt.Sprintf("none of its plugins offers %s", action)
		t.next = "install the plugin there and enrol the terminal again"
	case !serves(t.offer.action, role):
		t.problem = fmt.Sprintf("it is a %s, and %s is for %s", role, action, strings.Join(t.offer.action.GetRoles(), ", "))
		t.next = "choose terminals of that role"
	case t.offer.problem != nil:
		t.problem = fmt.Sprintf("its version %s of the action refuses the parameters: %s", t.offer.action.GetVersion(), t.offer.problem)
		t.next = "bring its plugins to the version of the others, or ask for it alone"
	}
}

// serves reports whether an action is for terminals of a role.
func serves(a *actionv1.Action, role string) bool {
	return len(a.GetRoles()) == 0 || slices.Contains(a.GetRoles(), role)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
