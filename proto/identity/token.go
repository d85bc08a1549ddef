package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"
)

// tokenPrefix marks and versions the text form.
const tokenPrefix = "bft1"

// secretSize is the length of a token's secret in bytes.
const secretSize = 32

// Token is an enrolment token: the right to enrol, and the CA of the server that gave it.
type Token struct {
	// ID names the token in lists and logs; it is no secret.
	ID     string
	Secret []byte
	// CA is the SHA-256 of the DER of the server's CA certificate.
	CA [sha256.Size]byte
}

// NewToken makes a token with a fresh id and secret.
func NewToken(ca [sha256.Size]byte) Token {
	secret := make([]byte, secretSize)
	rand.Read(secret) // never fails: see crypto/rand
	return Token{ID: strings.ToLower(ulid.Make().String()), Secret: secret, CA: ca}
}

// Text returns the token as one word without characters that a shell would touch.
func (t Token) Text() string {
	enc := base64.RawURLEncoding
	return strings.Join([]string{tokenPrefix, t.ID, enc.EncodeToString(t.Secret), enc.EncodeToString(t.CA[:])}, ".")
}

// String hides the secret, so that a token that strays into a log does no harm.
func (t Token) String() string { return "token " + t.ID }

// ParseToken reads the text form. Errors never repeat the text.
func ParseToken(text string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 {
		return Token{}, errors.New("not an enrolment token: want four parts separated by dots; copy the whole text that `fleetctl token create` printed")
	}
	if parts[0] != tokenPrefix {
		return Token{}, fmt.Errorf("enrolment token of kind %.8q: this program reads %q; use the agent that came with the server", parts[0], tokenPrefix)
	}
	if _, err := ulid.ParseStrict(parts[1]); err != nil {
		return Token{}, errors.New("enrolment token: the id is damaged; copy the whole text that `fleetctl token create` printed")
	}
	t := Token{ID: parts[1]}
	var err error
	if t.Secret, err = base64.RawURLEncoding.Strict().DecodeString(parts[2]); err != nil || len(t.Secret) != secretSize {
		return Token{}, errors.New("enrolment token: the secret is damaged; copy the whole text that `fleetctl token create` printed")
	}
	ca, err := base64.RawURLEncoding.Strict().DecodeString(parts[3])
	if err != nil || len(ca) != sha256.Size {
		return Token{}, errors.New("enrolment token: the CA fingerprint is damaged; copy the whole text that `fleetctl token create` printed")
	}
	copy(t.CA[:], ca)
	return t, nil
}
