package cli

import (
	"context"
	"crypto/x509"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
)

func (f *fakeFleet) CreateToken(_ context.Context, r *fleetv1.CreateTokenRequest) (*fleetv1.CreateTokenResponse, error) {
	if f.site(r.GetSite()) == nil {
		return nil, notFound("site", r.GetSite())
	}
	t := &fleetv1.Token{
		Id: "tok-1", Site: r.GetSite(), Role: r.GetRole(), Uses: r.GetUses(), State: fleetv1.TokenState_TOKEN_STATE_ACTIVE,
		Created: at(0), Expires: timestamppb.New(testNow.Add(r.GetTtl().AsDuration())), CreatedBy: "admin",
	}
	f.tokens = append(f.tokens, t)
	return &fleetv1.CreateTokenResponse{Text: "bft1.tok-1.secret.ca", Token: t}, nil
}

func (f *fakeFleet) ListTokens(context.Context, *fleetv1.ListTokensRequest) (*fleetv1.ListTokensResponse, error) {
	return &fleetv1.ListTokensResponse{Tokens: f.tokens}, nil
}

func (f *fakeFleet) RevokeToken(_ context.Context, r *fleetv1.RevokeTokenRequest) (*fleetv1.RevokeTokenResponse, error) {
	for _, t := range f.tokens {
		if t.GetId() == r.GetId() {
			t.State = fleetv1.TokenState_TOKEN_STATE_REVOKED
			return &fleetv1.RevokeTokenResponse{Token: t}, nil
		}
	}
	return nil, notFound("token", r.GetId())
}

func (f *fakeFleet) CreateOperator(_ context.Context, r *fleetv1.CreateOperatorRequest) (*fleetv1.CreateOperatorResponse, error) {
	if f.operator(r.GetName()) != nil {
		return nil, refuse(codes.AlreadyExists, "operator \""+r.GetName()+"\": exists", "OPERATOR_EXISTS")
	}
	csr, err := x509.ParseCertificateRequest(r.GetCsr())
	if err != nil {
		return nil, err
	}
	der, err := f.ca.sign("operator/"+r.GetName(), time.Now().AddDate(10, 0, 0), csr.PublicKey)
	if err != nil {
		return nil, err
	}
	op := &fleetv1.Operator{Name: r.GetName(), Bindings: r.GetBindings(), Created: at(0), CreatedBy: "admin", CertificateExpires: at(90 * 24 * time.Hour)}
	f.operators = append(f.operators, op)
	return &fleetv1.CreateOperatorResponse{Operator: op, CertificateChain: [][]byte{der}, TrustBundle: [][]byte{f.ca.cert.Raw}}, nil
}

func (f *fakeFleet) operator(name string) *fleetv1.Operator {
	i := slices.IndexFunc(f.operators, func(o *fleetv1.Operator) bool { return o.GetName() == name })
	if i < 0 {
		return nil
	}
	return f.operators[i]
}

func (f *fakeFleet) ListOperators(context.Context, *fleetv1.ListOperatorsRequest) (*fleetv1.ListOperatorsResponse, error) {
	return &fleetv1.ListOperatorsResponse{Operators: f.operators}, nil
}

func (f *fakeFleet) RevokeOperator(_ context.Context, r *fleetv1.RevokeOperatorRequest) (*fleetv1.RevokeOperatorResponse, error) {
	op := f.operator(r.GetName())
	if op == nil {
		return nil, notFound("operator", r.GetName())
	}
	op.Revoked = true
	return &fleetv1.RevokeOperatorResponse{Operator: op}, nil
}

// WhoAmI answers from the caller's certificate, as the real server does.
func (f *fakeFleet) WhoAmI(ctx context.Context, _ *fleetv1.WhoAmIRequest) (*fleetv1.WhoAmIResponse, error) {
	op := f.operator(caller(ctx))
	if op == nil || op.GetRevoked() {
		return nil, refuse(codes.Unauthenticated, "operator \""+caller(ctx)+"\": is shut out", "REVOKED")
	}
	return &fleetv1.WhoAmIResponse{Operator: op, ServerVersion: "1.2.3", ServerTime: at(0)}, nil
}

// caller is the operator's name in the certificate of a call.
func caller(ctx context.Context) string {
	p, _ := peer.FromContext(ctx)
	name, err := identity.FromCertificate(p.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0])
	if err != nil {
		return ""
	}
	return name.ID
}
