package signing

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func generate(t *testing.T) *SecretKey {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestWhatIsSignedVerifiesOverItsText(t *testing.T) {
	made := generate(t)
	secret, err := ParseSecretKey(made.Text() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(secret.Public().String())
	if err != nil {
		t.Fatal(err)
	}
	text := []byte("name: lyon")
	signature, err := ParseSignature(secret.Sign(text).String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(text, signature); err != nil {
		t.Errorf("the signature is refused: %v", err)
	}
	for name, bad := range map[string]error{
		"another text": public.Verify([]byte("name: lion"), signature),
		"another key":  generate(t).Public().Verify(text, signature),
		"another id":   public.Verify(text, Signature{KeyID: generate(t).Public().ID(), Bytes: signature.Bytes}),
		"no signature": public.Verify(text, Signature{KeyID: public.ID()}),
	} {
		if !errors.Is(bad, ErrSignature) {
			t.Errorf("%s: it says %v, want that the signature is not this key's", name, bad)
		}
	}
}

func TestDamagedTextsAreRefused(t *testing.T) {
	k := generate(t)
	other := generate(t)
	public := k.Public().String()
	for name, text := range map[string]string{
		"nothing":      "",
		"cut":          public[:len(public)-5],
		"another word": k.Sign(nil).String(),
		"another's id": strings.Replace(public, k.Public().ID(), other.Public().ID(), 1),
		"no id":        strings.Replace(public, k.Public().ID(), "x", 1),
		"big letters":  strings.ToUpper(public),
	} {
		if _, err := ParsePublicKey(text); err == nil {
			t.Errorf("%s: %q is taken for a public key", name, text)
		}
	}
	if _, err := ParseSignature(public); err == nil {
		t.Error("a public key is taken for a signature")
	}
}

func TestSecretKeysShowNothing(t *testing.T) {
	k := generate(t)
	seed := strings.Split(k.Text(), ":")[2]
	if shown := fmt.Sprint(k) + fmt.Sprintf("%v", k); strings.Contains(shown, seed) || !strings.Contains(shown, k.Public().ID()) {
		t.Errorf("a printed key is %q, want its id alone", shown)
	}
	_, err := ParseSecretKey(strings.Replace(k.Text(), k.Public().ID(), generate(t).Public().ID(), 1))
	if err == nil || strings.Contains(err.Error(), seed) {
		t.Errorf("a damaged secret key says %v, want an error without the key", err)
	}
}
