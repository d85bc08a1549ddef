package identity

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/bandfleet/bandfleet/agent/host/private"
	fleetid "github.com/bandfleet/bandfleet/proto/identity"
)

// Keys are the machine's private keys. They live in the data directory and in this process, nowhere else.
type Keys struct {
	// TLS is the key of every certificate of this terminal: the server ties the terminal to it, so a renewal keeps it.
	TLS *ecdsa.PrivateKey
	// Sealing is the X25519 key to which secrets for this terminal are sealed.
	Sealing *ecdh.PrivateKey
}

// String hides the keys, should they stray into a log.
func (k Keys) String() string { return "private keys" }

// LogValue hides them from structured logs, which would take the struct apart.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MakeKeys returns the folder's keys and makes those that are missing. They are on disk before it returns, so that an
// enrolment whose answer was lost is repeated with the same key and yields the same terminal.
func (d Dir) MakeKeys() (Keys, error) {
	keys, err := d.ReadKeys()
	if !errors.Is(err, fs.ErrNotExist) {
		return keys, err
	}
	if keys.TLS == nil {
		if keys.TLS, err = d.makeTLSKey(); err != nil {
			return Keys{}, err
		}
	}
	if keys.Sealing, err = d.makeSealingKey(); err != nil {
		return Keys{}, err
	}
	return keys, nil
}

// ReadKeys reads the folder's keys. When one is missing the error is fs.ErrNotExist, and the TLS key is returned if it is
// there.
func (d Dir) ReadKeys() (Keys, error) {
	var keys Keys
	text, err := private.ReadFile(d.file(keyFile))
	if err != nil {
		return keys, err
	}
	if keys.TLS, err = fleetid.ParseKey(text); err != nil {
		return Keys{}, d.damaged(keyFile, err)
	}
	if text, err = private.ReadFile(d.file(sealingKeyFile)); err != nil {
		return keys, err
	}
	if keys.Sealing, err = parseSealingKey(text); err != nil {
		return Keys{}, d.damaged(sealingKeyFile, err)
	}
	return keys, nil
}

func (d Dir) makeTLSKey() (*ecdsa.PrivateKey, error) {
	key, err := fleetid.GenerateKey()
	if err != nil {
		return nil, err
	}
	text, err := fleetid.MarshalKey(key)
	if err != nil {
		return nil, err
	}
	return key, private.WriteFile(d.file(keyFile), text)
}

func (d Dir) makeSealingKey() (*ecdh.PrivateKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, private.WriteFile(d.file(sealingKeyFile), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func parseSealingKey(text []byte) (*ecdh.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PRIVATE KEY block in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	sealing, ok := key.(*ecdh.PrivateKey)
	if !ok || sealing.Curve() != ecdh.X25519() {
		return nil, fmt.Errorf("private key is %T, want X25519", key)
	}
	return sealing, nil
}
