package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// firstOperator is the name of the administrator made at the first start.
	firstOperator = "admin"
	// serverName is who the jobs of the server's own schedules are asked for by.
	serverName     = "fleetd"
	minOperatorTTL = time.Hour
	maxOperatorTTL = 398 * 24 * time.Hour
	maxBindings    = 32
	maxBoundSites  = 256
)

// CreateOperator makes an operator and signs a certificate for the key of the request. issue is given the operator's name.
func (i *Inventory) CreateOperator(ctx context.Context, by identity.Name, req *fleetv1.CreateOperatorRequest, issue Issue) (*fleetv1.Operator, *pki.Issued, error) {
	if err := checkOperator(req); err != nil {
		return nil, nil, err
	}
	issued, err := issue(req.GetName(), req.GetCsr())
	if err != nil {
		return nil, nil, err
	}
	var o *fleetv1.Operator
	err = i.store.Update(ctx, func(w store.Writer) error {
		bindings, err := foldBindings(w, req.GetBindings())
		if err != nil {
			return err
		}
		o = &fleetv1.Operator{
			Name: req.GetName(), Bindings: bindings, Created: timestamppb.New(i.now()), CreatedBy: by.String(),
			CertificateExpires: timestamppb.New(issued.NotAfter),
		}
		r := &storagev1.OperatorRecord{Operator: o, TlsKeySha256: issued.KeySHA256, FixedTerm: req.GetTtl().AsDuration() != 0}
		return i.addOperator(w, by, r, "")
	})
	if err != nil {
		return nil, nil, err
	}
	return o, issued, nil
}

func checkOperator(req *fleetv1.CreateOperatorRequest) error {
	if err := wantName("operator", operatorName, req.GetName(), "name", "lower case letters, digits, dots and dashes, at most 63"); err != nil {
		return err
	}
	if req.GetName() == serverName {
		return refusal.New(refusal.Exists, "RESERVED", "operator %q: is what the server calls itself", serverName).At("name").Then("choose another name")
	}
	if n := len(req.GetBindings()); n == 0 || n > maxBindings {
		return refusal.New(refusal.Invalid, "BAD_BINDINGS", "operator %q: has %d role bindings, want 1 to %d", req.GetName(), n, maxBindings).At("bindings")
	}
	if req.GetTtl() == nil {
		return nil
	}
	ttl := req.GetTtl().AsDuration()
	if err := req.GetTtl().CheckValid(); err != nil || ttl != 0 && (ttl < minOperatorTTL || ttl > maxOperatorTTL) {
		return refusal.New(refusal.Invalid, "OUT_OF_RANGE", "time to live: is %s, want 1h to 9552h", ttl).At("ttl")
	}
	return nil
}

// foldBindings checks roles and sites and folds the sites' names.
func foldBindings(r store.Reader, bindings []*fleetv1.RoleBinding) (out []*fleetv1.RoleBinding, err error) {
	total := 0
	for n, b := range bindings {
		if _, known := fleetv1.OperatorRole_name[int32(b.GetRole())]; !known || b.GetRole() == fleetv1.OperatorRole_OPERATOR_ROLE_UNSPECIFIED {
			return nil, refusal.New(refusal.Invalid, "BAD_ROLE", "role: must be viewer, operator, approver or admin").At(fmt.Sprintf("bindings[%d].role", n))
		}
		if total += len(b.GetSites()); total > maxBoundSites {
			return nil, refusal.New(refusal.Invalid, "BAD_BINDINGS", "role bindings: name more than %d sites", maxBoundSites).At("bindings")
		}
		sites, err := foldSites(r, b.GetSites(), fmt.Sprintf("bindings[%d].sites", n))
		if err != nil {
			return nil, err
		}
		out = append(out, &fleetv1.RoleBinding{Role: b.GetRole(), Sites: sites})
	}
	return out, nil
}

