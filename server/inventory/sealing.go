package inventory

import (
	"bytes"
	"context"
	"fmt"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/refusal"
)

// The key that secrets are sealed to comes with each hello, signed by the key of the agent's certificate. Both are stored, so that
// whoever seals a secret need not take this server's word for whose key it is.

// checkSealing refuses a hello whose sealing key its agent's certificate does not vouch for. Agents of the release before tell none.
func checkSealing(ctx context.Context, r *storagev1.TerminalRecord, h *agentv1.Hello) error {
	if sameSealing(ctx, r, h) && bytes.Equal(r.GetSealingKeyProof(), h.GetSealingKeyProof()) || len(h.GetSealingKey()) == 0 {
		return nil
	}
	id, p := r.GetTerminal().GetId(), access.From(ctx)
	if p == nil || p.Leaf == nil {
		return refusal.New(refusal.Unauthenticated, "NO_CERTIFICATE", "terminal %q: the caller showed no certificate", id)
	}
	if err := sealed.CheckSignature(p.Leaf.PublicKey, id, h.GetSealingKey(), h.GetSealingKeyProof()); err != nil {
		return refusal.New(refusal.Denied, "BAD_SEALING_PROOF", "%s", err).At("hello.sealing_key_proof").
			Then("look into the machine; if it is sound, enrol it again")
	}
	return nil
}

// sameSealing reports whether a hello says of the sealing key what is stored. A signature is another each time that it is made, and
// is not looked at.
func sameSealing(ctx context.Context, r *storagev1.TerminalRecord, h *agentv1.Hello) bool {
	if len(h.GetSealingKey()) == 0 {
		return true
	}
	return len(r.GetSealingKeyProof()) > 0 && bytes.Equal(r.GetSealingKey(), h.GetSealingKey()) && bytes.Equal(certificateOf(r), leafOf(ctx))
}

// certificateOf is the certificate whose key has signed the stored sealing key, in DER.
func certificateOf(r *storagev1.TerminalRecord) []byte {
	if len(r.GetSealingKeyChain()) == 0 {
		return nil
	}
	return r.GetSealingKeyChain()[0]
}

// leafOf is the certificate that a caller has shown, in DER.
func leafOf(ctx context.Context) []byte {
	if p := access.From(ctx); p != nil && p.Leaf != nil {
		return p.Leaf.Raw
	}
	return nil
}

// takeSealing takes over what a hello, which was checked, says of the sealing key. Another key makes the terminal's secrets useless, and
// is told of.
func takeSealing(ctx context.Context, r *storagev1.TerminalRecord, h *agentv1.Hello) []*storagev1.AuditChange {
	if sameSealing(ctx, r, h) {
		return nil
	}
	diff := changes("sealing key", fmt.Sprintf("%x", r.GetSealingKey()), fmt.Sprintf("%x", h.GetSealingKey()))
	r.SealingKey, r.SealingKeyProof, r.SealingKeyChain = h.GetSealingKey(), h.GetSealingKeyProof(), [][]byte{leafOf(ctx)}
	return diff
}
