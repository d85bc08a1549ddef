package inventory

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
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
	sealingKeySize = 32
	maxJournalID   = 128
	maxPlugins     = 32
	// maxReport bounds facts and a manifest, in bytes.
	maxReport = 256 << 10
)

// Enrolled is a terminal with its certificate.
type Enrolled struct {
	Terminal *storagev1.TerminalRecord
	Issued   *pki.Issued
}

// Enroll lets a machine in that shows a token. The use of the token, the terminal, its certificate and the audit record are one
// update: however often a token is raced, it lets in as many as it has uses. The same token with the same key again gets the
// same terminal and counts no use.
func (i *Inventory) Enroll(ctx context.Context, req *agentv1.EnrollRequest, issue Issue) (*Enrolled, error) {
	if err := checkEnroll(req); err != nil {
		return nil, err
	}
	key, err := pki.KeySHA256(req.GetCsr())
	if err != nil {
		return nil, err
	}
	var out *Enrolled
	err = i.store.Update(ctx, func(w store.Writer) error {
		e := enrolment{Inventory: i, w: w, req: req, key: key, issue: issue}
		out, err = e.run()
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func checkEnroll(req *agentv1.EnrollRequest) error {
	if len(req.GetSealingKey()) != sealingKeySize {
		return refusal.New(refusal.Invalid, "BAD_SEALING_KEY", "sealing key: is %d bytes long, want %d", len(req.GetSealingKey()), sealingKeySize).At("sealing_key")
	}
	if req.GetJournalId() == "" {
		return refusal.New(refusal.Invalid, "REQUIRED", "journal id: is required").At("journal_id")
	}
	if err := wantText("journal id", req.GetJournalId(), "journal_id", maxJournalID); err != nil {
		return err
	}
	if err := checkFacts(req.GetFacts()); err != nil {
		return err
	}
	if err := checkPlugins(req.GetPlugins()); err != nil {
		return err
	}
	if name := wishedName(req); terminalID.MatchString(name) {
		return refusal.New(refusal.Invalid, "BAD_NAME", "terminal %q: looks like an id, and ids are given by the server", name).At("name")
	}
	return wantName("terminal", terminalName, wishedName(req), "name", "letters, digits, dots, dashes and underscores, at most 63 (`fleet-agent enroll --name`)")
}

func checkFacts(f *agentv1.Facts) error {
	if size := proto.Size(f); size > maxReport {
		return refusal.New(refusal.Invalid, "TOO_LARGE", "facts: are %d bytes, at most %d are allowed", size, maxReport).At("facts")
	}
	return nil
}

func wishedName(req *agentv1.EnrollRequest) string {
	if req.GetName() != "" {
		return req.GetName()
	}
	return req.GetFacts().GetHostname()
}

// enrolment is one try of Enroll within one update.
type enrolment struct {
	*Inventory
	w     store.Writer
	req   *agentv1.EnrollRequest
	key   []byte
	issue Issue
}

func (e *enrolment) run() (*Enrolled, error) {
	token, err := presented(e.w, e.req.GetTokenId(), e.req.GetTokenSecret())
	if err != nil {
		return nil, err
	}
	if err := e.usable(token.GetToken()); err != nil {
		return nil, err
	}
	if again, err := e.repeated(token); err != nil || again != nil {
		return again, err
	}
	if err := usedUp(token.GetToken()); err != nil {
		return nil, err
	}
	r, err := e.terminal(token.GetToken())
	if err != nil {
		return nil, err
	}
	return e.admit(token, r)
}

// repeated answers a machine that enrolled with this token and key already and did not get the answer.
func (e *enrolment) repeated(token *storagev1.TokenRecord) (*Enrolled, error) {
	named, err := read[fleetv1.Terminal](e.w, store.TableEnrolments, e.enrolmentKey(token), nil)
	if err != nil || named == nil {
		return nil, err
	}
	r, err := findTerminal(e.w, named.GetId())
	if err != nil {
		return nil, err
	}
	t := r.GetTerminal()
	if t.GetState() != fleetv1.TerminalState_TERMINAL_STATE_ACTIVE || string(r.GetTlsKeySha256()) != string(e.key) {
		return nil, refusal.New(refusal.Unauthenticated, "TOKEN_USED_UP", "enrolment token %q: this key was let in with it before and is no longer valid", token.GetToken().GetId()).
			Then("ask for a new token and make a new key")
	}
	issued, err := e.issue(t.GetId(), e.req.GetCsr())
	if err != nil {
		return nil, err
	}
	return &Enrolled{r, issued}, nil
}

func (e *enrolment) enrolmentKey(token *storagev1.TokenRecord) []byte {
	return store.Key(token.GetToken().GetId(), fmt.Sprintf("%x", e.key))
}

// terminal returns the terminal that the token is for, or a new one.
func (e *enrolment) terminal(t *fleetv1.Token) (*storagev1.TerminalRecord, error) {
	if t.GetTerminalId() != "" {
		r, err := findTerminal(e.w, t.GetTerminalId())
		if err != nil {
			return nil, err
		}
		r.ReEnrolTokenId = ""
		return r, mustBeInUse(r)
	}
	name := wishedName(e.req)
	if taken, err := has(e.w, store.TableTerminalNames, store.Key(access.Fold(name))); err != nil || taken {
		if err != nil {
			return nil, err
		}
		return nil, refusal.New(refusal.Exists, "NAME_TAKEN", "terminal %q: the name is taken", name).At("name").
			Then("give another with `fleet-agent enroll --name`, or, when this is the same machine, have its terminal re-enrolled: `fleetctl terminal re-enrol %s`", name)
	}
	n, err := count(e.w, store.KeyTerminals, 1)
	if err != nil {
		return nil, err
	}
	terminal := &fleetv1.Terminal{Id: fmt.Sprintf("T-%04d", n), Name: name, Site: t.GetSite(), Role: t.GetRole()}
	return &storagev1.TerminalRecord{Terminal: terminal}, e.place(terminal)
}

// place makes a new terminal known by its name and at its site.
func (e *enrolment) place(t *fleetv1.Terminal) error {
	if err := write(e.w, store.TableTerminalNames, store.Key(access.Fold(t.GetName())), &fleetv1.Terminal{Id: t.GetId()}); err != nil {
		return err
	}
	if err := e.w.Put(store.TableTerminalSites, store.TerminalSiteKey(t.GetSite(), t.GetId()), nil); err != nil {
		return err
	}
	return countTerminals(e.w, t.GetSite(), 1)
}

// admit signs the certificate, counts the use and stores it all.
func (e *enrolment) admit(token *storagev1.TokenRecord, r *storagev1.TerminalRecord) (*Enrolled, error) {
	t := r.GetTerminal()
	issued, err := e.issue(t.GetId(), e.req.GetCsr())
	if err != nil {
		return nil, err
	}
	t.State = fleetv1.TerminalState_TERMINAL_STATE_ACTIVE
	t.Enrolled, t.CertificateExpires, t.Facts = timestamppb.New(e.now()), timestamppb.New(issued.NotAfter), e.req.GetFacts()
	r.TlsKeySha256, r.RenewedKeySha256 = e.key, nil
	// Nothing is sealed to the key until the agent has shown, with its first hello, that it is its own.
	r.SealingKey, r.SealingKeyProof, r.SealingKeyChain = e.req.GetSealingKey(), nil, nil
	// A person has decided that this machine is the terminal from now on, with the journal that it has.
	released := endQuarantine(r)
	r.JournalId, r.JournalSequence, r.TokenId = e.req.GetJournalId(), 0, token.GetToken().GetId()
	if r.PluginSha256, err = e.savePlugins(e.w, e.req.GetPlugins()); err != nil {
		return nil, err
	}
	if err := e.use(token, t.GetId()); err != nil {
		return nil, err
	}
	return &Enrolled{r, issued}, e.commit(e.w, r, audit.Entry{
		Actor: identity.Name{Kind: identity.KindAgent, ID: t.GetId()}, Verb: "terminal.enrol", Object: "terminal/" + t.GetId(),
		Changes: append(changes("token", "", r.GetTokenId(), "name", "", t.GetName(), "key", "", fmt.Sprintf("%x", e.key)), released...),
	})
}

func (e *enrolment) use(token *storagev1.TokenRecord, terminalID string) error {
	t := token.GetToken()
	if t.Used++; t.GetUsed() >= t.GetUses() {
		t.State = fleetv1.TokenState_TOKEN_STATE_USED_UP
	}
	if err := writeToken(e.w, token); err != nil {
		return err
	}
	return write(e.w, store.TableEnrolments, e.enrolmentKey(token), &fleetv1.Terminal{Id: terminalID})
}
