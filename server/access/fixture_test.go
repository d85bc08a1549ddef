package access_test

import (
	"crypto/x509"
	"errors"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/pki"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func issue(t *testing.T, sign func(string, []byte) (*pki.Issued, error), name string) (*x509.Certificate, []byte) {
	t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := sign(name, csr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(issued.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return c, issued.KeySHA256
}

func save(t *testing.T, st store.Store, table store.Table, key []byte, m proto.Message) {
	t.Helper()
	text, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Update(t.Context(), func(w store.Writer) error { return w.Put(table, key, text) }); err != nil {
		t.Fatal(err)
	}
}

func reason(err error) string {
	var r *refusal.Error
	if !errors.As(err, &r) {
		return ""
	}
	return r.Reason
}

func setText(m protoreflect.Message, field, text string) {
	m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOfString(text))
}
