// Package sealed is how a secret reaches one terminal and nobody else: whoever puts it seals it to the terminal's X25519 key, the server
// keeps what it cannot read, and the agent opens it in memory. The CLI seals, the server checks what it is given and the agent opens;
// all three use this package, so that they agree on every byte.
//
// A secret is sealed with HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. The terminal's id is bound
// as info and the secret's name as additional data, so that what is sealed opens on no other terminal and under no other name.
// Base mode does not say who sealed it: that is what the server's access rules and its audit are for.
package sealed

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// MaxPlaintext is the greatest size of a secret, in bytes: a PFX with a long chain has about 20 KiB.
const MaxPlaintext = 256 << 10

// MaxCiphertext is the greatest size of what is sealed, in bytes.
const MaxCiphertext = MaxPlaintext + padTo + tagSize

const (
	// KeySize is the size of an X25519 public key and of an encapsulated key, in bytes.
	KeySize = 32
	// padTo is what a plaintext with its length is padded to a multiple of, so that a ciphertext does not tell how long a password is.
	padTo      = 512
	lengthSize = 4
	tagSize    = 16
	// purpose separates these keys from any other use of HPKE with the same key, now or later.
	purpose = "bandfleet sealed secret v1"
)

// Seal seals plaintext to a terminal's X25519 public key. The version of the result is the server's to set.
func Seal(recipient []byte, terminalID, name string, plaintext []byte) (*agentv1.SealedSecret, error) {
	if err := check(terminalID, name); err != nil {
		return nil, err
	}
	if len(plaintext) == 0 || len(plaintext) > MaxPlaintext {
		return nil, fmt.Errorf("secret %q: has %d bytes, want 1 to %d", name, len(plaintext), MaxPlaintext)
	}
	sender, encapsulated, err := newSender(recipient, terminalID)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	padded := pad(plaintext)
	defer clear(padded)
	ciphertext, err := sender.Seal([]byte(name), padded)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	return &agentv1.SealedSecret{
		Name: name, Recipient: bytes.Clone(recipient), EncapsulatedKey: encapsulated, Ciphertext: ciphertext,
	}, nil
}

func newSender(recipient []byte, terminalID string) (*hpke.Sender, []byte, error) {
	point, err := ecdh.X25519().NewPublicKey(recipient)
	if err != nil {
		return nil, nil, errors.New("the terminal's sealing key is no X25519 public key")
	}
	key, err := hpke.NewDHKEMPublicKey(point)
	if err != nil {
		return nil, nil, err
	}
	encapsulated, sender, err := hpke.NewSender(key, hpke.HKDFSHA256(), hpke.AES256GCM(), info(terminalID))
	return sender, encapsulated, err
}

// ErrNotForKey says that a secret was sealed to another key than the terminal's present one.
var ErrNotForKey = errors.New("was sealed to an earlier key of this terminal; put it again with `fleetctl secret put`")

// ErrNotGenuine says that a secret does not open as what it is said to be. More is not known, and must not be told.
var ErrNotGenuine = errors.New("does not open: it was damaged, or sealed for another terminal or under another name; " +
	"put it again with `fleetctl secret put`")

// Open opens a secret of this terminal. The caller clears what it gets when it is done with it. Errors hold nothing of it.
func Open(key *ecdh.PrivateKey, terminalID string, s *agentv1.SealedSecret) ([]byte, error) {
	name := s.GetName()
	if err := Check(s); err != nil {
		return nil, err
	}
	if !bytes.Equal(s.GetRecipient(), key.PublicKey().Bytes()) {
		return nil, fmt.Errorf("secret %q: %w", name, ErrNotForKey)
	}
	private, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, err)
	}
	recipient, err := hpke.NewRecipient(s.GetEncapsulatedKey(), private, hpke.HKDFSHA256(), hpke.AES256GCM(), info(terminalID))
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, ErrNotGenuine)
	}
	padded, err := recipient.Open([]byte(name), s.GetCiphertext())
	if err != nil {
		return nil, fmt.Errorf("secret %q: %w", name, ErrNotGenuine)
	}
	plaintext, ok := unpad(padded)
	if !ok {
		clear(padded)
		return nil, fmt.Errorf("secret %q: %w", name, ErrNotGenuine)
	}
	return plaintext, nil
}

// Check checks the form of a sealed secret, which is all that anybody but its terminal can check.
func Check(s *agentv1.SealedSecret) error {
	if err := CheckName(s.GetName()); err != nil {
		return err
	}
	if len(s.GetRecipient()) != KeySize || len(s.GetEncapsulatedKey()) != KeySize {
		return fmt.Errorf("secret %q: its keys have %d and %d bytes, want %d each",
			s.GetName(), len(s.GetRecipient()), len(s.GetEncapsulatedKey()), KeySize)
	}
	size := len(s.GetCiphertext())
	if size < padTo+tagSize || size > MaxCiphertext || (size-tagSize)%padTo != 0 {
		return fmt.Errorf("secret %q: %d bytes are sealed, which no secret of 1 to %d bytes gives", s.GetName(), size, MaxPlaintext)
	}
	return nil
}

// info binds the terminal.
func info(terminalID string) []byte { return []byte(purpose + "\x00" + terminalID) }

// pad returns the plaintext's length in 4 bytes, the plaintext, and zeros.
func pad(plaintext []byte) []byte {
	size := lengthSize + len(plaintext)
	padded := make([]byte, (size+padTo-1)/padTo*padTo)
	binary.BigEndian.PutUint32(padded, uint32(len(plaintext))) // at most MaxPlaintext
	copy(padded[lengthSize:], plaintext)
	return padded
}

// unpad returns the plaintext within padded, which is as long as it must be: two ways to pad one text would be a hidden channel.
func unpad(padded []byte) ([]byte, bool) {
	if len(padded) < lengthSize {
		return nil, false
	}
	length := uint64(binary.BigEndian.Uint32(padded))
	size := lengthSize + length
	if length == 0 || length > MaxPlaintext || uint64(len(padded)) != (size+padTo-1)/padTo*padTo {
		return nil, false
	}
	return padded[lengthSize:size:size], true
}
