package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Resolver finds the sites of an object by its name; a refusal of kind NotFound says that there is none.
type Resolver func(ctx context.Context, name string) (sites []string, err error)

// Authorizer answers who calls, and whether it may.
type Authorizer struct {
	store     store.Store
	now       func() time.Time
	rules     map[string]Rule
	resolvers map[ObjectKind]Resolver
}

// NewAuthorizer makes an authorizer. It wants a resolver for every kind of object in the table of rules.
func NewAuthorizer(st store.Store, now func() time.Time, resolvers map[ObjectKind]Resolver) (*Authorizer, error) {
	for _, kind := range []ObjectKind{Site, Terminal, Band, Token, Job} {
		if resolvers[kind] == nil {
			return nil, fmt.Errorf("access: no resolver for objects of kind %q", kind)
		}
	}
	return &Authorizer{store: st, now: now, rules: Rules(), resolvers: resolvers}, nil
}

// Rule returns the rule of an RPC; ok is false for one that is not in the table, which nobody may call.
func (a *Authorizer) Rule(fullMethod string) (rule Rule, ok bool) {
	rule, ok = a.rules[fullMethod]
	return rule, ok
}

// AuthorizePeer decides what can be decided before a request is read: whether the RPC is for this kind of caller at all. p is
// nil when the caller showed no certificate.
func (a *Authorizer) AuthorizePeer(p *Principal, fullMethod string) error {
	rule, ok := a.rules[fullMethod]
	if !ok {
		return refusal.New(refusal.Denied, "NOT_IN_TABLE", "%s: nobody may call this", fullMethod)
	}
	switch rule.Peer {
	case Anyone, TokenHolder:
		return nil
	case Agent:
		return wantKind(p, identity.KindAgent, fullMethod)
	case Operator:
		return wantKind(p, identity.KindOperator, fullMethod)
	default:
		return refusal.New(refusal.Denied, "NOT_IN_TABLE", "%s: nobody may call this", fullMethod)
	}
}

func wantKind(p *Principal, kind identity.Kind, fullMethod string) error {
	if p == nil {
		return refusal.New(refusal.Unauthenticated, "NO_CERTIFICATE", "%s: needs a client certificate", fullMethod).
			Then("call with the context file that the administrator gave you")
	}
	if p.Name.Kind != kind {
		return refusal.New(refusal.Denied, "WRONG_KIND", "%s: is not for %ss, and the caller is %q", fullMethod, p.Name.Kind, p.Name)
	}
	return nil
}

// Authorize decides whether the principal may make this request. For a stream, req is its first message.
func (a *Authorizer) Authorize(ctx context.Context, p *Principal, fullMethod string, req proto.Message) error {
	if err := a.AuthorizePeer(p, fullMethod); err != nil {
		return err
	}
	rule := a.rules[fullMethod]
	if rule.Peer != Operator {
		return nil
	}
	switch rule.Scope {
	case Own:
		return nil
	case Fleet:
		if all, _ := p.Sites(rule.Right); all {
			return nil
		}
		return denied(p, rule.Right, "all sites")
	case Inside:
		if all, sites := p.Sites(rule.Right); all || len(sites) > 0 {
			return nil
		}
		return denied(p, rule.Right, "any site")
	case Every, Some:
		return a.authorizeObjects(ctx, p, rule, req)
	default:
		return denied(p, rule.Right, "anything")
	}
}

func (a *Authorizer) authorizeObjects(ctx context.Context, p *Principal, rule Rule, req proto.Message) error {
	objects := rule.Objects(req)
	if len(objects) == 0 {
		return fmt.Errorf("access: no rule reads a %T", req)
	}
	for _, o := range objects {
		if err := a.authorizeObject(ctx, p, rule, o); err != nil {
			return err
		}
	}
	return nil
}

func (a *Authorizer) authorizeObject(ctx context.Context, p *Principal, rule Rule, o Object) error {
	if o.Name == "" {
		return refusal.New(refusal.Invalid, "REQUIRED", "%s: a name is required", o.Kind).At(o.Field)
	}
	sites, err := a.resolvers[o.Kind](ctx, o.Name)
	var r *refusal.Error
	switch {
	case errors.As(err, &r) && r.Kind == refusal.NotFound:
		return NotFound(o.Kind, o.Name).At(o.Field)
	case err != nil:
		return err
	}
	return CheckSites(p, rule.Right, rule.Scope, o, sites)
}

// CheckSites decides on an object at these sites. Who may read none of them is told that there is no such object.
func CheckSites(p *Principal, right Right, scope Scope, o Object, sites []string) error {
	visible, held := 0, 0
	missing := ""
	for _, s := range sites {
		if p.May(Read, s) {
			visible++
		}
		if p.May(right, s) {
			held++
		} else if missing == "" && p.May(Read, s) {
			missing = s
		}
	}
	switch {
	case visible == 0:
		return NotFound(o.Kind, o.Name).At(o.Field)
	case held == len(sites), scope == Some && held > 0:
		return nil
	case missing == "":
		// Only sites are in the way that the caller may not know of.
		return denied(p, right, fmt.Sprintf("every site of %s %q", o.Kind, o.Name))
	default:
		return denied(p, right, fmt.Sprintf("site %q", missing))
	}
}

func denied(p *Principal, right Right, where string) error {
	return refusal.New(refusal.Denied, "RIGHT_MISSING", "operator %q: may not %s %s", p.Name.ID, right, where).
		Then("see your roles with `fleetctl whoami`, and ask an administrator for one that holds this right")
}
