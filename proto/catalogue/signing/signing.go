// Package signing is how packs of the catalogue are signed: Ed25519 over the text of the pack. A secret key is a file that only its owner may
// read; a public key and a signature are one line of text each, which name the key. fleetctl makes keys and signs, the server verifies.
package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Words that begin each kind of text, so that one is not taken for another.
const (
	secretWord    = "bandfleet-pack-secret-1" //nolint:gosec // it names what a file holds
	publicWord    = "bandfleet-pack-key-1"
	signatureWord = "bandfleet-pack-signature-1"
)

// domain is signed before the text, so that a signature for anything else is none for a pack.
const domain = "bandfleet catalogue pack 1\x00"

// idBytes is how much of a public key's hash its id is.
const idBytes = 8

// ErrSignature is that a signature is not by the key over the text.
var ErrSignature = errors.New("is not by this key over this text; sign the file again after its last change")

// PublicKey verifies signatures.
type PublicKey struct {
	id  string
	key ed25519.PublicKey
}

// SecretKey signs. It never shows itself but through Text.
type SecretKey struct{ key ed25519.PrivateKey }

// Signature is by the key with an id.
type Signature struct {
	KeyID string
	Bytes []byte
}

// Generate makes a key.
func Generate() (*SecretKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return &SecretKey{key}, nil
}

// Public is the key that verifies what this one signs.
func (k *SecretKey) Public() PublicKey {
	public, _ := k.key.Public().(ed25519.PublicKey)
	return newPublic(public)
}

func newPublic(key ed25519.PublicKey) PublicKey {
	sum := sha256.Sum256(key)
	return PublicKey{id: hex.EncodeToString(sum[:idBytes]), key: key}
}

// Sign signs a text.
func (k *SecretKey) Sign(text []byte) Signature {
	return Signature{KeyID: k.Public().id, Bytes: ed25519.Sign(k.key, signed(text))}
}

func signed(text []byte) []byte { return append([]byte(domain), text...) }

// Text is what a file of the secret key holds.
func (k *SecretKey) Text() string { return join(secretWord, k.Public().id, k.key.Seed()) }

// String hides the key.
func (k *SecretKey) String() string { return "secret key " + k.Public().id }

// ParseSecretKey reads the file of a secret key. Its errors never hold what was read.
func ParseSecretKey(text string) (*SecretKey, error) {
	id, seed, err := split(text, secretWord, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("secret key: %w; `fleetctl catalogue keygen` makes one", err)
	}
	k := &SecretKey{ed25519.NewKeyFromSeed(seed)}
	if k.Public().id != id {
		return nil, errors.New("secret key: is damaged: its id is not that of the key; take it from a backup")
	}
	return k, nil
}

// ID names the key: sixteen hexadecimal digits of its hash.
func (k PublicKey) ID() string { return k.id }

// String is the line of text that configurations hold.
func (k PublicKey) String() string { return join(publicWord, k.id, k.key) }

// ParsePublicKey reads the line of text.
func ParsePublicKey(text string) (PublicKey, error) {
	id, key, err := split(text, publicWord, ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("public key: %w; take the line that `fleetctl catalogue keygen` printed", err)
	}
	public := newPublic(key)
	if public.id != id {
		return PublicKey{}, fmt.Errorf("public key %s: is damaged: its id is not that of the key; copy the line again", id)
	}
	return public, nil
}

// Verify says whether a signature is by this key over a text.
func (k PublicKey) Verify(text []byte, s Signature) error {
	if s.KeyID != k.id || len(s.Bytes) != ed25519.SignatureSize || !ed25519.Verify(k.key, signed(text), s.Bytes) {
		return ErrSignature
	}
	return nil
}

// String is the line of text that a file of a signature holds.
func (s Signature) String() string { return join(signatureWord, s.KeyID, s.Bytes) }

// ParseSignature reads the line of text.
func ParseSignature(text string) (Signature, error) {
	id, sum, err := split(text, signatureWord, ed25519.SignatureSize)
	if err != nil {
		return Signature{}, fmt.Errorf("signature: %w; `fleetctl catalogue sign` makes one", err)
	}
	return Signature{KeyID: id, Bytes: sum}, nil
}

func join(word, id string, key []byte) string {
	return word + ":" + id + ":" + base64.StdEncoding.EncodeToString(key)
}

// split reads one line of a word, an id and bytes of a length.
func split(text, word string, length int) (id string, key []byte, err error) {
	parts := strings.Split(strings.TrimSpace(text), ":")
	if len(parts) != 3 || parts[0] != word {
		return "", nil, fmt.Errorf("does not begin with %s", word)
	}
	key, err = base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(key) != length {
		return "", nil, fmt.Errorf("is cut or damaged")
	}
	if sum, err := hex.DecodeString(parts[1]); err != nil || len(sum) != idBytes || strings.ToLower(parts[1]) != parts[1] {
		return "", nil, fmt.Errorf("has no id of %d hexadecimal digits", 2*idBytes)
	}
	return parts[1], key, nil
}
