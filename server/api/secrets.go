package api

import (
	"context"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/secrets"
)

// SecretUsers is what the handlers need of who goes by a secret's version.
type SecretUsers interface {
	// SecretChanged takes back approvals of jobs that name a secret which was put again or deleted.
	SecretChanged(ctx context.Context, terminalID, name string) error
}

// Secrets answers SecretService.
type Secrets struct {
	fleetv1.UnimplementedSecretServiceServer
	keeper *secrets.Keeper
	users  SecretUsers
}

// NewSecrets makes the service.
func NewSecrets(k *secrets.Keeper, u SecretUsers) *Secrets { return &Secrets{keeper: k, users: u} }

// GetSealingKey implements SecretService.
func (s *Secrets) GetSealingKey(ctx context.Context, r *fleetv1.GetSealingKeyRequest) (*fleetv1.GetSealingKeyResponse, error) {
	return s.keeper.SealingKey(ctx, r.GetTerminal())
}

// PutSecret implements SecretService. The job engine hears of it after it is on disk.
func (s *Secrets) PutSecret(ctx context.Context, r *fleetv1.PutSecretRequest) (*fleetv1.PutSecretResponse, error) {
	secret, err := s.keeper.Put(ctx, access.From(ctx), r)
	if err != nil {
		return nil, err
	}
	return &fleetv1.PutSecretResponse{Secret: secret}, s.users.SecretChanged(ctx, secret.GetTerminalId(), secret.GetName())
}

// ListSecrets implements SecretService.
func (s *Secrets) ListSecrets(ctx context.Context, r *fleetv1.ListSecretsRequest) (*fleetv1.ListSecretsResponse, error) {
	return s.keeper.List(ctx, access.From(ctx), r)
}

// DeleteSecret implements SecretService. The job engine hears of it after it is on disk.
func (s *Secrets) DeleteSecret(ctx context.Context, r *fleetv1.DeleteSecretRequest) (*fleetv1.DeleteSecretResponse, error) {
	terminal, err := s.keeper.Delete(ctx, access.From(ctx), r)
	if err != nil {
		return nil, err
	}
	return &fleetv1.DeleteSecretResponse{}, s.users.SecretChanged(ctx, terminal, r.GetName())
}
