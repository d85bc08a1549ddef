package inventory

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/audit"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

const (
	maxUses     = 10_000
	minTokenTTL = time.Minute
	maxTokenTTL = 30 * 24 * time.Hour
	// reEnrolTTL is how long a token for re-enrolment is valid.
	reEnrolTTL = 24 * time.Hour
)

// CreateToken makes an enrolment token. The secret in the answer's text is stored nowhere.
func (i *Inventory) CreateToken(ctx context.Context, by identity.Name, req *fleetv1.CreateTokenRequest) (text string, t *fleetv1.Token, err error) {
	if err := checkToken(req); err != nil {
		return "", nil, err
	}
	token := identity.NewToken(i.ca)
	err = i.store.Update(ctx, func(w store.Writer) error {
		site, err := readSite(w, req.GetSite(), nil)
		if err != nil {
			return err
		}
		t = &fleetv1.Token{Id: token.ID, Site: site.GetName(), Role: req.GetRole(), Uses: req.GetUses()}
		return i.addToken(w, by, token, t, req.GetTtl().AsDuration(), "token.create")
	})
	if err != nil {
		return "", nil, err
	}
	return token.Text(), t, nil
}

func checkToken(req *fleetv1.CreateTokenRequest) error {
	switch req.GetRole() {
	case fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL, fleetv1.TerminalRole_TERMINAL_ROLE_NES_HOST:
	default:
		return refusal.New(refusal.Invalid, "BAD_ROLE", "role: must be user-terminal or nes-host").At("role")
	}
	if req.GetUses() < 1 || req.GetUses() > maxUses {
		return refusal.New(refusal.Invalid, "OUT_OF_RANGE", "uses: is %d, want 1 to %d", req.GetUses(), maxUses).At("uses")
	}
	if err := req.GetTtl().CheckValid(); err != nil || req.GetTtl().AsDuration() < minTokenTTL || req.GetTtl().AsDuration() > maxTokenTTL {
		return refusal.New(refusal.Invalid, "OUT_OF_RANGE", "time to live: is %s, want 1m to 720h", req.GetTtl().AsDuration()).At("ttl")
	}
	return nil
}

func (i *Inventory) addToken(w store.Writer, by identity.Name, secret identity.Token, t *fleetv1.Token, ttl time.Duration, verb string) error {
	t.State = fleetv1.TokenState_TOKEN_STATE_ACTIVE
	t.Created, t.Expires, t.CreatedBy = timestamppb.New(i.now()), timestamppb.New(i.now().Add(ttl)), by.String()
	if err := writeToken(w, &storagev1.TokenRecord{Token: t, SecretSha256: hashSecret(secret.Secret)}); err != nil {
		return err
	}
	if verb == "" {
		return nil
	}
	return audit.Append(w, i.now(), audit.Entry{
		Site: t.GetSite(), Actor: by, Verb: verb, Object: "token/" + t.GetId(),
		Changes: changes("role", "", t.GetRole().String(), "expires", "", t.GetExpires().AsTime().Format(time.RFC3339)),
	})
}

func hashSecret(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}

// tokenKey is never empty, which would be no key.
func tokenKey(id string) []byte {
	if id == "" {
		id = "-"
	}
	return store.Key(clipped(access.Fold(id)))
}

func writeToken(w store.Writer, r *storagev1.TokenRecord) error {
	return write(w, store.TableTokens, store.Key(r.GetToken().GetId()), r)
}

func readToken(r store.Reader, id string) (*storagev1.TokenRecord, error) {
	return read[storagev1.TokenRecord](r, store.TableTokens, tokenKey(id), access.NotFound(access.Token, clipped(id)))
}

// Token returns a token by id, in its present state.
func (i *Inventory) Token(ctx context.Context, id string) (t *fleetv1.Token, err error) {
	err = i.store.View(ctx, func(v store.Snapshot) error {
		r, err := readToken(v, id)
		t = i.present(r)
		return err
	})
	return t, err
}

// present fills in that a token has expired, which nobody writes down.
func (i *Inventory) present(r *storagev1.TokenRecord) *fleetv1.Token {
	t := r.GetToken()
	if t.GetState() == fleetv1.TokenState_TOKEN_STATE_ACTIVE && !i.now().Before(t.GetExpires().AsTime()) {
		t.State = fleetv1.TokenState_TOKEN_STATE_EXPIRED
	}
	return t
}

// Tokens lists the tokens of the sites that the principal administers, oldest first.
func (i *Inventory) Tokens(ctx context.Context, p *access.Principal, page Page) ([]*fleetv1.Token, string, error) {
	return list(ctx, i.store, store.TableTokens, page, func(_, value []byte) (*fleetv1.Token, bool, error) {
		r := &storagev1.TokenRecord{}
		if err := proto.Unmarshal(value, r); err != nil {
			return nil, false, err
		}
		return i.present(r), p.May(access.Admin, r.GetToken().GetSite()), nil
	})
}

