package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// policyObject is what a policy is called where objects are named.
const policyObject access.ObjectKind = "policy"

// Set makes a policy or changes it. Nothing is changed when something of it is at fault.
func (e *Engine) Set(ctx context.Context, p *access.Principal, r *fleetv1.SetPolicyRequest) (*fleetv1.Policy, error) {
	wanted, err := e.wanted(ctx, p, r)
	if err != nil {
		return nil, err
	}
	var made *fleetv1.Policy
	err = e.cfg.Store.Update(ctx, func(w store.Writer) error {
		made = proto.CloneOf(wanted)
		return e.replace(w, p, made, r)
	})
	if err != nil {
		return nil, err
	}
	return made, e.reread(context.WithoutCancel(ctx))
}

// wanted checks a request and makes the policy that it asks for.
func (e *Engine) wanted(ctx context.Context, p *access.Principal, r *fleetv1.SetPolicyRequest) (*fleetv1.Policy, error) {
	if r.GetPolicy() == nil {
		return nil, refusal.New(refusal.Invalid, "NO_POLICY", "no policy is given").At("policy").Then("give one with a name and a mode")
	}
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	wanted := tidied(r.GetPolicy())
	if err := mayAdminister(p, wanted); err != nil {
		return nil, err
	}
	if err := e.check(ctx, wanted); err != nil {
		return nil, err
	}
	wanted.Changed, wanted.ChangedBy = timestamppb.New(e.cfg.Now()), p.Name.ID
	return wanted, nil
}

// tidied brings a policy into the form in which it is kept.
func tidied(given *fleetv1.Policy) *fleetv1.Policy {
	p := proto.CloneOf(given)
	p.Builtin, p.Changed, p.ChangedBy, p.Etag = false, nil, "", ""
	for i, site := range p.GetSites() {
		p.Sites[i] = access.Fold(site)
	}
	for _, list := range []*[]string{&p.Entries, &p.Sites, &p.Actions, &p.Kinds} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return p
}

// mayAdminister asks for the right at each site of a policy, at all of them when it names none.
func mayAdminister(p *access.Principal, of *fleetv1.Policy) error {
	sites := of.GetSites()
	if len(sites) == 0 {
		sites = []string{access.AllSites}
	}
	all, mine := p.Sites(access.Admin)
	for _, site := range sites {
		if !all && !slices.Contains(mine, site) {
			return errDenied(p, "policy", of.GetName(), of.GetSites(), "an administrator of")
		}
	}
	return nil
}

func errDenied(p *access.Principal, kind, name string, sites []string, who string) error {
	where := "all sites"
	if len(sites) > 0 {
		where = "each of its sites"
	}
	by := ""
	if p != nil {
		by = p.Name.ID
	}
	return refusal.New(refusal.Denied, "NO_RIGHT", "%s %q: %s is not %s %s", kind, refusal.Shown(name), by, who, where).Then("ask somebody who is")
}

// replace writes a policy in the place of an earlier one. It writes three keys.
func (e *Engine) replace(w store.Writer, p *access.Principal, made *fleetv1.Policy, r *fleetv1.SetPolicyRequest) error {
	old, err := read(w, made.GetName())
	if isNotFound(err) {
		old, err = nil, nil
	}
	if err != nil {
		return err
	}
	if r.GetEtag() != "" && r.GetEtag() != old.GetEtag() {
		return refusal.New(refusal.Conflict, "ETAG_MISMATCH", "policy %q: was changed meanwhile", made.GetName()).At("etag").
			Then("read it again and decide again")
	}
	if old != nil {
		if err := mayAdminister(p, old); err != nil {
			return err
		}
		made.Builtin = old.GetBuiltin()
	}
	if same(old, made) {
		proto.Reset(made)
		proto.Merge(made, old)
		return nil
	}
	made.Etag = etagOf(made)
	return errors.Join(write(w, made), e.audit(w, p, "policy.set", made, r.GetReason(), changes(old, made)...))
}

// same says whether nothing of a policy was changed but when and by whom.
func same(old, made *fleetv1.Policy) bool {
	if old == nil {
		return false
	}
	a, b := proto.CloneOf(old), proto.CloneOf(made)
	for _, p := range []*fleetv1.Policy{a, b} {
		p.Changed, p.ChangedBy, p.Etag = nil, "", ""
	}
	return proto.Equal(a, b)
}

func etagOf(p *fleetv1.Policy) string {
	bare := proto.CloneOf(p)
	bare.Etag = ""
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(bare)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Get returns a policy. One that is for sites of others only answers as one that does not exist.
func (e *Engine) Get(ctx context.Context, p *access.Principal, name string) (of *fleetv1.Policy, err error) {
	err = e.cfg.Store.View(ctx, func(v store.Snapshot) error {
		of, err = readFor(v, p, name)
		return err
	})
	return of, err
}

// readFor reads a policy that the caller may know of.
func readFor(r store.Reader, p *access.Principal, name string) (*fleetv1.Policy, error) {
	of, err := read(r, name)
	if err == nil && !mayKnow(p, of) {
		return nil, notFound(name)
	}
	return of, err
}

// mayKnow says whether a policy is for all sites, or for one that the caller may read.
func mayKnow(p *access.Principal, of *fleetv1.Policy) bool {
	return len(of.GetSites()) == 0 || slices.ContainsFunc(of.GetSites(), func(site string) bool { return p.May(access.Read, site) })
}

// List returns the policies that the caller may know of, in the order in which they are asked.
func (e *Engine) List(ctx context.Context, p *access.Principal) (all []*fleetv1.Policy, err error) {
	err = e.cfg.Store.View(ctx, func(v store.Snapshot) error {
		all, err = readAll(v)
		return err
	})
	return slices.DeleteFunc(all, func(of *fleetv1.Policy) bool { return !mayKnow(p, of) }), err
}

// Delete removes a policy. Its jobs stay.
func (e *Engine) Delete(ctx context.Context, p *access.Principal, r *fleetv1.DeletePolicyRequest) error {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return err
	}
	err := e.cfg.Store.Update(ctx, func(w store.Writer) error {
		old, err := readFor(w, p, r.GetName())
		if err != nil {
			return err
		}
		if err := mayAdminister(p, old); err != nil {
			return err
		}
		return errors.Join(w.Delete(store.TablePolicies, store.Key(old.GetName())), e.audit(w, p, "policy.delete", old, r.GetReason()))
	})
	if err != nil {
		return err
	}
	return e.reread(context.WithoutCancel(ctx))
}
