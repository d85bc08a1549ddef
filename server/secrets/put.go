package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/requests"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	// maxCertificates and maxFacts bound what is told of a PFX; the latter in bytes.
	maxCertificates = 16
	maxFacts        = 32 << 10
)

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Put stores a sealed secret in place of an earlier version. It must be sealed to the key that the terminal has now.
func (k *Keeper) Put(ctx context.Context, p *access.Principal, req *fleetv1.PutSecretRequest) (*fleetv1.Secret, error) {
	if err := checkPut(req); err != nil {
		return nil, err
	}
	request, err := requests.New(p.Name.String(), "secret.put", req)
	if err != nil {
		return nil, err
	}
	t, err := k.cfg.Terminals.Terminal(ctx, req.GetTerminal())
	if err != nil {
		return nil, err
	}
	k.putting.Lock()
	defer k.putting.Unlock()
	room, err := k.room(ctx, t.GetTerminal().GetId())
	if err != nil {
		return nil, err
	}
	put := &putting{Keeper: k, p: p, req: req, request: request, id: t.GetTerminal().GetId(), room: room}
	if err := k.cfg.Store.Update(ctx, put.run); err != nil {
		return nil, err
	}
	return put.made, nil
}

func checkPut(req *fleetv1.PutSecretRequest) error {
	if err := sealed.CheckName(req.GetName()); err != nil {
		return refusal.New(refusal.Invalid, "BAD_NAME", "%s", err).At("name").Then("give it such a name")
	}
	if req.GetKind() != fleetv1.SecretKind_SECRET_KIND_TEXT && req.GetKind() != fleetv1.SecretKind_SECRET_KIND_PFX {
		return refusal.New(refusal.Invalid, "BAD_KIND", "secret %q: kind %d is not known", req.GetName(), req.GetKind()).At("kind").
			Then("bring server and fleetctl to versions that fit")
	}
	if err := checkSealed(req); err != nil {
		return err
	}
	if err := checkFacts(req); err != nil {
		return err
	}
	return audit.CheckReason("reason", req.GetReason())
}

// checkSealed checks the form, which is all that can be checked of what is sealed to somebody else.
func checkSealed(req *fleetv1.PutSecretRequest) error {
	if err := sealed.Check(req.GetSealed()); err != nil {
		return refusal.New(refusal.Invalid, "NOT_SEALED", "%s", err).At("sealed").Then("put it with `fleetctl secret put`, which seals it")
	}
	if name := req.GetSealed().GetName(); name != req.GetName() {
		return refusal.New(refusal.Invalid, "NAME_DIFFERS", "secret %q: was sealed for the name %q", req.GetName(), name).At("sealed.name").
			Then("seal it anew for this name")
	}
	return nil
}

// checkFacts bounds what is told of certificates: it is shown to people, and the server cannot compare it with what is sealed.
func checkFacts(req *fleetv1.PutSecretRequest) error {
	size := 0
	for n, c := range req.GetCertificates() {
		size += proto.Size(c)
		field := fmt.Sprintf("certificates[%d]", n)
		if !sha256Hex.MatchString(c.GetSha256()) || !printable(c) {
			return refusal.New(refusal.Invalid, "BAD_CERTIFICATE", "secret %q: certificate %d has no SHA-256, or text that cannot be printed", req.GetName(), n).At(field).
				Then("put it with `fleetctl secret put --pfx`, which reads the facts from the file")
		}
	}
	if len(req.GetCertificates()) > maxCertificates || size > maxFacts {
		return refusal.New(refusal.Invalid, "TOO_LARGE", "secret %q: tells of %d certificates in %d bytes, at most %d in %d are allowed",
			req.GetName(), len(req.GetCertificates()), size, maxCertificates, maxFacts).At("certificates").Then("put a PFX with fewer certificates")
	}
	return nil
}

