package sealed

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func newKey(t *testing.T) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func seal(t *testing.T, key *ecdh.PrivateKey, plaintext string) *agentv1.SealedSecret {
	t.Helper()
	s, err := Seal(key.PublicKey().Bytes(), "T-1", "nes.pfx", []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealAndOpen(t *testing.T) {
	key := newKey(t)
	for _, size := range []int{1, 8, padTo - lengthSize, padTo - lengthSize + 1, 20_000, MaxPlaintext} {
		want := strings.Repeat("x", size)
		s := seal(t, key, want)
		if err := Check(s); err != nil {
			t.Errorf("%d bytes: Check refuses what Seal made: %v", size, err)
		}
		if bytes.Contains(s.GetCiphertext(), []byte("xxxxxxxx")) {
			t.Errorf("%d bytes: the plaintext stands in the ciphertext", size)
		}
		s.Version = 7 // the server's to choose
		if got, err := Open(key, "T-1", s); err != nil || string(got) != want {
			t.Errorf("%d bytes came back as %d bytes, %v", size, len(got), err)
		}
	}
}

// A password's length says much about it.
func TestShortSecretsAreEquallyLong(t *testing.T) {
	key := newKey(t)
	short, long := seal(t, key, "a"), seal(t, key, strings.Repeat("a", 500))
	if len(short.GetCiphertext()) != len(long.GetCiphertext()) {
		t.Errorf("%d and %d bytes: short secrets must be sealed to one length", len(short.GetCiphertext()), len(long.GetCiphertext()))
	}
	if again := seal(t, key, "a"); bytes.Equal(again.GetCiphertext(), short.GetCiphertext()) {
		t.Error("the same secret is sealed to the same bytes: that tells that it is the same")
	}
}

func TestTamperingIsFound(t *testing.T) {
	key, other := newKey(t), newKey(t)
	good := seal(t, key, "hunter2")
	flip := func(b []byte, at int) { b[(at+len(b))%len(b)] ^= 1 }
	for name, change := range map[string]func(*agentv1.SealedSecret){
		"another name":                 func(s *agentv1.SealedSecret) { s.Name = "other.pfx" },
		"no name":                      func(s *agentv1.SealedSecret) { s.Name = "" },
		"another recipient":            func(s *agentv1.SealedSecret) { s.Recipient = other.PublicKey().Bytes() },
		"no recipient":                 func(s *agentv1.SealedSecret) { s.Recipient = nil },
		"encapsulated key changed":     func(s *agentv1.SealedSecret) { flip(s.EncapsulatedKey, 3) },
		"encapsulated key of no order": func(s *agentv1.SealedSecret) { clear(s.EncapsulatedKey) },
		"encapsulated key cut":         func(s *agentv1.SealedSecret) { s.EncapsulatedKey = s.EncapsulatedKey[:31] },
		"first byte changed":           func(s *agentv1.SealedSecret) { flip(s.Ciphertext, 0) },
		"tag changed":                  func(s *agentv1.SealedSecret) { flip(s.Ciphertext, -1) },
		"cut":                          func(s *agentv1.SealedSecret) { s.Ciphertext = s.Ciphertext[:len(s.Ciphertext)-1] },
		"nothing sealed":               func(s *agentv1.SealedSecret) { s.Ciphertext = nil },
		"too much": func(s *agentv1.SealedSecret) {
			s.Ciphertext = append(s.Ciphertext, make([]byte, MaxCiphertext)...)
		},
	} {
		bad := proto.CloneOf(good)
		change(bad)
		if got, err := Open(key, "T-1", bad); err == nil || got != nil {
			t.Errorf("%s: opened as %q, want an error", name, got)
		}
	}
	if got, err := Open(key, "T-2", good); !errors.Is(err, ErrNotGenuine) {
		t.Errorf("moved to another terminal it opened as %q, %v: want ErrNotGenuine", got, err)
	}
	if _, err := Open(other, "T-1", good); !errors.Is(err, ErrNotForKey) {
		t.Errorf("another key: %v, want ErrNotForKey", err)
	}
}

// TestOnePaddingOnly opens what a careless sealer made.
func TestOnePaddingOnly(t *testing.T) {
	for name, padded := range map[string][]byte{
		"nothing":            {},
		"no text":            make([]byte, padTo),
		"length too great":   append([]byte{255, 255, 255, 255}, make([]byte, padTo-4)...),
		"a block too many":   append([]byte{0, 0, 0, 1, 'x'}, make([]byte, 2*padTo-5)...),
		"shorter than it is": append([]byte{0, 0, 2, 0}, make([]byte, padTo-4)...),
	} {
		if got, ok := unpad(padded); ok {
			t.Errorf("%s: was read as %d bytes", name, len(got))
		}
	}
}

func TestWhatIsNotSealed(t *testing.T) {
	key := newKey(t).PublicKey().Bytes()
	for name, try := range map[string]func() (*agentv1.SealedSecret, error){
		"empty":        func() (*agentv1.SealedSecret, error) { return Seal(key, "T-1", "a", nil) },
		"too large":    func() (*agentv1.SealedSecret, error) { return Seal(key, "T-1", "a", make([]byte, MaxPlaintext+1)) },
		"no terminal":  func() (*agentv1.SealedSecret, error) { return Seal(key, "", "a", []byte("x")) },
		"bad name":     func() (*agentv1.SealedSecret, error) { return Seal(key, "T-1", "A B", []byte("x")) },
		"no key":       func() (*agentv1.SealedSecret, error) { return Seal(nil, "T-1", "a", []byte("x")) },
		"key of zeros": func() (*agentv1.SealedSecret, error) { return Seal(make([]byte, 32), "T-1", "a", []byte("x")) },
	} {
		if s, err := try(); err == nil || s != nil {
			t.Errorf("%s: was sealed", name)
		}
	}
}

func TestReferences(t *testing.T) {
	if got, err := NameOf(Reference("nes-lyon-1.pfx")); err != nil || got != "nes-lyon-1.pfx" {
		t.Errorf("a reference came back as %q, %v", got, err)
	}
	for _, text := range []string{"", "hunter2", "secret:", "secret:Hunter2", "secret:a/b", "secret:" + strings.Repeat("a", MaxName+1)} {
		name, err := NameOf(text)
		if err == nil {
			t.Errorf("%q was read as the reference to %q", text, name)
		}
		if err != nil && text != "" && strings.Contains(err.Error(), strings.TrimPrefix(text, "secret:")) && text != "secret:" {
			t.Errorf("error %q repeats a text that may be the secret itself", err)
		}
	}
}