func foldSites(r store.Reader, names []string, field string) (sites []string, err error) {
	if len(names) == 0 {
		return nil, refusal.New(refusal.Invalid, "BAD_BINDINGS", "role binding: names no site").At(field).Then("name sites, or * for all")
	}
	for n, name := range names {
		if name == access.AllSites {
			if len(names) > 1 {
				return nil, refusal.New(refusal.Invalid, "BAD_BINDINGS", "role binding: * stands beside other sites").At(field).Then("give * alone")
			}
			return []string{access.AllSites}, nil
		}
		s, err := readSite(r, clipped(name), nil)
		if err != nil {
			return nil, at(err, fmt.Sprintf("%s[%d]", field, n))
		}
		sites = append(sites, s.GetName())
	}
	slices.Sort(sites)
	return slices.Compact(sites), nil
}

func (i *Inventory) addOperator(w store.Writer, by identity.Name, r *storagev1.OperatorRecord, reason string) error {
	o := r.GetOperator()
	if there, err := has(w, store.TableOperators, store.Key(o.GetName())); err != nil || there {
		return orExists(err, "operator", o.GetName())
	}
	if administers(o) {
		if _, err := count(w, store.KeyAdministrators, 1); err != nil {
			return err
		}
	}
	if err := writeOperator(w, r); err != nil {
		return err
	}
	return audit.Append(w, i.now(), audit.Entry{
		Actor: by, Verb: "operator.create", Object: "operator/" + o.GetName(), Reason: reason,
		Changes: changes("bindings", "", bindingText(o), "key", "", fmt.Sprintf("%x", r.GetTlsKeySha256())),
	})
}

func writeOperator(w store.Writer, r *storagev1.OperatorRecord) error {
	return write(w, store.TableOperators, store.Key(r.GetOperator().GetName()), r)
}

// administers reports whether an operator administers all sites.
func administers(o *fleetv1.Operator) bool {
	all, _ := (&access.Principal{Operator: o}).Sites(access.Admin)
	return all
}

func bindingText(o *fleetv1.Operator) string {
	var texts []string
	for _, b := range o.GetBindings() {
		role := strings.ToLower(strings.TrimPrefix(b.GetRole().String(), "OPERATOR_ROLE_"))
		texts = append(texts, role+" on "+strings.Join(b.GetSites(), ", "))
	}
	return strings.Join(texts, "; ")
}