func printable(c *actionv1.Certificate) bool {
	all := append([]string{c.GetSha1(), c.GetSubject(), c.GetIssuer(), c.GetStore(), c.GetSerial()}, c.GetDnsNames()...)
	text := strings.Join(append(all, c.GetIpAddresses()...), "")
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// room is how many more secrets a terminal may have.
func (k *Keeper) room(ctx context.Context, terminalID string) (left int, err error) {
	left = maxPerTerminal
	err = k.cfg.Store.View(ctx, func(v store.Snapshot) error {
		return v.Scan(store.TableSecrets, store.SecretPrefix(terminalID), nil, func(_, _ []byte) bool { left--; return true })
	})
	return left, err
}

// putting is one try of Put within one update.
type putting struct {
	*Keeper
	p       *access.Principal
	req     *fleetv1.PutSecretRequest
	request *requests.Request
	id      string
	room    int
	made    *fleetv1.Secret
}

func (p *putting) run(w store.Writer) error {
	t, err := p.terminal(w)
	if err != nil {
		return err
	}
	before, err := read(w, p.id, p.req.GetName())
	if err != nil {
		return err
	}
	done, err := p.request.Done(w)
	switch {
	case err != nil:
		return err
	case done != "" && before != nil:
		p.made = shown(t, before)
		return nil
	case !bytes.Equal(t.GetSealingKey(), p.req.GetSealed().GetRecipient()):
		return refusal.New(refusal.Conflict, "KEY_CHANGED", "secret %q: was sealed to another key than terminal %q has now", p.req.GetName(), t.GetTerminal().GetName()).
			At("sealed").Then("ask for the terminal's key again, and seal it anew")
	case before == nil && p.room <= 0:
		return refusal.New(refusal.Exhausted, "TOO_MANY_SECRETS", "terminal %q: has %d secrets, and may have no more", t.GetTerminal().GetName(), maxPerTerminal).
			At("name").Then("delete what is not needed: `fleetctl secret list --for %s`", t.GetTerminal().GetName())
	}
	return p.write(w, t, before)
}

// terminal reads the terminal once more, for it may have been moved to a site of others, or taken out of service, meanwhile.
func (p *putting) terminal(w store.Writer) (*storagev1.TerminalRecord, error) {
	return mine(w, p.p, p.id, p.req.GetTerminal())
}

// mine reads a terminal on whose site the principal may act.
func mine(r store.Reader, p *access.Principal, id, asked string) (*storagev1.TerminalRecord, error) {
	t, err := terminal(r, id)
	if err != nil {
		return nil, err
	}
	o := access.Object{Kind: access.Terminal, Name: asked, Field: "terminal"}
	if err := access.CheckSites(p, access.Act, access.Every, o, []string{t.GetTerminal().GetSite()}); err != nil {
		return nil, err
	}
	return t, inService(t)
}

// write stores the new version. It writes five keys.
func (p *putting) write(w store.Writer, t *storagev1.TerminalRecord, before *storagev1.SecretRecord) error {
	now := p.cfg.Now()
	s := &storagev1.SecretRecord{
		Secret: &fleetv1.Secret{
			Name: p.req.GetName(), TerminalId: p.id, Kind: p.req.GetKind(), Version: before.GetSecret().GetVersion() + 1,
			Certificates: p.req.GetCertificates(), Created: timestamppb.New(now), CreatedBy: p.p.Name.ID,
		},
		Sealed: p.req.GetSealed(),
	}
	s.Sealed.Version = s.GetSecret().GetVersion()
	text, err := proto.Marshal(s)
	if err != nil {
		return err
	}
	p.made = shown(t, s)
	return errors.Join(
		w.Put(store.TableSecrets, store.SecretKey(p.id, p.req.GetName()), text),
		p.request.Remember(w, now, p.id+"/"+p.req.GetName()),
		audit.Append(w, now, p.entry(t, before, s)))
}

// entry tells of it without what is sealed.
func (p *putting) entry(t *storagev1.TerminalRecord, before, s *storagev1.SecretRecord) audit.Entry {
	e := audit.Entry{
		Site: t.GetTerminal().GetSite(), Actor: p.p.Name, Verb: "secret.put", Object: objectOf(s.GetSecret()), Reason: p.req.GetReason(),
		Changes: []*storagev1.AuditChange{
			audit.Change("version", versionText(before), versionText(s)), audit.Change("kind", kindText(before), kindText(s)),
			audit.Change("key", fmt.Sprintf("%x", before.GetSealed().GetRecipient()), fmt.Sprintf("%x", s.GetSealed().GetRecipient())),
		},
	}
	if all := s.GetSecret().GetCertificates(); len(all) > 0 {
		e.Changes = append(e.Changes, audit.Change("certificate", "", all[0].GetSha256()+" "+all[0].GetSubject()))
	}
	return e
}

func objectOf(s *fleetv1.Secret) string { return "secret/" + s.GetTerminalId() + "/" + s.GetName() }

func versionText(s *storagev1.SecretRecord) string {
	if s == nil {
		return ""
	}
	return fmt.Sprint(s.GetSecret().GetVersion())
}

func kindText(s *storagev1.SecretRecord) string {
	if s == nil {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.GetSecret().GetKind().String(), "SECRET_KIND_"))
}
