package catalogue

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bandfleet/bandfleet/proto/catalogue"
	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Bounds of what is kept and told.
const (
	maxPacks    = 50
	maxProblems = 50
)

// Publish takes a pack, or only checks it in a dry run. The version that is in force already is taken again with no effect.
func (s *Shelf) Publish(ctx context.Context, p *access.Principal, r *fleetv1.PublishPackRequest) (*fleetv1.Pack, error) {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return nil, err
	}
	// Nothing of a text is read before it is known whose it is.
	if err := s.verify(r); err != nil {
		return nil, err
	}
	pack, err := catalogue.ParsePack(r.GetContent())
	if err != nil {
		return nil, badPack(refusal.Violation{Field: "content", Text: err.Error()})
	}
	s.one.Lock()
	defer s.one.Unlock()
	others, before, err := s.besides(ctx, pack.Name)
	if err != nil {
		return nil, err
	}
	if err := newer(before, pack); err != nil {
		return nil, err
	}
	if before.GetSha256() == pack.SHA256 && before.GetKeyId() == r.GetKeyId() {
		return before, nil
	}
	if before == nil && len(others) >= maxPacks {
		return nil, refusal.New(refusal.Exhausted, "TOO_MANY_PACKS", "there are %d packs, which is the most", len(others)).Then("remove one, or put entries together in one pack")
	}
	if err := s.lint(ctx, p, others, pack); err != nil {
		return nil, err
	}
	made := &fleetv1.Pack{
		Name: pack.Name, Version: pack.Version, Content: r.GetContent(), Signature: r.GetSignature(), KeyId: r.GetKeyId(),
		Published: timestamppb.New(s.cfg.Now()), PublishedBy: p.Name.ID, Entries: uint32(len(pack.Entries)), Sha256: pack.SHA256,
	}
	if r.GetDryRun() {
		return made, nil
	}
	if err := s.write(ctx, p, made, before, r.GetReason()); err != nil {
		return nil, err
	}
	return made, s.reload(context.WithoutCancel(ctx))
}

// verify refuses what no trusted key has signed.
func (s *Shelf) verify(r *fleetv1.PublishPackRequest) error {
	if len(r.GetContent()) > catalogue.MaxPack {
		return refusal.New(refusal.Invalid, "TOO_LARGE", "pack: has %d bytes, at most %d are allowed", len(r.GetContent()), catalogue.MaxPack).At("content").Then("split it")
	}
	at := slices.IndexFunc(s.cfg.Keys, func(k signing.PublicKey) bool { return k.ID() == r.GetKeyId() })
	if at < 0 {
		return refusal.New(refusal.Denied, "UNTRUSTED_KEY", "pack: is signed by key %q, which this server does not trust", refusal.Shown(r.GetKeyId())).At("key_id").
			Then("have whoever runs the server add its public key to catalogue.trusted_keys, if it is right")
	}
	if err := s.cfg.Keys[at].Verify(r.GetContent(), signing.Signature{KeyID: r.GetKeyId(), Bytes: r.GetSignature()}); err != nil {
		return refusal.New(refusal.Denied, "BAD_SIGNATURE", "pack: its signature is not by key %s over this text", r.GetKeyId()).At("signature").
			Then("sign the file again after its last change")
	}
	return nil
}

// besides returns the packs of other names, and the one of this name if there is one.
func (s *Shelf) besides(ctx context.Context, name string) (others []*fleetv1.Pack, before *fleetv1.Pack, err error) {
	all, err := s.stored(ctx)
	for _, p := range all {
		if p.GetName() == name {
			before = p
		} else {
			others = append(others, p)
		}
	}
	return others, before, err
}

// newer refuses an older version than the one in force, and another text of the same version.
func newer(before *fleetv1.Pack, pack *catalogue.Pack) error {
	if before == nil {
		return nil
	}
	switch order := catalogue.CompareVersions(pack.Version, before.GetVersion()); {
	case order < 0:
		return refusal.New(refusal.Precondition, "OLDER_VERSION", "pack %q: version %s is older than %s, which is in force", pack.Name, pack.Version, before.GetVersion()).
			Then("give it a higher version, also when it goes back to earlier rules")
	case order == 0 && before.GetSha256() != pack.SHA256:
		return refusal.New(refusal.Precondition, "SAME_VERSION", "pack %q: version %s is in force with another text", pack.Name, pack.Version).
			Then("give it a higher version")
	}
	return nil
}