// Principal returns an operator with the rights that it has now, for what is done in its name while it does not call. One that there is
// not, or that is revoked, is refused.
func (i *Inventory) Principal(ctx context.Context, name string) (*access.Principal, error) {
	r := &storagev1.OperatorRecord{}
	err := i.store.View(ctx, func(v store.Snapshot) error {
		text, err := v.Get(store.TableOperators, store.Key(name))
		if err != nil {
			return err
		}
		return proto.Unmarshal(text, r)
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, refusal.New(refusal.NotFound, "NOT_FOUND", "operator %q: not found", name)
	case err != nil:
		return nil, fmt.Errorf("operator %q: %w", name, err)
	case r.GetOperator().GetRevoked():
		return nil, refusal.New(refusal.Denied, "OPERATOR_REVOKED", "operator %q: is revoked", name)
	}
	return &access.Principal{Name: identity.Name{Kind: identity.KindOperator, ID: name}, Operator: r.GetOperator()}, nil
}

// Operators lists operators by name.
func (i *Inventory) Operators(ctx context.Context, page Page) ([]*fleetv1.Operator, string, error) {
	return list(ctx, i.store, store.TableOperators, page, func(_, value []byte) (*fleetv1.Operator, bool, error) {
		r := &storagev1.OperatorRecord{}
		err := proto.Unmarshal(value, r)
		return r.GetOperator(), err == nil, err
	})
}

// RevokeOperator shuts an operator out. The last one who administers all sites cannot be revoked: nobody could let anybody
// in any more.
func (i *Inventory) RevokeOperator(ctx context.Context, by identity.Name, req *fleetv1.RevokeOperatorRequest) (o *fleetv1.Operator, err error) {
	if err := wantText("reason", req.GetReason(), "reason", maxReason); err != nil {
		return nil, err
	}
	notFound := access.NotFound("operator", clipped(req.GetName()))
	if !operatorName.MatchString(req.GetName()) {
		return nil, notFound.At("name")
	}
	err = i.store.Update(ctx, func(w store.Writer) error {
		r, err := read[storagev1.OperatorRecord](w, store.TableOperators, store.Key(req.GetName()), notFound)
		if err != nil {
			return err
		}
		if o = r.GetOperator(); o.GetRevoked() {
			return nil
		}
		if err := leaveAdministrator(w, o); err != nil {
			return err
		}
		o.Revoked, r.TlsKeySha256, r.RenewedKeySha256 = true, nil, nil
		if err := writeOperator(w, r); err != nil {
			return err
		}
		return audit.Append(w, i.now(), audit.Entry{
			Actor: by, Verb: "operator.revoke", Object: "operator/" + o.GetName(), Reason: req.GetReason(), Changes: changes("revoked", "false", "true"),
		})
	})
	if err != nil {
		return nil, err
	}
	return o, nil
}

func leaveAdministrator(w store.Writer, o *fleetv1.Operator) error {
	if !administers(o) {
		return nil
	}
	left, err := count(w, store.KeyAdministrators, -1)
	if err == nil && left == 0 {
		err = refusal.New(refusal.Precondition, "LAST_ADMINISTRATOR", "operator %q: is the last one who administers all sites", o.GetName()).
			Then("create another administrator first")
	}
	return err
}

// RenewOperator signs a new certificate for the operator who asks. The key that it has now stays valid until the new one is
// used for the first time, so that who never got the answer is not shut out.
func (i *Inventory) RenewOperator(ctx context.Context, p *access.Principal, csr []byte, issue Issue) (o *fleetv1.Operator, issued *pki.Issued, err error) {
	name := p.Name.ID
	if issued, err = issue(name, csr); err != nil {
		return nil, nil, err
	}
	err = i.store.Update(ctx, func(w store.Writer) error {
		r, err := read[storagev1.OperatorRecord](w, store.TableOperators, store.Key(name), access.NotFound("operator", name))
		if err != nil {
			return err
		}
		if err := access.Admitted(r, p.Key); err != nil {
			return err
		}
		if o = r.GetOperator(); r.GetFixedTerm() {
			return refusal.New(refusal.Precondition, "FIXED_TERM", "operator %q: was let in until %s and no longer",
				name, o.GetCertificateExpires().AsTime().Format(time.RFC3339)).Then("ask an administrator for a new operator")
		}
		o.CertificateExpires = timestamppb.New(issued.NotAfter)
		if !bytes.Equal(r.GetTlsKeySha256(), issued.KeySHA256) {
			r.RenewedKeySha256 = issued.KeySHA256
		}
		if err := writeOperator(w, r); err != nil {
			return err
		}
		return audit.Append(w, i.now(), audit.Entry{
			Actor: p.Name, Verb: "operator.renew", Object: "operator/" + name, Changes: changes("key", "", fmt.Sprintf("%x", issued.KeySHA256)),
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return o, issued, nil
}

// Bootstrap makes the first administrator when there is no operator at all, and reports whether it did.
func (i *Inventory) Bootstrap(ctx context.Context, csr []byte, issue Issue, save func(*pki.Issued) error) (created bool, err error) {
	if some, err := store.Any(ctx, i.store, store.TableOperators); err != nil || some {
		return false, err
	}
	return true, i.AddAdministrator(ctx, firstOperator, "first start", csr, issue, save)
}

// AddAdministrator makes an operator who administers all sites, on the word of who has the data directory in hand. save is
// called with the certificate before the operator is committed: a crash in between leaves a context file that is good for
// nothing, never an administrator without one.
func (i *Inventory) AddAdministrator(ctx context.Context, name, reason string, csr []byte, issue Issue, save func(*pki.Issued) error) error {
	err := i.store.View(ctx, func(v store.Snapshot) error {
		there, err := has(v, store.TableOperators, store.Key(name))
		if err != nil || there {
			return orExists(err, "operator", name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	issued, err := issue(name, csr)
	if err != nil {
		return err
	}
	if err := save(issued); err != nil {
		return err
	}
	return i.store.Update(ctx, func(w store.Writer) error {
		return i.addOperator(w, identity.Name{}, &storagev1.OperatorRecord{TlsKeySha256: issued.KeySHA256, Operator: &fleetv1.Operator{
			Name:     name,
			Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{access.AllSites}}},
			Created:  timestamppb.New(i.now()), CreatedBy: "server", CertificateExpires: timestamppb.New(issued.NotAfter),
		}}, reason)
	})
}
