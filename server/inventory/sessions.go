package inventory

import (
	"bytes"
	"context"
	"fmt"
	"slices"

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

// Opening is what came of a Hello.
type Opening struct {
	// Unknown are the plugins whose manifests the server must ask for.
	Unknown []string
	// Quarantine is set while nothing may be started on the terminal.
	Quarantine *fleetv1.Quarantine
}

// SessionOpened stores what a Hello says, and puts the terminal into quarantine when its journal is not the one that is known, or an older
// copy of that. heard is the greatest sequence that the session before told, when this one takes its place; else 0.
func (i *Inventory) SessionOpened(ctx context.Context, terminalID string, hello *agentv1.Hello, heard uint64) (*Opening, error) {
	if err := checkHello(hello); err != nil {
		return nil, err
	}
	r, err := i.Terminal(ctx, terminalID)
	if err == nil {
		// It may have been decommissioned since its certificate was looked at.
		err = mustBeInUse(r)
	}
	if err != nil {
		return nil, err
	}
	if err := stillSpeaks(ctx, r); err != nil {
		return nil, err
	}
	if err := checkSealing(ctx, r, hello); err != nil {
		return nil, err
	}
	unknown, err := i.unknownPlugins(ctx, hello.GetPluginSha256())
	if err != nil {
		return nil, err
	}
	// A fleet that reconnects must not make the server write for every agent.
	if !sameHello(r, hello) || !sameSealing(ctx, r, hello) || doubt(r, hello, heard) != "" {
		err = i.store.Update(ctx, func(w store.Writer) (err error) {
			r, err = i.saveHello(ctx, w, terminalID, hello, heard)
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	return &Opening{Unknown: unknown, Quarantine: r.GetTerminal().GetQuarantine()}, nil
}

// stillSpeaks refuses an agent whose terminal was decommissioned or enrolled anew after the call was authenticated. Without
// it, a call that was under way at that moment would leave the old machine a session or a valid key.
func stillSpeaks(ctx context.Context, r *storagev1.TerminalRecord) error {
	p := access.From(ctx)
	if p == nil || p.Terminal == nil {
		return refusal.New(refusal.Unauthenticated, "NO_CERTIFICATE", "terminal %q: the caller was not authenticated", r.GetTerminal().GetId())
	}
	return access.InService(r, p.Terminal.GetTlsKeySha256())
}

func checkHello(h *agentv1.Hello) error {
	if h.GetJournalId() == "" {
		return refusal.New(refusal.Invalid, "REQUIRED", "journal id: is required").At("hello.journal_id")
	}
	if err := wantText("journal id", h.GetJournalId(), "hello.journal_id", maxJournalID); err != nil {
		return err
	}
	if len(h.GetPluginSha256()) > maxPlugins {
		return refusal.New(refusal.Exhausted, "TOO_MANY_PLUGINS", "hello: names %d plugins, at most %d are allowed", len(h.GetPluginSha256()), maxPlugins).At("hello.plugin_sha256")
	}
	for n, sum := range h.GetPluginSha256() {
		if !pluginHash.MatchString(sum) {
			return refusal.New(refusal.Invalid, "BAD_HASH", "plugin hash: is no SHA-256 in lower case hexadecimal").At(fmt.Sprintf("hello.plugin_sha256[%d]", n))
		}
	}
	return checkFacts(h.GetFacts())
}

func sameHello(r *storagev1.TerminalRecord, h *agentv1.Hello) bool {
	return r.GetJournalId() == h.GetJournalId() && slices.Equal(r.GetPluginSha256(), h.GetPluginSha256()) &&
		(h.GetFacts() == nil || proto.Equal(r.GetTerminal().GetFacts(), h.GetFacts()))
}

// saveHello leaves one audit record when the journal or the plugins have changed, or the terminal comes into quarantine: facts alone are no change of the terminal.
func (i *Inventory) saveHello(ctx context.Context, w store.Writer, terminalID string, h *agentv1.Hello, heard uint64) (*storagev1.TerminalRecord, error) {
	r, err := findTerminal(w, terminalID)
	if err != nil {
		return nil, err
	}
	why, verb := doubt(r, h, heard), "terminal.session"
	diff := changes("journal", r.GetJournalId(), h.GetJournalId(), "plugins", fmt.Sprint(r.GetPluginSha256()), fmt.Sprint(h.GetPluginSha256()))
	if why != "" || r.GetJournalId() != h.GetJournalId() {
		r.JournalSequence = h.GetJournalSequence()
	}
	r.JournalId, r.PluginSha256 = h.GetJournalId(), h.GetPluginSha256()
	if h.GetFacts() != nil {
		r.Terminal.Facts = h.GetFacts()
	}
	diff = append(diff, takeSealing(ctx, r, h)...)
	if why != "" && r.GetTerminal().GetQuarantine() == nil {
		verb, diff = "terminal.quarantine", append(diff, i.quarantine(r, why)...)
	}
	if len(diff) == 0 {
		return r, write(w, store.TableTerminals, store.TerminalKey(r.GetTerminal().GetId()), r)
	}
	return r, i.commit(w, r, audit.Entry{
		Actor: agentName(terminalID), Verb: verb, Object: "terminal/" + terminalID, Changes: diff,
	})
}

func agentName(terminalID string) identity.Name {
	return identity.Name{Kind: identity.KindAgent, ID: terminalID}
}

// FactsChanged stores new facts of a terminal.
func (i *Inventory) FactsChanged(ctx context.Context, terminalID string, f *agentv1.Facts) error {
	if err := checkFacts(f); err != nil {
		return err
	}
	return i.touch(ctx, terminalID, func(r *storagev1.TerminalRecord) { r.Terminal.Facts = f })
}

// SessionClosed stores when a terminal was last seen, and the greatest sequence that its journal was heard to have.
func (i *Inventory) SessionClosed(ctx context.Context, terminalID, journalID string, heard uint64) error {
	return i.touch(ctx, terminalID, func(r *storagev1.TerminalRecord) {
		r.Terminal.LastSeen = timestamppb.New(i.now())
		if r.GetJournalId() == journalID {
			r.JournalSequence = max(r.GetJournalSequence(), heard)
		}
	})
}

// touch stores what a machine reports of itself, without audit record and with the same etag.
func (i *Inventory) touch(ctx context.Context, terminalID string, fn func(*storagev1.TerminalRecord)) error {
	return i.store.Update(ctx, func(w store.Writer) error {
		r, err := findTerminal(w, terminalID)
		if err != nil {
			return err
		}
		fn(r)
		return write(w, store.TableTerminals, store.TerminalKey(r.GetTerminal().GetId()), r)
	})
}

// Renew signs a new certificate for a terminal. The key that it has now stays valid until the new one is used for the first
// time, so that an agent which never got the answer is not shut out.
func (i *Inventory) Renew(ctx context.Context, terminalID string, csr []byte, issue Issue) (*pki.Issued, error) {
	issued, err := issue(terminalID, csr)
	if err != nil {
		return nil, err
	}
	_, err = i.change(ctx, terminalID, func(_ store.Writer, r *storagev1.TerminalRecord) (*audit.Entry, error) {
		if err := stillSpeaks(ctx, r); err != nil {
			return nil, err
		}
		r.Terminal.CertificateExpires = timestamppb.New(issued.NotAfter)
		if !bytes.Equal(r.GetTlsKeySha256(), issued.KeySHA256) {
			r.RenewedKeySha256 = issued.KeySHA256
		}
		return &audit.Entry{
			Actor: agentName(terminalID), Verb: "terminal.renew", Changes: changes("key", "", fmt.Sprintf("%x", issued.KeySHA256)),
		}, nil
	})
	return issued, err
}