// lint refuses a pack in which something is wrong, and tells all of it.
func (s *Shelf) lint(ctx context.Context, p *access.Principal, others []*fleetv1.Pack, pack *catalogue.Pack) error {
	offered, err := s.cfg.Offers.Actions(ctx, p)
	if err != nil {
		return err
	}
	actions := catalogue.Actions{}
	for _, o := range offered {
		actions = append(actions, o.GetAction())
	}
	problems, err := catalogue.LintPack(s.withStored(others), pack, actions)
	if err != nil {
		return badPack(refusal.Violation{Field: "content", Text: err.Error()})
	}
	var violations []refusal.Violation
	for _, f := range problems {
		violations = append(violations, refusal.Violation{Field: fmt.Sprintf("content.entries[%s].%s", f.Entry, f.Field), Text: f.Text})
	}
	if len(violations) == 0 {
		return nil
	}
	return badPack(violations[:min(len(violations), maxProblems)]...)
}

func badPack(violations ...refusal.Violation) error {
	return refusal.New(refusal.Invalid, "BAD_PACK", "pack: has %d problems; it was not taken", len(violations)).With(violations...).
		Then("see `fleetctl catalogue lint --help`, which finds most of them without a server")
}

// write stores a pack with its audit record.
func (s *Shelf) write(ctx context.Context, p *access.Principal, pack, before *fleetv1.Pack, reason string) error {
	text, err := proto.Marshal(pack)
	if err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(w store.Writer) error {
		return errors.Join(w.Put(store.TablePacks, store.Key(pack.GetName()), text), audit.Append(w, s.cfg.Now(), audit.Entry{
			Actor: p.Name, Verb: "catalogue.publish", Object: "pack/" + pack.GetName(), Reason: reason, Changes: []*storagev1.AuditChange{
				audit.Change("version", before.GetVersion(), pack.GetVersion()), audit.Change("sha256", before.GetSha256(), pack.GetSha256()),
				audit.Change("key", before.GetKeyId(), pack.GetKeyId()),
			},
		}))
	})
}

// Remove takes a pack away.
func (s *Shelf) Remove(ctx context.Context, p *access.Principal, r *fleetv1.RemovePackRequest) error {
	if err := audit.CheckReason("reason", r.GetReason()); err != nil {
		return err
	}
	s.one.Lock()
	defer s.one.Unlock()
	_, before, err := s.besides(ctx, r.GetName())
	if err != nil {
		return err
	}
	if before == nil {
		return refusal.New(refusal.NotFound, "UNKNOWN_PACK", "pack %q: not found", refusal.Shown(r.GetName())).At("name").Then("see `fleetctl catalogue list --packs`")
	}
	err = s.cfg.Store.Update(ctx, func(w store.Writer) error {
		return errors.Join(w.Delete(store.TablePacks, store.Key(before.GetName())), audit.Append(w, s.cfg.Now(), audit.Entry{
			Actor: p.Name, Verb: "catalogue.remove", Object: "pack/" + before.GetName(), Reason: r.GetReason(),
			Changes: []*storagev1.AuditChange{audit.Change("version", before.GetVersion(), ""), audit.Change("sha256", before.GetSha256(), "")},
		}))
	})
	if err != nil {
		return err
	}
	return s.reload(context.WithoutCancel(ctx))
}

// reload brings into force what is stored.
func (s *Shelf) reload(ctx context.Context) error {
	packs, err := s.stored(ctx)
	if err != nil {
		return err
	}
	s.put(s.withStored(packs))
	return nil
}

// Get tells what is in force.
func (s *Shelf) Get(ctx context.Context) (*fleetv1.GetCatalogueResponse, error) {
	packs, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	s.withStored(packs)
	return &fleetv1.GetCatalogueResponse{
		Version: s.builtin.Version(), Entries: uint32(len(s.builtin.Entries())), Packs: packs,
	}, nil
}
