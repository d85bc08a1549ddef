package identity

import (
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

// SealingKey returns the public key that secrets for this terminal are sealed to, and the proof that it is this terminal's.
func (i *Identity) SealingKey() (key, proof []byte, err error) {
	key = i.keys.Sealing.PublicKey().Bytes()
	proof, err = sealed.Prove(i.keys.TLS, i.record.TerminalID, key)
	return key, proof, err
}

// Unseal opens a secret that was sealed to this terminal. The caller clears the plaintext. Errors hold nothing of it.
func (i *Identity) Unseal(s *agentv1.SealedSecret) ([]byte, error) {
	return sealed.Open(i.keys.Sealing, i.record.TerminalID, s)
}
