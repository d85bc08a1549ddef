package cli

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"software.sslmate.com/src/go-pkcs12"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/proto/sealed"
)

// fakeSecret is a secret as the fake fleet has it.
type fakeSecret struct {
	public *fleetv1.Secret
	sealed *agentv1.SealedSecret
}

// GetSealingKey proves the key of every terminal; of the fault "forged-key" by another CA, of "other-key" for another terminal.
func (f *fakeFleet) GetSealingKey(_ context.Context, r *fleetv1.GetSealingKeyRequest) (*fleetv1.GetSealingKeyResponse, error) {
	t := f.named(r.GetTerminal())
	if t == nil {
		return nil, notFound("terminal", r.GetTerminal())
	}
	if !t.GetOnline() {
		return nil, refuse(codes.FailedPrecondition, "terminal \""+t.GetName()+"\": its agent has not shown yet that its sealing key is its own", "NO_SEALING_KEY")
	}
	ca, id := f.ca, t.GetId()
	if f.take("forged-key") {
		ca, _ = newFakeCA()
	}
	if f.take("other-key") {
		id = "T-0666"
	}
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	cert, err := ca.issue("agent/"+t.GetId(), time.Now().AddDate(10, 0, 0), key)
	if err != nil {
		return nil, err
	}
	proof, err := sealed.Prove(key, t.GetId(), f.sealingKey.PublicKey().Bytes())
	return &fleetv1.GetSealingKeyResponse{
		TerminalId: id, TerminalName: t.GetName(), SealingKey: f.sealingKey.PublicKey().Bytes(), Proof: proof, CertificateChain: cert.Certificate[:1],
	}, err
}

func (f *fakeFleet) named(terminal string) *fleetv1.Terminal {
	for _, t := range f.terminals {
		if t.GetName() == terminal || t.GetId() == terminal {
			return t
		}
	}
	return nil
}

// PutSecret keeps what is sealed.
func (f *fakeFleet) PutSecret(_ context.Context, r *fleetv1.PutSecretRequest) (*fleetv1.PutSecretResponse, error) {
	t := f.named(r.GetTerminal())
	key, version := t.GetName()+"/"+r.GetName(), uint64(1)
	if before := f.secrets[key]; before != nil {
		version = before.public.GetVersion() + 1
	}
	s := &fleetv1.Secret{
		Name: r.GetName(), TerminalId: t.GetId(), TerminalName: t.GetName(), Site: t.GetSite(), Kind: r.GetKind(), Version: version,
		Certificates: r.GetCertificates(), Created: at(-time.Minute), CreatedBy: "admin", Usable: true,
	}
	f.secrets[key] = &fakeSecret{s, r.GetSealed()}
	return &fleetv1.PutSecretResponse{Secret: s}, nil
}

// ListSecrets has those that were put, and one that is not usable.
func (f *fakeFleet) ListSecrets(_ context.Context, r *fleetv1.ListSecretsRequest) (*fleetv1.ListSecretsResponse, error) {
	resp := &fleetv1.ListSecretsResponse{Secrets: []*fleetv1.Secret{{
		Name: "old.password", TerminalName: "basel-01", Site: "basel", Kind: fleetv1.SecretKind_SECRET_KIND_TEXT, Version: 3, Created: at(-time.Hour),
	}}}
	for _, s := range f.secrets {
		resp.Secrets = append(resp.Secrets, proto.CloneOf(s.public))
	}
	resp.Secrets = slices.DeleteFunc(resp.GetSecrets(), func(s *fleetv1.Secret) bool { return r.GetTerminal() != "" && s.GetTerminalName() != r.GetTerminal() })
	slices.SortFunc(resp.GetSecrets(), func(a, b *fleetv1.Secret) int {
		return strings.Compare(a.GetTerminalName()+a.GetName(), b.GetTerminalName()+b.GetName())
	})
	return resp, nil
}

func (f *fakeFleet) DeleteSecret(_ context.Context, r *fleetv1.DeleteSecretRequest) (*fleetv1.DeleteSecretResponse, error) {
	key := r.GetTerminal() + "/" + r.GetName()
	if f.secrets[key] == nil {
		return nil, notFound("secret", r.GetName())
	}
	delete(f.secrets, key)
	return &fleetv1.DeleteSecretResponse{}, nil
}

// opened is what a secret holds.
func (f *fakeFleet) opened(terminal, name string) ([]byte, error) {
	s := f.secrets[terminal+"/"+name]
	if s == nil {
		return nil, errors.New("no such secret")
	}
	return sealed.Open(f.sealingKey, s.public.GetTerminalId(), s.sealed)
}

// fakePFX is a certificate with its key.
func fakePFX(password string, until time.Time) ([]byte, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "nes.basel.example"}, DNSNames: []string{"nes.basel.example"},
		NotBefore: testNow.AddDate(-1, 0, 0), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return pkcs12.Modern.Encode(key, c, nil, password)
}