// RevokeToken ends a token.
func (i *Inventory) RevokeToken(ctx context.Context, by identity.Name, id string) (t *fleetv1.Token, err error) {
	err = i.store.Update(ctx, func(w store.Writer) error {
		r, err := readToken(w, id)
		if err != nil {
			return err
		}
		t = r.GetToken()
		old := t.GetState()
		if old == fleetv1.TokenState_TOKEN_STATE_REVOKED {
			return nil
		}
		t.State = fleetv1.TokenState_TOKEN_STATE_REVOKED
		if err := writeToken(w, r); err != nil {
			return err
		}
		return audit.Append(w, i.now(), audit.Entry{
			Site: t.GetSite(), Actor: by, Verb: "token.revoke", Object: "token/" + t.GetId(), Changes: changes("state", old.String(), t.GetState().String()),
		})
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// ReEnrol makes a single-use token with which a machine takes a terminal's place. The terminal's key is refused from now on,
// and earlier tokens for it are revoked.
func (i *Inventory) ReEnrol(ctx context.Context, p *access.Principal, req *fleetv1.ReEnrolTerminalRequest) (text string, t *fleetv1.Token, err error) {
	if err := wantText("reason", req.GetReason(), "reason", maxReason); err != nil {
		return "", nil, err
	}
	token := identity.NewToken(i.ca)
	_, err = i.changeBy(ctx, p, access.Admin, req.GetTerminal(), func(w store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		if err := mustBeInUse(r); err != nil {
			return nil, err
		}
		if err := i.endReEnrolment(w, r); err != nil {
			return nil, err
		}
		terminal := r.GetTerminal()
		terminal.State = fleetv1.TerminalState_TERMINAL_STATE_RE_ENROLLING
		r.TlsKeySha256, r.RenewedKeySha256, r.ReEnrolTokenId = nil, nil, token.ID
		t = &fleetv1.Token{Id: token.ID, Site: terminal.GetSite(), Role: terminal.GetRole(), Uses: 1, TerminalId: terminal.GetId()}
		e := &audit.Entry{Actor: p.Name, Verb: "terminal.re-enrol", Reason: req.GetReason(), Changes: changes("token", "", token.ID)}
		return e, i.addToken(w, p.Name, token, t, reEnrolTTL, "")
	})
	if err != nil {
		return "", nil, err
	}
	return token.Text(), t, nil
}

// endReEnrolment revokes the token that is out for a terminal, if any.
func (i *Inventory) endReEnrolment(w store.Writer, r *storagev1.TerminalRecord) error {
	id := r.GetReEnrolTokenId()
	if id == "" {
		return nil
	}
	r.ReEnrolTokenId = ""
	token, err := readToken(w, id)
	if err != nil {
		return err
	}
	if token.GetToken().GetState() != fleetv1.TokenState_TOKEN_STATE_ACTIVE {
		return nil
	}
	token.Token.State = fleetv1.TokenState_TOKEN_STATE_REVOKED
	return writeToken(w, token)
}

// presented returns the token that an enrolling machine showed. Its state is told only to who knows the secret.
func presented(r store.Reader, id string, secret []byte) (*storagev1.TokenRecord, error) {
	unknown := refusal.New(refusal.Unauthenticated, "TOKEN_UNKNOWN", "enrolment token: is not known to this server").
		Then("copy the whole token again, or ask for a new one: `fleetctl token create`")
	record, err := read[storagev1.TokenRecord](r, store.TableTokens, tokenKey(id), unknown)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(record.GetSecretSha256(), hashSecret(secret)) != 1 {
		return nil, unknown
	}
	return record, nil
}

// usable refuses a token that can let nobody in any more.
func (i *Inventory) usable(t *fleetv1.Token) error {
	const next = "ask for a new one: `fleetctl token create`"
	switch {
	case t.GetState() == fleetv1.TokenState_TOKEN_STATE_REVOKED:
		return refusal.New(refusal.Unauthenticated, "TOKEN_REVOKED", "enrolment token %q: is revoked", t.GetId()).Then(next)
	case !i.now().Before(t.GetExpires().AsTime()):
		return refusal.New(refusal.Unauthenticated, "TOKEN_EXPIRED", "enrolment token %q: expired at %s", t.GetId(), t.GetExpires().AsTime().Format(time.RFC3339)).Then(next)
	default:
		return nil
	}
}

func usedUp(t *fleetv1.Token) error {
	if t.GetUsed() < t.GetUses() {
		return nil
	}
	return refusal.New(refusal.Unauthenticated, "TOKEN_USED_UP", "enrolment token %q: is used up, having let in %d of %d", t.GetId(), t.GetUsed(), t.GetUses()).
		Then("ask for a new one: `fleetctl token create`")
}
